-- Ids of instances that have ended, first ended first; one more than a page tells that there is another. An empty list of
-- statuses takes every end. No locks.
create or replace function everdure._list_instance_ids(
  p_hub int, p_statuses smallint[], p_from timestamptz, p_to timestamptz, p_after timestamptz, p_after_key bigint,
  p_limit int
) returns table (key bigint, instance_id text, completed_at timestamptz)
language sql stable as $$
  select i.key, i.instance_id, i.completed_at from everdure.instances i
  where i.hub_id = p_hub and i.completed_at is not null
    and i.completed_at >= coalesce(greatest(p_from, p_after), '-infinity')
    and (p_to is null or i.completed_at < p_to)
    and (p_after is null or (i.completed_at, i.key) > (p_after, p_after_key))
    and (cardinality(p_statuses) = 0 or i.status = any (p_statuses))
  order by i.completed_at, i.key limit p_limit
$$;
