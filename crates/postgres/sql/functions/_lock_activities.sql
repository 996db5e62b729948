-- Claims activities that wait for a worker. p_names and p_versions go together; a null version takes every version,
-- an empty one what has none, the name * everything. An activity without a version has that of its orchestration.
-- The last row has no id and tells in how many microseconds the next one comes due.
-- Locks: lanes, activities (without waiting). SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._lock_activities(
  p_hub int, p_node bigint, p_lane int, p_names text[], p_versions text[], p_limit int
) returns table (
  id bigint, attempt int, key bigint, instance_id text, execution int, execution_id uuid, dispatch text,
  task_id int, name text,
  version text, orchestration_version text, input text, tags text, trace text, next_due bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
#variable_conflict use_column
declare
  v_now timestamptz;
begin
  perform everdure._open_flush(p_node, p_lane);
  v_now := clock_timestamp();
  if p_names && array['*', '@*'] then
    select array_agg(e.name), array_agg(e.version) into p_names, p_versions
    from everdure._expand_activity_names(p_hub, p_names, p_versions) e;
  end if;
  return query
    with due as materialized (
      select d.row from (
        select unnest(p_names) as name, unnest(p_versions) as version) f
      cross join lateral (
        select a.visible_at, a.ctid as row from everdure.activities a
        where a.hub_id = p_hub and a.name = f.name and a.visible_at <= v_now and a.locked_by is null
          and (f.version is null or coalesce(a.version, a.orchestration_version, '') = f.version)
        order by a.visible_at limit p_limit
        for update skip locked) d
      order by d.visible_at limit p_limit
    )
    update everdure.activities a
    set locked_by = p_node, visible_at = v_now, attempt = a.attempt + 1
    from (select distinct due.row from due) d
    where a.ctid = d.row
    returning a.id, a.attempt, a.key, a.instance_id, a.execution, a.execution_id, a.dispatch, a.task_id,
              a.name, a.version,
              a.orchestration_version, a.input, a.tags::text, a.trace::text, null::bigint;
  return query
    select null::bigint, null::int, null::bigint, null::text, null::int, null::uuid, null::text, null::int, null::text,
           null::text, null::text, null::text, null::text, null::text,
           (extract(epoch from min(x.visible_at) - v_now) * 1000000)::bigint
    from unnest(p_names) f(name)
    cross join lateral (
      select a.visible_at from everdure.activities a
      where a.hub_id = p_hub and a.name = f.name and a.locked_by is null
      order by a.visible_at limit 1) x;
end
$$;
