-- Sends one message from SQL, inside the caller's own transaction, and notifies the nodes of the hub at commit. False
-- when the instance has ended, and the message is dropped, or when the request id was seen before.
-- Locks: those of _send_one. SQLSTATE: ED404 no such hub or instance, 55P03 another transaction is writing the
-- instance.
create or replace function everdure._send_message(
  p_hub text, p_instance_id text, p_body json, p_terminate boolean, p_request_id uuid
) returns boolean
language plpgsql as $$
declare
  v_code text := (
    select s.code from everdure._send_one(p_hub, p_instance_id, p_body::text, p_terminate, p_request_id) s);
begin
  if v_code = 'N' then
    raise exception 'there is no instance "%" in task hub "%"', p_instance_id, p_hub
      using errcode = 'ED404', hint = 'Check the id, and whether the instance was purged.';
  end if;
  return v_code in ('S', 'T');
end
$$;
