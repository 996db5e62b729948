-- Writes the turns of a flush. One that lost its row, or finds a timer not due, leaves its neighbours alone.
--
-- Three statements in this order, for under read committed each sees what was committed before it began: lock the
-- rows, compare, write. p_kinds: 0 goes on and changes nothing that an index covers, 1 anything else, 2 continues
-- as new. p_consumed lists message numbers, p_consumed_items the place (from 1) of the turn that takes each.
-- p_steps: see _checkpoint_steps, with `next` {executionId, version, input} for kind 2.
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
  v_count bigint;
  -- More than there can be: it changes no result, but the planner expects few rows of what it bounds, and so looks
  -- instances up one by one instead of reading the whole table when that looked small at planning time.
  v_limit bigint := 1000000000;
  r record;
begin
  select array_agg(
    case when i.key is null or i.turn <> u.turn or i.claim <> u.claim or i.locked_by is distinct from p_node then 'X'
         when v_all or i.key = any (v_locked) then 'L'
         else 'B' end order by u.n)
  into v_codes
  from (select * from unnest(p_keys, p_turns, p_claims) with ordinality u(key, turn, claim, n) limit v_limit) u
  left join everdure.instances i on i.key = u.key;

  for r in
    select c.item, count(m.number) < count(*) as gone, coalesce(bool_or(m.visible_at > v_now), false) as early
    from (select * from unnest(p_consumed_items, p_consumed) c(item, number) limit v_limit) c
    left join everdure.messages m on m.key = p_keys[c.item] and m.number = c.number
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
    using (select * from unnest(p_consumed_items, p_consumed) c(item, number) limit v_limit) c
    where m.key = p_keys[c.item] and m.number = c.number and v_codes[c.item] = 'L';
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
    delete from everdure.activities a where a.key = any (v_ended || v_continued);
    delete from everdure.messages m
    where m.key = any (v_ended) or m.key = any (v_continued) and m.execution is not null;
    delete from everdure.history h where h.key = any (v_continued);
  end if;

  update everdure.instances i
  set turn = i.turn + 1,
      updated_at = v_now,
      status = u.status,
      custom_status = coalesce(u.custom_status, i.custom_status),
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
  from (
    select * from unnest(p_keys, p_statuses, p_kinds, p_holds, p_custom_statuses, p_outputs, p_failures)
      with ordinality u(key, status, kind, hold, custom_status, output, failure, n)
    limit v_limit) u
  where i.key = u.key and v_codes[u.n] = 'L';
  if v_continued is not null then
    update everdure.instances i
    set execution = i.execution + 1,
        execution_turn = i.turn,
        execution_id = (u.steps::json -> 'next' ->> 'executionId')::uuid,
        version = u.steps::json -> 'next' ->> 'version',
        input = u.steps::json -> 'next' ->> 'input'
    from (select * from unnest(p_keys, p_kinds, p_steps) with ordinality u(key, kind, steps, n) limit v_limit) u
    where i.key = u.key and u.kind = 2 and v_codes[u.n] = 'L';
  end if;
  insert into everdure.history (key, execution, turn, at, events)
  select u.key, u.execution, u.turn + 1, u.at, u.events::json
  from unnest(p_keys, p_executions, p_turns, p_times, p_events, p_kinds)
       with ordinality u(key, execution, turn, at, events, kind, n)
  where u.kind <> 2 and v_codes[u.n] = 'L';

  perform everdure._add_outcomes('checkpoint', json_build_object(
    'codes', array_to_string(v_codes, ''), 'details', array_to_json(v_details)));
end
$$;
