-- The instances with these ids that exist. Without p_payloads input, output and custom status are null.
-- No locks.
create or replace function everdure._get_instances(p_hub int, p_ids text[], p_payloads boolean)
returns setof everdure._instance_record
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
begin
  return query
  select i.key, i.instance_id, i.execution_id, i.execution, i.name, i.version, i.parent ->> 'instanceId', i.tags::text,
         i.status, i.created_at, i.scheduled_at, i.updated_at, i.completed_at, i.turn,
         case when p_payloads then i.input end, case when p_payloads then i.output end,
         case when p_payloads then i.custom_status end, i.failure::text,
         i.parent::text, i.trace::text
  from unnest(p_ids) u(id)
  -- The limit changes nothing in the result: it keeps the planner from scanning the hub when the table looks small.
  cross join lateral (
    select * from everdure.instances x where x.hub_id = p_hub and x.instance_id = u.id limit 1) i;
end
$$;
