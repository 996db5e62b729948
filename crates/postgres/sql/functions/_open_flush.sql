-- Begins a flush: proves that the node is alive and keeps it so until the transaction ends.
-- Without a node (a client) there is no lane. Locks: lanes. SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._open_flush(p_node bigint, p_lane int) returns void
language plpgsql as $$
begin
  perform set_config('everdure.outcomes', '', true);
  if p_node is null then
    return;
  end if;
  perform 1 from everdure.lanes l where l.node_id = p_node and l.lane = p_lane for update;
  if not found then
    raise exception 'node % is gone', p_node
      using errcode = 'ED001', hint = 'Its lease ran out and others took its work over; it returns under a new id.';
  end if;
end
$$;
