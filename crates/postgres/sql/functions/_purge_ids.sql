-- Removes instances by their ids; without p_force only those that have ended, with p_recurse their sub-orchestrations,
-- and those of these, as well. Locks: those of _purge_instances.
create or replace function everdure._purge_ids(p_hub int, p_ids text[], p_force boolean, p_recurse boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_keys bigint[] := array(
    select i.key from unnest(p_ids) u(id)
    cross join lateral (
      select x.key from everdure.instances x where x.hub_id = p_hub and x.instance_id = u.id limit 1) i);
  v_level bigint[] := v_keys;
begin
  while p_recurse loop
    select array_agg(c.key) into v_level
    from unnest(v_level) l(key)
    cross join lateral (select x.instance_id from everdure.instances x where x.key = l.key limit 1) i
    cross join lateral (
      select x.key from everdure.instances x
      where x.hub_id = p_hub and x.parent is not null and x.parent ->> 'instanceId' = i.instance_id
        and (x.parent ->> 'key')::bigint = l.key
      offset 0) c;
    exit when v_level is null;
    v_keys := v_keys || v_level;
  end loop;
  return everdure._purge_instances(v_keys, p_force);
end
$$;
