-- Ends an instance that has not started and that nobody holds, and tells its parent. Returns I when it is not such
-- a one, B when the parent's row is not free now (nothing was changed), T when it was ended.
-- The caller has locked the instance's row. Locks: instances (the parent's; without p_wait it does not wait for it).
create or replace function everdure._terminate_pending(p_key bigint, p_reason text, p_now timestamptz, p_wait boolean)
returns text
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_row everdure.instances;
  v_parent bigint;
begin
  select * into v_row from everdure.instances i where i.key = p_key;
  if not found or v_row.status <> 6 or v_row.locked_by is not null then
    return 'I';
  end if;
  v_parent := (v_row.parent ->> 'key')::bigint;
  if v_parent is not null and everdure._lock_instances(array[v_parent], p_wait) = '{}'
     and exists (select from everdure.instances i where i.key = v_parent) then
    return 'B';
  end if;
  update everdure.instances i
  set status = 5, output = p_reason, completed_at = p_now, updated_at = p_now, due_at = null,
      turn = i.turn + 1, execution_turn = i.turn + 1
  where i.key = p_key;
  delete from everdure.messages m where m.key = p_key;
  if v_parent is not null then
    perform everdure._post(
      v_parent, (v_row.parent ->> 'execution')::int, v_row.parent ->> 'dispatch', p_now, p_now,
      json_build_object(
        'type', 'SubOrchestrationInstanceFailed',
        'dispatch', v_row.parent ->> 'dispatch',
        'failure', json_build_object(
          'type', 'OrchestrationTerminated',
          'message', format('sub-orchestration ''%s'' was terminated: %s',
                            v_row.name, coalesce(p_reason, 'no reason given')))));
  end if;
  return 'T';
end
$$;
