-- Entities are instances: `@name@key`, their state in `input`. Who may use one alone stands in `entity_lock`
-- {criticalSection, owner {key, execution, ...}}; messages that wait for the end of that are hidden until then, by a
-- time of visibility that never comes.
alter table everdure.instances add column entity_lock json;

-- The entities that an execution has locked: they are free when it ends, however that happens.
create index instances_entity_locks on everdure.instances (((entity_lock #>> '{owner,key}')::bigint))
  where entity_lock is not null;

-- Lists of entities; orchestrations, which are many more, are not in it.
create index instances_entities on everdure.instances (hub_id, instance_id) where left(name, 1) = '@';

-- What an entity's query returns.
create type everdure._entity_record as (
  key bigint, instance_id text, state text, has_state boolean, locked_by text, backlog bigint, updated_at timestamptz
);

-- A history tells who waits for the end of its execution, and where its span hangs.
alter type everdure._instance_record add attribute parent text, add attribute trace text;

-- Functions whose parameters or results have changed since.
drop function if exists everdure._lock_orchestrations(int, bigint, int, text[], text[], int, int);
drop function if exists everdure._export_instances(int, text[]);
drop function if exists everdure._send_messages(int, text[], text[], boolean[], uuid[], boolean);
