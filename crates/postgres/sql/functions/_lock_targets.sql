-- Locks what a checkpoint reaches besides its own row: the receivers of its messages, the parents of those that a
-- message ends, and the finished instances whose ids its children take. False when one of them is not free now; the
-- checkpoint then waits for the next flush.
-- Locks: instances (by key; without p_wait it waits for none).
create or replace function everdure._lock_targets(p_hub int, p_steps json, p_wait boolean) returns boolean
language plpgsql as $$
declare
  v_keys bigint[];
begin
  if p_steps -> 'messages' is null and p_steps -> 'children' is null then
    return true;
  end if;
  select array_agg(t.key) into v_keys from (
    select i.key
    from json_to_recordset(coalesce(p_steps -> 'messages', '[]')) m(key bigint)
    cross join lateral (select x.key from everdure.instances x where x.key = m.key limit 1) i
    union
    -- What has not begun is terminated without a worker: then its parent is told.
    select unnest(array[
      i.key, case when i.status = 6 and m.body ->> 'type' = 'ExecutionTerminated' then (i.parent ->> 'key')::bigint end])
    from json_to_recordset(coalesce(p_steps -> 'messages', '[]')) m(key bigint, "instanceId" text, body json)
    cross join lateral (
      select x.key, x.status, x.parent from everdure.instances x
      where x.hub_id = p_hub and x.instance_id = m."instanceId" limit 1) i
    where m.key is null
    union
    -- Whoever owns a lock may be gone when it is passed on or granted: then the whole set is unlocked.
    select i.key
    from json_array_elements(coalesce(p_steps -> 'messages', '[]')) m
    cross join lateral json_array_elements_text(m -> 'body' -> 'lockSet') l(id)
    cross join lateral (
      select x.key from everdure.instances x where x.hub_id = p_hub and x.instance_id = l.id limit 1) i
    where m -> 'body' ->> 'type' = 'EntityLockGranted'
      or m -> 'body' ->> 'type' = 'EntityLockRequested' and m -> 'body' ->> 'position' <> '0'
    union
    select i.key
    from json_to_recordset(coalesce(p_steps -> 'children', '[]')) c("instanceId" text)
    cross join lateral (
      select x.key, x.completed_at from everdure.instances x
      where x.hub_id = p_hub and x.instance_id = c."instanceId" limit 1) i
    where i.completed_at is not null
  ) t where t.key is not null;
  return v_keys is null or cardinality(everdure._lock_instances(v_keys, p_wait)) = cardinality(v_keys);
end
$$;
