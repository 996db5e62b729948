-- Ends a node in good order: what it still holds is free and due. Locks: nodes, lanes, instances (by key), activities.
create or replace function everdure._remove_node(p_node bigint) returns bigint
language plpgsql as $$
begin
  delete from everdure.nodes n where n.node_id = p_node;
  delete from everdure.lanes l where l.node_id = p_node;
  return everdure._release_node(array[p_node], false);
end
$$;
