-- Ends an instance from outside; with p_recurse its children, too. False when the instance has ended.
-- Locks and SQLSTATEs: those of _send_message.
create or replace function everdure.terminate(
  p_instance_id text, p_reason text default null, p_recurse boolean default false, p_hub text default 'default'
) returns boolean
language sql as $$
  select everdure._send_message(
    p_hub, p_instance_id,
    json_strip_nulls(json_build_object(
      'type', 'ExecutionTerminated', 'reason', p_reason, 'recurse', case when p_recurse then true end)),
    true, null)
$$;
