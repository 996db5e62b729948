-- Instances with all that belongs to their current executions, each as of one moment; entities are none. No locks.
create or replace function everdure._export_instances(p_hub int, p_ids text[]) returns table (
  key bigint, instance_id text, execution_id uuid, execution int, name text, version text, parent_instance_id text,
  tags text, status smallint, created_at timestamptz, scheduled_at timestamptz, updated_at timestamptz,
  completed_at timestamptz, turn bigint, input text, output text, custom_status text, failure text, parent text, trace text,
  execution_turn bigint, history_turns bigint[], history_times timestamptz[], history_events text[],
  message_numbers bigint[], message_executions int[], message_sent timestamptz[], message_visible timestamptz[],
  message_bodies text[]
)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
#variable_conflict use_column
begin
  return query
    select i.key, i.instance_id, i.execution_id, i.execution, i.name, i.version, i.parent ->> 'instanceId', i.tags::text,
           i.status, i.created_at, i.scheduled_at, i.updated_at, i.completed_at, i.turn, i.input, i.output,
           i.custom_status, i.failure::text, i.parent::text, i.trace::text, i.execution_turn,
           h.turns, h.times, h.events, m.numbers, m.executions, m.sent, m.visible, m.bodies
    from unnest(p_ids) with ordinality u(id, n)
    cross join lateral (
      select * from everdure.instances x where x.hub_id = p_hub and x.instance_id = u.id and left(x.name, 1) <> '@' limit 1) i
    cross join lateral (
      select array_agg(h.turn order by h.turn) as turns, array_agg(h.at order by h.turn) as times,
             array_agg(h.events::text order by h.turn) as events
      from everdure.history h where h.key = i.key and h.execution = i.execution) h
    cross join lateral (
      select array_agg(v.number order by v.number) as numbers, array_agg(v.execution order by v.number) as executions,
             array_agg(v.sent_at order by v.number) as sent, array_agg(v.visible_at order by v.number) as visible,
             array_agg(v.body::text order by v.number) as bodies
      from everdure.messages v where v.key = i.key) m
    order by u.n;
end
$$;
