-- Attempts that failed, of turns (activity 0) and of activities that have a row. Written only when something fails: a turn
-- that fails counts from one again once another turn of its instance has landed. What was set aside is held by node 0,
-- which no node is, so that no claim, no reaper and no writer has to know about it.
create table everdure.poison (
  key          bigint not null,
  activity     bigint not null default 0,
  hub_id       int not null,
  turn         bigint not null,
  attempts     int not null,
  reason       text not null,
  failed_at    timestamptz not null,
  set_aside_at timestamptz,
  primary key (key, activity)
);
create index poison_set_aside on everdure.poison (hub_id, set_aside_at) where set_aside_at is not null;
create index poison_failed_at on everdure.poison (failed_at) where set_aside_at is null;
