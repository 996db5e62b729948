-- Claims orchestrations that are due, with all that a turn needs, and collects the mail of those that the node
-- holds. p_names and p_versions go together; a null version takes every version, an empty one what has none;
-- the name * every orchestration, @* every entity. The last row has no key and tells
-- in how many microseconds the next one comes due. An instance comes with at most p_messages messages, and with no
-- more of them than fit into 4 MB as stored, but always with one.
--
-- Claim, then read: the second statement sees whatever was committed before the claim got its lock.
-- Locks: lanes, instances (without waiting). SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._lock_orchestrations(
  p_hub int, p_node bigint, p_lane int, p_names text[], p_versions text[], p_limit int, p_messages int
) returns table (
  key bigint, claim int, was_held boolean, execution int, execution_turn bigint, turn bigint, status smallint,
  instance_id text, execution_id uuid, name text, version text, input text, parent text, trace text,
  tags text, scheduled_at timestamptz, entity_lock text, history_turns bigint[],
  history_times timestamptz[], history_events text[], message_numbers bigint[], message_executions int[],
  message_sent timestamptz[], message_visible timestamptz[], message_bodies text[], activities text[], more_messages boolean, next_due bigint
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
#variable_conflict use_column
declare
  -- A clock called in the query is volatile and could not bound an index.
  v_now timestamptz;
  v_claimed bigint[];
  v_mail bigint[];
  c_bytes constant int := 4 << 20;
begin
  perform everdure._open_flush(p_node, p_lane);
  v_now := clock_timestamp();
  if p_names && array['*', '@*'] then
    select array_agg(e.name), array_agg(e.version) into p_names, p_versions
    from everdure._expand_names(p_hub, p_names, p_versions) e;
  end if;
  with due as materialized (
    select d.key, d.row from (
      select unnest(p_names) as name, unnest(p_versions) as version) f
    cross join lateral (
      select i.key, i.due_at, i.ctid as row from everdure.instances i
      where i.hub_id = p_hub and i.name = f.name and i.due_at <= v_now and i.locked_by is null
        and (f.version is null or coalesce(i.version, '') = f.version)
      order by i.due_at limit p_limit
      for update skip locked) d
    order by d.due_at limit p_limit
  ), claimed as (
    update everdure.instances i
    set locked_by = p_node, claim = i.claim + 1, claimed_at = v_now, due_at = null
    from (select distinct due.row from due) d
    where i.ctid = d.row
    returning i.key
  )
  select coalesce(array_agg(c.key), '{}') into v_claimed from claimed c;

  select coalesce(array_agg(m.key), '{}') into v_mail from (
    select i.key from everdure.instances i
    where i.locked_by = p_node and i.due_at <= v_now
    order by i.due_at limit 1000 for update skip locked) m;
  if v_mail <> '{}' then
    update everdure.instances i set due_at = null
    where i.ctid = any (array(
      select x.ctid from unnest(v_mail) k(key)
      cross join lateral (select x.ctid from everdure.instances x where x.key = k.key limit 1) x));
  end if;

  if v_claimed <> '{}' or v_mail <> '{}' then
    update everdure.instances i
    set due_at = d.due_at
    from (
      select x.row, m.due_at
      from unnest(v_claimed || v_mail) k(key)
      cross join lateral (
        -- Mail that no turn has taken after a minute is offered again: the answer to this claim may be lost. What did
        -- not fit is offered soon, but not at once: a turn has to take the first part before.
        select case when c.visible > p_messages or c.visible > 1 and c.bytes > c_bytes
                    then v_now + interval '100 milliseconds'
                    when k.key = any (v_mail) and c.visible > 0 then least(c.later, v_now + interval '1 minute')
                    else c.later end as due_at
        from (
          select count(*) filter (where m.visible_at <= v_now) as visible,
                 sum(pg_column_size(m.body)) filter (where m.visible_at <= v_now) as bytes,
                 min(m.visible_at) filter (where m.visible_at > v_now) as later
          from everdure.messages m where m.key = k.key) c) m
      cross join lateral (select x.ctid as row from everdure.instances x where x.key = k.key limit 1) x
      where m.due_at is not null) d
    where i.ctid = d.row;
  end if;

  return query
    select i.key, i.claim, k.was_held, i.execution, i.execution_turn, i.turn, i.status, i.instance_id, i.execution_id,
           i.name, i.version, i.input, i.parent::text, i.trace::text, i.tags::text, i.scheduled_at, i.entity_lock::text,
           h.turns, h.times, h.events, m.numbers, m.executions, m.sent, m.visible, m.bodies, a.dispatches,
           m.there > m.taken, null::bigint
    from (select c.key, false as was_held from unnest(v_claimed) c(key)
          union all select c.key, true from unnest(v_mail) c(key)) k
    cross join lateral (select * from everdure.instances x where x.key = k.key limit 1) i
    cross join lateral (
      select array_agg(h.turn order by h.turn) as turns, array_agg(h.at order by h.turn) as times,
             array_agg(h.events::text order by h.turn) as events
      from everdure.history h
      where h.key = i.key and h.execution = i.execution and not k.was_held) h
    cross join lateral (
      select array_agg(v.number order by v.number) as numbers, array_agg(v.execution order by v.number) as executions,
             array_agg(v.sent_at order by v.number) as sent, array_agg(v.visible_at order by v.number) as visible,
             array_agg(v.body::text order by v.number) as bodies, max(v.there) as there, count(*) as taken
      from (
        select v.*, count(*) over () as there, row_number() over w as place, sum(pg_column_size(v.body)) over w as bytes
        from everdure.messages v
        where v.key = i.key and v.visible_at <= v_now
        window w as (order by v.number) order by v.number limit p_messages) v
      where v.place = 1 or v.bytes <= c_bytes) m
    cross join lateral (
      select array_agg(s.dispatch) as dispatches from (
        select a.dispatch from everdure.activities a
        where a.key = i.key and a.execution = i.execution and not k.was_held
        union all
        -- Answers that do not fit into this turn: their steps must not run again.
        select w.dispatch from everdure.messages w
        where m.there > m.taken and w.key = i.key and w.dispatch is not null and not k.was_held) s) a;
  return query
    select null::bigint, null::int, null::boolean, null::int, null::bigint, null::bigint, null::smallint, null::text,
           null::uuid, null::text, null::text, null::text, null::text, null::text, null::text, null::timestamptz,
           null::text, null::bigint[], null::timestamptz[], null::text[], null::bigint[], null::int[], null::timestamptz[], null::timestamptz[],
           null::text[], null::text[], null::boolean,
           (extract(epoch from min(d.due_at) - v_now) * 1000000)::bigint
    from (
      select x.due_at from unnest(p_names) f(name)
      cross join lateral (
        select i.due_at from everdure.instances i
        where i.hub_id = p_hub and i.name = f.name and i.due_at is not null and i.locked_by is null
        order by i.due_at limit 1) x
      union all
      (select i.due_at from everdure.instances i
       where i.locked_by = p_node and i.due_at is not null order by i.due_at limit 1)
    ) d;
end
$$;
