-- Raises an event for an instance, inside the caller's own transaction: it is delivered when that commits. False when the instance has ended.
-- Locks and SQLSTATEs: those of _send_message.
create or replace function everdure.raise_event(
  p_instance_id text, p_event text, p_payload json default null, p_request_id uuid default null,
  p_hub text default 'default'
) returns boolean
language sql as $$
  select everdure._send_message(
    p_hub, p_instance_id,
    json_strip_nulls(json_build_object('type', 'EventRaised', 'name', p_event, 'input', p_payload::text)),
    false, p_request_id)
$$;
