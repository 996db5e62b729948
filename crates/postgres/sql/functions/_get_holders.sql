-- The live nodes that may have a work item of an instance: the one that holds it, and with p_task those that hold rows
-- of activities with that id of the orchestrator. No locks.
create or replace function everdure._get_holders(p_hub int, p_id text, p_task int) returns bigint[]
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
  return (
    select coalesce(array_agg(distinct h.node), '{}') from (
      select i.locked_by as node from everdure.instances i where i.hub_id = p_hub and i.instance_id = p_id
      union all
      select a.locked_by from everdure.instances i
      cross join lateral (
        select x.locked_by, x.task_id from everdure.activities x where x.key = i.key and x.locked_by is not null offset 0) a
      where i.hub_id = p_hub and i.instance_id = p_id and a.task_id = p_task) h
    where h.node > 0);
end
$$;
