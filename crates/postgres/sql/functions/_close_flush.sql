-- Ends a flush: stores its number and its outcomes in the lane, so that a lost reply can be found again.
-- Returns the outcomes. Locks: lanes (held since _open_flush).
create or replace function everdure._close_flush(p_node bigint, p_lane int, p_flush bigint) returns text
language plpgsql as $$
declare
  v_outcomes text := '{"flush":' || coalesce(p_flush, 0) || current_setting('everdure.outcomes') || '}';
begin
  if p_node is not null then
    update everdure.lanes l set flush = p_flush, outcomes = v_outcomes where l.node_id = p_node and l.lane = p_lane;
  end if;
  return v_outcomes;
end
$$;
