-- Tells the parent of an instance, if it has one, that the instance was terminated. False when the parent's row is not
-- free now (nothing was changed).
-- Locks: instances (the parent; without p_wait it does not wait), messages.
create or replace function everdure._tell_parent(
  p_row everdure.instances, p_reason text, p_now timestamptz, p_wait boolean
) returns boolean
language plpgsql as $$
declare
  v_parent bigint := (p_row.parent ->> 'key')::bigint;
begin
  if v_parent is null then
    return true;
  end if;
  if everdure._lock_instances(array[v_parent], p_wait) = '{}' then
    return not exists (select from everdure.instances i where i.key = v_parent);
  end if;
  perform everdure._post(
    v_parent, (p_row.parent ->> 'execution')::int, p_row.parent ->> 'dispatch', p_now, p_now,
    json_build_object(
      'type', 'SubOrchestrationInstanceFailed',
      'dispatch', p_row.parent ->> 'dispatch',
      'failure', json_build_object(
        'type', 'OrchestrationTerminated',
        'message', format('sub-orchestration ''%s'' was terminated: %s',
                          p_row.name, coalesce(p_reason, 'no reason given')))));
  return true;
end
$$;
