-- Removes instances by their ids; without p_force only those that have ended and idle entities, with p_recurse their
-- sub-orchestrations, and those of these, as well. Locks: those of _dismiss_waiting, then of _purge_instances.
create or replace function everdure._purge_ids(p_hub int, p_ids text[], p_force boolean, p_recurse boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_keys bigint[] := array(
    select i.key from unnest(p_ids) u(id)
    cross join lateral (
      select x.key from everdure.instances x where x.hub_id = p_hub and x.instance_id = u.id limit 1) i);
begin
  if p_recurse then
    v_keys := everdure._with_children(p_hub, v_keys, false);
  end if;
  if p_force then
    perform everdure._dismiss_waiting(p_hub, v_keys, clock_timestamp());
  end if;
  return everdure._purge_instances(v_keys, p_force);
end
$$;
