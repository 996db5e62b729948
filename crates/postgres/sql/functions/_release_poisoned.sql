-- Lets an instance that was set aside go on, and its activities that were; with p_fail these fail instead, with the
-- type ActivityPoisoned. Attempts are counted from one again. Returns how much it was; null when there is no such
-- instance. Locks: instances, messages, activities, poison.
create or replace function everdure._release_poisoned(p_hub int, p_id text, p_fail boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_row everdure.instances;
  v_released bigint := 0;
  r record;
begin
  select * into v_row from everdure.instances i where i.hub_id = p_hub and i.instance_id = p_id for update;
  if not found then
    return null;
  end if;
  if v_row.locked_by = 0 then
    update everdure.instances i set locked_by = null, due_at = v_now where i.key = v_row.key;
    delete from everdure.poison p where p.key = v_row.key and p.activity = 0;
    v_released := 1;
  end if;
  for r in
    select a.id, a.execution, a.dispatch, a.name, p.attempts, p.reason
    from everdure.activities a left join everdure.poison p on p.key = a.key and p.activity = a.id
    where a.key = v_row.key and a.locked_by = 0
  loop
    if p_fail then
      delete from everdure.activities a where a.id = r.id;
      perform everdure._post(v_row.key, r.execution, r.dispatch, v_now, v_now, json_build_object(
        'type', 'TaskFailed', 'dispatch', r.dispatch, 'failure', json_build_object(
          'type', 'ActivityPoisoned',
          'message', format('activity ''%s'' was given up after %s attempts: %s', r.name, r.attempts, r.reason))));
    else
      update everdure.activities a set locked_by = null, visible_at = v_now where a.id = r.id;
    end if;
    delete from everdure.poison p where p.key = v_row.key and p.activity = r.id;
    v_released := v_released + 1;
  end loop;
  return v_released;
end
$$;
