-- Removes at most p_limit finished instances, with p_recurse their sub-orchestrations that have ended as well. Returns
-- how many, and whether nothing that matches is left.
-- Locks: those of _purge_instances.
create or replace function everdure._purge_finished(
  p_hub int, p_statuses smallint[], p_created_from timestamptz, p_created_to timestamptz, p_completed_to timestamptz,
  p_limit int, p_recurse boolean
) returns table (purged bigint, complete boolean)
language plpgsql as $$
declare
  v_keys bigint[];
begin
  select array_agg(f.key) into v_keys from (
    select i.key from everdure.instances i
    where i.hub_id = p_hub and i.completed_at is not null
      and (cardinality(p_statuses) = 0 or i.status = any (p_statuses))
      and (p_created_from is null or i.created_at >= p_created_from)
      and (p_created_to is null or i.created_at <= p_created_to)
      and (p_completed_to is null or i.completed_at <= p_completed_to)
    order by i.completed_at limit p_limit + 1) f;
  complete := coalesce(cardinality(v_keys) <= p_limit, true);
  v_keys := coalesce(v_keys[:p_limit], '{}');
  purged := everdure._purge_instances(case when p_recurse then everdure._with_children(p_hub, v_keys, false) else v_keys end, false);
  return next;
end
$$;
