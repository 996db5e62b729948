-- Writes the turns of a flush. One that lost its row, or finds a timer not due, leaves its neighbours alone.
--
-- Three statements in this order, for under read committed each sees what was committed before it began: lock the
-- rows, compare, write. p_kinds: 0 goes on and changes nothing that an index covers, 1 anything else, 2 continues
-- as new, 3 a batch of an entity, which leaves no history. p_consumed lists message numbers, p_consumed_items the place
-- (from 1) of the turn that takes each.
-- p_steps: see _checkpoint_steps, with `next` {executionId, version, input} for kind 2, and `entity`, see
-- _checkpoint_entity, for kind 3.
-- Outcomes: {codes: a letter each, details: [[place, steps' outcome]]}; L landed, X lost, E early, B busy.
-- Locks: instances (by key; without p_wait it waits for none), messages, activities, history.
create or replace function everdure._checkpoint(
  p_hub int, p_node bigint, p_keys bigint[], p_claims int[], p_turns bigint[], p_executions int[],
  p_times timestamptz[], p_statuses smallint[], p_kinds smallint[], p_holds boolean[], p_events text[],
  p_custom_statuses text[], p_outputs text[], p_failures text[], p_consumed_items int[], p_consumed bigint[],
  p_steps text[], p_wait boolean
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_locked bigint[] := everdure._lock_instances(p_keys, p_wait);
  v_all boolean := cardinality(v_locked) = cardinality(p_keys);
  v_now timestamptz := clock_timestamp();
  v_codes text[];
  v_details json[] := '{}';
  v_ended bigint[];
  v_continued bigint[];
  v_kept boolean;
  v_count bigint;
  r record;
begin
  select array_agg(
    case when i.key is null or i.turn <> u.turn or i.claim <> u.claim or i.locked_by is distinct from p_node then 'X'
         when v_all or i.key = any (v_locked) then 'L'
         else 'B' end order by u.n)
  into v_codes
  from unnest(p_keys, p_turns, p_claims) with ordinality u(key, turn, claim, n)
  left join lateral (
    select x.key, x.turn, x.claim, x.locked_by from everdure.instances x where x.key = u.key limit 1) i on true;

  for r in
    select c.item, count(m.number) < count(*) as gone, coalesce(bool_or(m.visible_at > v_now), false) as early
    from unnest(p_consumed_items, p_consumed) c(item, number)
    left join lateral (
      select x.number, x.visible_at from everdure.messages x
      where x.key = p_keys[c.item] and x.number = c.number limit 1) m on true
    group by c.item
  loop
    if v_codes[r.item] = 'L' and (r.gone or r.early) then
      v_codes[r.item] := case when r.gone then 'X' else 'E' end;
    end if;
  end loop;
  for r in select u.n, u.steps::json from unnest(p_steps) with ordinality u(steps, n) where u.steps is not null loop
    if v_codes[r.n] = 'L' and not everdure._lock_targets(p_hub, r.steps, p_wait) then
      v_codes[r.n] := 'B';
    end if;
  end loop;

  if cardinality(p_consumed) > 0 then
    delete from everdure.messages m
    where m.ctid = any (array(
      select x.ctid
      from unnest(p_consumed_items, p_consumed) c(item, number)
      cross join lateral (
        select x.ctid from everdure.messages x where x.key = p_keys[c.item] and x.number = c.number limit 1) x
      where v_codes[c.item] = 'L'));
    get diagnostics v_count = row_count;
    if v_count <> (select count(*) from unnest(p_consumed_items) c(item) where v_codes[c.item] = 'L') then
      raise exception 'messages of locked instances vanished' using errcode = '40001';
    end if;
  end if;
  for r in select u.n, u.steps::json from unnest(p_steps) with ordinality u(steps, n) where u.steps is not null loop
    if v_codes[r.n] = 'L' then
      v_details := v_details || json_build_array(
        r.n, everdure._checkpoint_steps(p_hub, p_node, p_keys[r.n], p_executions[r.n], r.steps, v_now));
    end if;
  end loop;

  select array_agg(u.key) filter (where u.status in (1, 3, 5)), array_agg(u.key) filter (where u.kind = 2)
  into v_ended, v_continued
  from unnest(p_keys, p_statuses, p_kinds) with ordinality u(key, status, kind, n)
  where v_codes[u.n] = 'L';
  if v_ended is not null or v_continued is not null then
    delete from everdure.activities a
    where a.ctid = any (array(
      select x.ctid from unnest(v_ended || v_continued) k(key)
      cross join lateral (select x.ctid from everdure.activities x where x.key = k.key offset 0) x));
    delete from everdure.messages m
    where m.ctid = any (array(
      select x.ctid from unnest(v_ended || v_continued) k(key)
      cross join lateral (select x.ctid, x.execution from everdure.messages x where x.key = k.key offset 0) x
      where k.key = any (v_ended) or x.execution is not null));
  end if;
  if v_continued is not null then
    v_kept := exists (
      select from everdure.hub_settings s where s.hub_id = p_hub and s.name = 'retention.executions');
    if v_kept then
      insert into everdure.executions (key, execution, hub_id, execution_id, version, input, turn, ended_at)
      select i.key, i.execution, i.hub_id, i.execution_id, i.version, i.input, i.turn + 1, v_now
      from unnest(v_continued) k(key)
      cross join lateral (select * from everdure.instances x where x.key = k.key limit 1) i;
    else
      delete from everdure.history h
      where h.ctid = any (array(
        select x.ctid from unnest(p_keys, p_executions) k(key, execution)
        cross join lateral (
          select x.ctid from everdure.history x where x.key = k.key and x.execution = k.execution offset 0) x
        where k.key = any (v_continued)));
    end if;
  end if;

  update everdure.instances i
  set turn = i.turn + 1,
      updated_at = v_now,
      status = u.status,
      custom_status = nullif(coalesce(u.custom_status, i.custom_status), ''),
      output = u.output,
      failure = u.failure::json,
      completed_at = case when u.status in (1, 3, 5) then v_now end,
      locked_by = case when u.hold then i.locked_by end,
      claimed_at = case when u.hold then i.claimed_at end,
      due_at = case
        when u.status in (1, 3, 5) then null
        when u.kind = 0 then i.due_at
        when u.kind = 2 and not u.hold then v_now
        else (select min(m.visible_at) from everdure.messages m where m.key = i.key) end
  from unnest(p_keys, p_statuses, p_kinds, p_holds, p_custom_statuses, p_outputs, p_failures)
       with ordinality u(key, status, kind, hold, custom_status, output, failure, n)
  cross join lateral (select x.ctid as row from everdure.instances x where x.key = u.key limit 1) x
  where i.ctid = x.row and v_codes[u.n] = 'L';
  if v_continued is not null then
    update everdure.instances i
    set execution = i.execution + 1,
        execution_turn = i.turn,
        execution_id = (u.steps::json -> 'next' ->> 'executionId')::uuid,
        version = u.steps::json -> 'next' ->> 'version',
        input = u.steps::json -> 'next' ->> 'input'
    from unnest(p_keys, p_kinds, p_steps) with ordinality u(key, kind, steps, n)
    cross join lateral (select x.ctid as row from everdure.instances x where x.key = u.key limit 1) x
    where i.ctid = x.row and u.kind = 2 and v_codes[u.n] = 'L';
  end if;
  if 3 = any (p_kinds) then
    perform everdure._checkpoint_entity(u.key, u.steps::json -> 'entity', v_now)
    from unnest(p_keys, p_kinds, p_steps) with ordinality u(key, kind, steps, n)
    where u.kind = 3 and v_codes[u.n] = 'L';
  end if;
  insert into everdure.history (key, execution, turn, at, events)
  select u.key, u.execution, u.turn + 1, u.at, u.events::json
  from unnest(p_keys, p_executions, p_turns, p_times, p_events, p_kinds)
       with ordinality u(key, execution, turn, at, events, kind, n)
  where (u.kind in (0, 1) or u.kind = 2 and v_kept) and v_codes[u.n] = 'L';

  perform everdure._add_outcomes('checkpoint', json_build_object(
    'codes', array_to_string(v_codes, ''), 'details', array_to_json(v_details)));
end
$$;
