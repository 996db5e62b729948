-- Former executions of instances that continued as new; only where the hub keeps them. Their turns stay in history.
create table everdure.executions (
  key          bigint not null,
  execution    int not null,
  hub_id       int not null,
  execution_id uuid not null,
  version      text,
  input        text,
  turn         bigint not null,
  ended_at     timestamptz not null,
  primary key (key, execution)
);
create index executions_ended on everdure.executions (hub_id, ended_at);
