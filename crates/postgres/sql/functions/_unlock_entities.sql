-- Has the entities that these instances have locked unlocked, by a message each. False when one of them is not free now
-- (nothing was changed). Locks: instances (the entities, by key; without p_wait it waits for none), messages.
create or replace function everdure._unlock_entities(p_owners bigint[], p_now timestamptz, p_wait boolean) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_keys bigint[] := array(
    select e.key from unnest(p_owners) o(key)
    cross join lateral (
      select i.key from everdure.instances i
      where i.entity_lock is not null and (i.entity_lock #>> '{owner,key}')::bigint = o.key offset 0) e
    order by e.key);
begin
  if v_keys = '{}' then
    return true;
  end if;
  if cardinality(everdure._lock_instances(v_keys, p_wait)) < cardinality(v_keys) then
    return false;
  end if;
  perform everdure._post(i.key, null, null, p_now, p_now, json_build_object(
    'type', 'EntityUnlock', 'criticalSection', i.entity_lock ->> 'criticalSection'))
  from unnest(v_keys) k(key)
  cross join lateral (select x.key, x.entity_lock from everdure.instances x where x.key = k.key limit 1) i
  where i.entity_lock is not null;
  return true;
end
$$;
