-- Where other nodes of the hub reach that one: empty when it lives and told no address, null when it does not live. No
-- locks.
create or replace function everdure._get_node(p_hub int, p_node bigint) returns text
language sql stable as $$
  select coalesce(n.address, '') from everdure.nodes n
  where n.hub_id = p_hub and n.node_id = p_node and n.expires_at > clock_timestamp()
$$;
