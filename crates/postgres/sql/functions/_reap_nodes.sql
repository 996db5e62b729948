-- Takes the work of nodes whose lease ran out from them. Deleting their lanes waits for flushes under way; releasing
-- what they held is a later statement, which sees what those flushes wrote. Also forgets ids of requests, and failures
-- that something survived, after a day.
-- Locks: nodes (without waiting), lanes, instances (by key), activities, poison.
create or replace function everdure._reap_nodes(p_hub int) returns table (nodes bigint[], released bigint)
language plpgsql as $$
begin
  with dead as materialized (
    select n.node_id from everdure.nodes n
    where n.hub_id = p_hub and n.expires_at < clock_timestamp()
    order by n.node_id for update skip locked
  ), gone as (
    delete from everdure.nodes n using dead where n.node_id = dead.node_id returning n.node_id
  )
  select coalesce(array_agg(gone.node_id), '{}') into nodes from gone;
  released := 0;
  if nodes <> '{}' then
    delete from everdure.lanes l where l.node_id = any (nodes);
    released := everdure._release_node(nodes, true);
  end if;
  delete from everdure.requests r
  where (r.hub_id, r.request_id) in (
    select o.hub_id, o.request_id from everdure.requests o
    where o.sent_at < clock_timestamp() - interval '1 day' order by o.sent_at limit 1000);
  delete from everdure.poison p
  where (p.key, p.activity) in (
    select o.key, o.activity from everdure.poison o
    where o.failed_at < clock_timestamp() - interval '1 day' and o.set_aside_at is null order by o.failed_at limit 1000);
  return next;
end
$$;
