-- A sign of life. Locks: nodes. SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._renew_node(p_node bigint)
returns table (lease interval, live_nodes int, at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
  at := clock_timestamp();
  update everdure.nodes n set expires_at = at + n.lease where n.node_id = p_node returning n.lease into lease;
  if not found then
    raise exception 'node % is gone', p_node using errcode = 'ED001';
  end if;
  live_nodes := (
    select count(*) from everdure.nodes n where n.hub_id = (select s.hub_id from everdure.nodes s where s.node_id = p_node));
  return next;
end
$$;
