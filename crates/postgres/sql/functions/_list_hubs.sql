-- The task hubs, by name, with the nodes that live in each. No locks.
create or replace function everdure._list_hubs()
returns table (name text, created_at timestamptz, nodes bigint)
language sql stable as $$
  select t.name, t.created_at,
         (select count(*) from everdure.nodes n where n.hub_id = t.hub_id and n.expires_at > clock_timestamp())
  from everdure.task_hubs t order by t.name
$$;
