-- What waits and what runs, of orchestrations and of activities: for dashboards and autoscalers. An orchestration
-- waits when a turn of it is due and nobody has it; timers and scheduled starts of the future do not count, nor do
-- suspended instances, which no worker helps. Counts stop at p_cap. oldest: how long the oldest has waited.
-- No locks. SQLSTATE: ED404 when there is no such hub.
create or replace function everdure.get_scale_metric(p_hub text default 'default', p_cap int default 100000)
returns table (kind text, waiting bigint, running bigint, oldest interval, nodes bigint)
language plpgsql stable as $$
#variable_conflict use_column
declare
  v_hub int := everdure._hub(p_hub);
  v_now timestamptz := clock_timestamp();
begin
  select count(*) into nodes from everdure.nodes n where n.hub_id = v_hub and n.expires_at >= v_now;
  kind := 'orchestrations';
  select count(*), coalesce(max(greatest(v_now - w.due_at, interval '0')), interval '0') into waiting, oldest
  from (select i.due_at from everdure.instances i
        where i.hub_id = v_hub and i.due_at <= v_now and i.locked_by is null and i.status <> 7 limit p_cap) w;
  select count(*) into running
  from (select from everdure.instances i join everdure.nodes n on n.node_id = i.locked_by
        where n.hub_id = v_hub limit p_cap) r;
  return next;
  kind := 'activities';
  select count(*), coalesce(max(greatest(v_now - w.visible_at, interval '0')), interval '0') into waiting, oldest
  from (select a.visible_at from everdure.activities a
        where a.hub_id = v_hub and a.visible_at <= v_now and a.locked_by is null limit p_cap) w;
  select count(*) into running
  from (select from everdure.activities a where a.hub_id = v_hub and a.locked_by is not null limit p_cap) r;
  return next;
end
$$;
