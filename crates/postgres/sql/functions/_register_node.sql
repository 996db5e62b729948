-- Makes a process known, with a lane for each of its writers. Returns its new id and the number of live nodes.
-- Locks: nodes, lanes (new rows). SQLSTATE: ED404 when the hub has been deleted.
create or replace function everdure._register_node(p_hub int, p_lease interval, p_address text, p_lanes int)
returns table (node_id bigint, live_nodes int, at timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
  v_node bigint;
begin
  at := clock_timestamp();
  if not exists (select from everdure.task_hubs t where t.hub_id = p_hub) then
    raise exception 'the task hub has been deleted' using errcode = 'ED404',
      hint = 'Start the worker again, and it makes the hub anew.';
  end if;
  insert into everdure.nodes (hub_id, address, lease, started_at, expires_at)
  values (p_hub, p_address, p_lease, at, at + p_lease)
  returning nodes.node_id into v_node;
  insert into everdure.lanes (node_id, lane) select v_node, l from generate_series(0, p_lanes - 1) l;
  node_id := v_node;
  live_nodes := (select count(*) from everdure.nodes n where n.hub_id = p_hub);
  return next;
end
$$;
