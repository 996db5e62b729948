-- Ends an instance that nobody holds, without a worker, and tells its parent; with p_recurse all below it as well, those
-- that are held by a message, and also what goes on below a sub-orchestration that has ended. Returns I when it has ended
-- or is held itself, of which its caller tells it; B when a row that is needed is not free now (nothing was changed); T
-- when it was ended.
-- The caller has locked the instance's row. Locks: instances (those below it by key, then the parent's; without p_wait
-- it waits for none; then entities that they had locked), messages, activities, history.
create or replace function everdure._terminate_unheld(
  p_key bigint, p_reason text, p_recurse boolean, p_now timestamptz, p_wait boolean
) returns text
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_row everdure.instances;
  v_held boolean;
  v_parent bigint;
  v_live bigint[];
  v_locked bigint[] := '{}';
  v_key bigint;
begin
  select * into v_row from everdure.instances i where i.key = p_key;
  v_held := coalesce(v_row.locked_by, 0) <> 0;
  if not found or v_row.completed_at is not null or v_held and not p_recurse then
    return 'I';
  end if;
  -- Read once more after locking: until its row was locked, an instance below could make children of its own.
  loop
    v_live := array(
      select k.key
      from unnest(case when p_recurse then everdure._with_children(v_row.hub_id, array[p_key], true) end) k(key)
      cross join lateral (
        select 1 from everdure.instances x where x.key = k.key and x.completed_at is null limit 1) i
      where k.key <> p_key
      order by k.key);
    exit when not exists (select unnest(v_live) except select unnest(v_locked));
    v_locked := everdure._lock_instances(v_live, p_wait);
    if not p_wait and cardinality(v_locked) < cardinality(v_live) then
      return 'B';
    end if;
  end loop;
  v_parent := case when not v_held then (v_row.parent ->> 'key')::bigint end;
  if v_parent is not null and everdure._lock_instances(array[v_parent], p_wait) = '{}'
     and exists (select from everdure.instances i where i.key = v_parent) then
    return 'B';
  end if;
  if not everdure._unlock_entities(array(
      select k.key from unnest(p_key || v_live) k(key)
      cross join lateral (
        select 1 from everdure.instances i
        where i.key = k.key and i.completed_at is null and coalesce(i.locked_by, 0) = 0) i), p_now, p_wait) then
    return 'B';
  end if;
  foreach v_key in array case when v_held then v_live else p_key || v_live end loop
    select * into v_row from everdure.instances i where i.key = v_key;
    continue when not found or v_row.completed_at is not null;
    if v_row.locked_by <> 0 then
      perform everdure._post(v_key, null, null, p_now, p_now, json_build_object(
        'type', 'ExecutionTerminated', 'reason', p_reason, 'recurse', true));
    else
      perform everdure._end_unheld(v_row, p_reason, p_recurse, p_now);
      if v_key = p_key and v_parent is not null then
        perform everdure._tell_parent(v_row, p_reason, p_now, p_wait);
      end if;
    end if;
  end loop;
  return case when v_held then 'I' else 'T' end;
end
$$;
