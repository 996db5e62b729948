-- Sends one message inside the caller's own transaction, and notifies the nodes of the hub when that commits. Codes
-- and columns: those of the outcomes of _send_messages, `at` in microseconds.
-- Locks: those of _send_messages, for which it waits. SQLSTATE: ED404 no such hub, 55P03 another transaction is
-- writing the instance.
create or replace function everdure._send_one(
  p_hub text, p_instance_id text, p_body text, p_terminate boolean, p_request_id uuid
) returns table (code text, key bigint, number bigint, at bigint, holder bigint)
language plpgsql as $$
declare
  v_hub int := everdure._hub(p_hub);
  v_outcome json;
begin
  perform set_config('everdure.outcomes', '', true);
  perform everdure._send_messages(
    v_hub, array[p_instance_id], array[p_body], array[p_terminate], array[p_request_id], array[null::timestamptz], true);
  -- Noted as ,"send":[[code, …]]: the comma comes before each kind of operation.
  v_outcome := ('{' || substr(current_setting('everdure.outcomes'), 2) || '}')::json -> 'send' -> 0;
  code := v_outcome ->> 0;
  key := (v_outcome ->> 1)::bigint;
  number := (v_outcome ->> 2)::bigint;
  at := (v_outcome ->> 3)::bigint;
  holder := (v_outcome ->> 4)::bigint;
  if code = 'B' then
    raise exception 'instance ''%'' is being written by another transaction', p_instance_id using errcode = '55P03';
  end if;
  perform pg_notify('everdure_' || v_hub, 'o');
  return next;
end
$$;
