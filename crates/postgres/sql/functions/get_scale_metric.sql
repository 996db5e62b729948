-- What waits and what runs, of orchestrations and of activities: for dashboards and autoscalers. An orchestration
-- waits when a turn of it is due and nobody has it; timers and scheduled starts of the future do not count, nor do
-- suspended instances, which no worker helps. oldest: how long the oldest of those counted has waited.
--
-- p_cap bounds the rows that are looked at, not only the count. The indexes of what is due are by name, so the names
-- come first, one probe for each, with the time of their earliest; then the due ones name by name, the name that has
-- waited longest first. What is due later is never touched, however much it is.
--
-- With the rights of its owner, so that a scaler needs none to tables that hold payloads: it tells numbers only.
-- No locks. SQLSTATE: ED404 when there is no such hub.
create or replace function everdure.get_scale_metric(p_hub text default 'default', p_cap int default 100000)
returns table (kind text, waiting bigint, running bigint, oldest interval, nodes bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  v_hub int := everdure._hub(p_hub);
  v_now timestamptz := clock_timestamp();
begin
  select count(*) into nodes from everdure.nodes n where n.hub_id = v_hub and n.expires_at >= v_now;
  kind := 'orchestrations';
  with recursive names(name, due_at) as (
    (select i.name, i.due_at from everdure.instances i
     where i.hub_id = v_hub and i.due_at is not null order by i.name, i.due_at limit 1)
    union all
    select x.name, x.due_at from names n
    cross join lateral (
      select i.name, i.due_at from everdure.instances i
      where i.hub_id = v_hub and i.due_at is not null and i.name > n.name order by i.name, i.due_at limit 1) x
  )
  select count(*), coalesce(max(greatest(v_now - w.due_at, interval '0')), interval '0') into waiting, oldest
  from (
    select x.due_at, x.locked_by, x.status
    from (select n.name from names n where n.due_at <= v_now order by n.due_at) n
    cross join lateral (
      select i.due_at, i.locked_by, i.status from everdure.instances i
      where i.hub_id = v_hub and i.name = n.name and i.due_at <= v_now order by i.due_at limit p_cap) x
    limit p_cap) w
  where w.locked_by is null and w.status <> 7;
  select count(*) into running
  from (select from everdure.nodes n
        cross join lateral (select from everdure.instances i where i.locked_by = n.node_id limit p_cap) x
        where n.hub_id = v_hub limit p_cap) r;
  return next;
  kind := 'activities';
  with recursive names(name, visible_at) as (
    (select a.name, a.visible_at from everdure.activities a
     where a.hub_id = v_hub and a.locked_by is null order by a.name, a.visible_at limit 1)
    union all
    select x.name, x.visible_at from names n
    cross join lateral (
      select a.name, a.visible_at from everdure.activities a
      where a.hub_id = v_hub and a.locked_by is null and a.name > n.name order by a.name, a.visible_at limit 1) x
  )
  select count(*), coalesce(max(greatest(v_now - w.visible_at, interval '0')), interval '0') into waiting, oldest
  from (
    select x.visible_at
    from (select n.name from names n where n.visible_at <= v_now order by n.visible_at) n
    cross join lateral (
      select a.visible_at from everdure.activities a
      where a.hub_id = v_hub and a.name = n.name and a.visible_at <= v_now and a.locked_by is null
      order by a.visible_at limit p_cap) x
    limit p_cap) w;
  select count(*) into running
  from (select from everdure.nodes n
        cross join lateral (select from everdure.activities a where a.locked_by = n.node_id limit p_cap) x
        where n.hub_id = v_hub limit p_cap) r;
  return next;
end
$$;
