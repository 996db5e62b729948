-- Adds a message to an instance whose row the caller has locked, and makes the instance due when the message may be
-- delivered. A pending instance keeps its start time: its first turn sees what came meanwhile. Returns the
-- message's number, null when the instance has ended or has gone on to another execution than p_execution.
-- The number is drawn under the row lock, so that numbers of one instance are in commit order.
-- Locks: messages (new row).
create or replace function everdure._post(
  p_key bigint, p_execution int, p_dispatch text, p_now timestamptz, p_visible_at timestamptz, p_body json
) returns bigint
language plpgsql as $$
declare
  v_status smallint;
  v_execution int;
  v_due_at timestamptz;
  v_number bigint;
begin
  select i.status, i.execution, i.due_at into v_status, v_execution, v_due_at
  from everdure.instances i where i.key = p_key;
  if not found or v_status in (1, 3, 5) or v_execution <> p_execution then
    return null;
  end if;
  v_number := nextval('everdure.message_numbers');
  insert into everdure.messages (key, number, execution, dispatch, sent_at, visible_at, body)
  values (p_key, v_number, p_execution, p_dispatch, p_now, p_visible_at, p_body);
  if v_status <> 6 and (v_due_at is null or v_due_at > p_visible_at) then
    update everdure.instances i set due_at = p_visible_at where i.key = p_key;
  end if;
  return v_number;
end
$$;
