-- One page of instances, newest first. A null or empty condition does not restrict. No locks.
create or replace function everdure._query_instances(
  p_hub int, p_statuses smallint[], p_created_from timestamptz, p_created_to timestamptz, p_id_prefix text,
  p_name text, p_tags text, p_payloads boolean, p_before bigint, p_limit int
) returns setof everdure._instance_record
language sql stable as $$
  select i.key, i.instance_id, i.execution_id, i.execution, i.name, i.version, i.parent ->> 'instanceId', i.tags::text,
         i.status, i.created_at, i.scheduled_at, i.updated_at, i.completed_at, i.turn,
         case when p_payloads then i.input end, case when p_payloads then i.output end,
         case when p_payloads then i.custom_status end, case when p_payloads then i.failure::text end
  from everdure.instances i
  where i.hub_id = p_hub
    and i.key < p_before
    and (cardinality(p_statuses) = 0 or i.status = any (p_statuses))
    and (p_created_from is null or i.created_at >= p_created_from)
    and (p_created_to is null or i.created_at <= p_created_to)
    and (p_id_prefix is null or starts_with(i.instance_id, p_id_prefix))
    and (p_name is null or i.name = p_name)
    and (p_tags is null or i.tags::jsonb @> p_tags::jsonb)
  order by i.key desc
  limit p_limit
$$;
