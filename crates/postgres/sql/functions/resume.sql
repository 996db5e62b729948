-- Lets a suspended instance go on. False when the instance has ended.
-- Locks and SQLSTATEs: those of _send_message.
create or replace function everdure.resume(
  p_instance_id text, p_reason text default null, p_hub text default 'default'
) returns boolean
language sql as $$
  select everdure._send_message(
    p_hub, p_instance_id,
    json_strip_nulls(json_build_object('type', 'ExecutionResumed', 'reason', p_reason)),
    false, null)
$$;
