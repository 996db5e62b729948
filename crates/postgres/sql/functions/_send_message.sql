-- Sends one message from SQL, inside the caller's own transaction, and notifies the nodes of the hub at commit. False
-- when the instance has ended, and the message is dropped, or when the request id was seen before.
-- Locks: instances (waits for the row), messages. SQLSTATE: ED404 no such hub or instance.
create or replace function everdure._send_message(
  p_hub text, p_instance_id text, p_body json, p_terminate boolean, p_request_id uuid
) returns boolean
language plpgsql as $$
declare
  v_hub int := everdure._hub(p_hub);
  v_code text;
begin
  perform set_config('everdure.outcomes', '', true);
  perform everdure._send_messages(
    v_hub, array[p_instance_id], array[p_body::text], array[p_terminate], array[p_request_id], true);
  -- Noted as ,"send":[[code, …]]: the comma comes before each kind of operation.
  v_code := ('{' || substr(current_setting('everdure.outcomes'), 2) || '}')::json -> 'send' -> 0 ->> 0;
  if v_code = 'N' then
    raise exception 'there is no instance "%" in task hub "%"', p_instance_id, p_hub
      using errcode = 'ED404', hint = 'Check the id, and whether the instance was purged.';
  end if;
  perform pg_notify('everdure_' || v_hub, 'o');
  return v_code in ('S', 'T');
end
$$;
