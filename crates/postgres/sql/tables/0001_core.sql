-- The tables of a task hub's life. Append-only: a later change is a later file.
--
-- Lock order, everywhere: task_hubs, nodes, lanes, instances (by key), messages, activities, history.
-- No foreign keys between hot tables: each would lock a parent row for every row written.

create schema if not exists everdure;

-- Written last by each migration; one row.
create table everdure.schema_info (
  only_row   boolean primary key default true check (only_row),
  version    int not null,
  functions  text not null,
  everdure   text not null,
  applied_at timestamptz not null default now()
);

create table everdure.task_hubs (
  hub_id     int generated always as identity primary key,
  name       text not null unique,
  created_at timestamptz not null default now()
);

-- Live processes. A node holds rows by its id; ids are never used again.
create table everdure.nodes (
  node_id    bigint generated always as identity primary key,
  hub_id     int not null,
  address    text,
  lease      interval not null,
  started_at timestamptz not null,
  expires_at timestamptz not null
) with (fillfactor = 50);

-- One row for each writer of a node: whoever writes for the node locks its row first, so that a node whose rows
-- are gone can write nothing. `flush` and `outcomes` tell what the last transaction of the lane did.
create table everdure.lanes (
  node_id  bigint not null,
  lane     int not null,
  flush    bigint not null default 0,
  outcomes text,
  primary key (node_id, lane)
) with (fillfactor = 30, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

create sequence everdure.instance_keys as bigint;
create sequence everdure.message_numbers as bigint;
-- Events that continue-as-new carries over go ahead of all that waits.
create sequence everdure.carried_numbers as bigint increment by -1 maxvalue -1 start with -1;

create table everdure.instances (
  key            bigint primary key,
  turn           bigint not null default 0,
  execution_turn bigint not null default 0,
  locked_by      bigint,
  due_at         timestamptz,
  claimed_at     timestamptz,
  created_at     timestamptz not null,
  scheduled_at   timestamptz,
  updated_at     timestamptz not null,
  completed_at   timestamptz,
  hub_id         int not null,
  execution      int not null default 0,
  claim          int not null default 0,
  status         smallint not null default 6,
  execution_id   uuid not null,
  request_id     uuid,
  instance_id    text not null,
  name           text not null,
  version        text,
  parent         json,
  tags           json,
  input          text,
  output         text,
  custom_status  text,
  failure        json
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.2);

create unique index instances_id on everdure.instances (hub_id, instance_id);
-- Serves every claim; holds only what is due or will be.
create index instances_due on everdure.instances (hub_id, name, due_at) where due_at is not null;
-- Mail for held instances.
create index instances_mail on everdure.instances (locked_by, due_at) where locked_by is not null and due_at is not null;
-- Reaping.
create index instances_held on everdure.instances (locked_by) where locked_by is not null;
-- Purging by age. Rows end about in the order in which they lie on disk, so ranges of pages tell enough, and hardly
-- cost a write.
create index instances_completed_at on everdure.instances using brin (completed_at) with (pages_per_range = 32, autosummarize = on);

create table everdure.messages (
  key        bigint not null,
  number     bigint not null,
  sent_at    timestamptz not null,
  visible_at timestamptz not null,
  execution  int,
  dispatch   text,
  body       json not null,
  primary key (key, number)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Ids of requests that were applied, so that a repetition is not. Kept for a day.
create table everdure.requests (
  hub_id     int not null,
  request_id uuid not null,
  sent_at    timestamptz not null,
  primary key (hub_id, request_id)
);
create index requests_sent_at on everdure.requests (sent_at);

create table everdure.activities (
  id           bigint generated always as identity primary key,
  key          bigint not null,
  visible_at   timestamptz not null,
  locked_by    bigint,
  created_at   timestamptz not null,
  hub_id       int not null,
  execution    int not null,
  attempt      int not null default 0,
  execution_id uuid not null,
  dispatch     text not null,
  instance_id  text not null,
  name         text not null,
  version      text,
  input        text,
  tags         json
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

create unique index activities_step on everdure.activities (key, execution, dispatch);
create index activities_free on everdure.activities (hub_id, name, visible_at) where locked_by is null;
create index activities_held on everdure.activities (locked_by) where locked_by is not null;

-- A row a turn.
create table everdure.history (
  key       bigint not null,
  turn      bigint not null,
  at        timestamptz not null,
  execution int not null,
  events    json not null,
  primary key (key, execution, turn)
) with (autovacuum_vacuum_insert_scale_factor = 0.3);

-- The faster compression, where the server was built with it: the histories of fan-outs are long.
do $$
begin
  alter table everdure.history alter column events set compression lz4;
  alter table everdure.messages alter column body set compression lz4;
  alter table everdure.instances alter column input set compression lz4, alter column output set compression lz4;
  alter table everdure.activities alter column input set compression lz4;
exception when feature_not_supported then null;
end
$$;

-- What the queries return of an instance.
create type everdure._instance_record as (
  key bigint, instance_id text, execution_id uuid, execution int, name text, version text, parent_instance_id text,
  tags text, status smallint, created_at timestamptz, scheduled_at timestamptz, updated_at timestamptz,
  completed_at timestamptz, turn bigint, input text, output text, custom_status text, failure text
);
