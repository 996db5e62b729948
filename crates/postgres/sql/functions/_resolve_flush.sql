-- What became of a flush whose reply was lost: its outcomes, or null when it did not happen. Waits for the
-- transaction that may still be under way. Locks: lanes. SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._resolve_flush(p_node bigint, p_lane int, p_flush bigint) returns text
language plpgsql as $$
declare
  v_lane everdure.lanes;
begin
  select * into v_lane from everdure.lanes l where l.node_id = p_node and l.lane = p_lane for update;
  if not found then
    raise exception 'node % is gone', p_node using errcode = 'ED001';
  end if;
  return case when v_lane.flush = p_flush then v_lane.outcomes end;
end
$$;
