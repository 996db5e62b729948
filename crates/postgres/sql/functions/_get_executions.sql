-- The executions of an instance that are there, oldest first; the last one is the current one. No locks.
create or replace function everdure._get_executions(p_hub int, p_id text)
returns table (execution int, execution_id uuid, version text, input text, turn bigint, ended_at timestamptz)
language sql stable as $$
  with i as (select * from everdure.instances x where x.hub_id = p_hub and x.instance_id = p_id)
  select e.execution, e.execution_id, e.version, e.input, e.turn, e.ended_at
  from i join everdure.executions e on e.key = i.key
  union all
  select i.execution, i.execution_id, i.version, i.input, i.turn, i.completed_at from i
  order by 1
$$;
