-- Gives up the residency of instances: rows for activities that still run or wait in memory, messages for results
-- that no turn has seen, release. p_items: {claim, turn, activities (for others), running (that go on here),
-- completions: [{dispatch, body}], retryAfter (seconds), failure (why a turn failed), lasting}. Outcomes: [letter, [[dispatch, id] of what goes on]], with
-- R released, L lost, B busy.
-- Locks: instances (by key; without p_wait it waits for none), messages, activities, poison.
create or replace function everdure._demote(p_node bigint, p_keys bigint[], p_items text[], p_wait boolean) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_locked bigint[] := everdure._lock_instances(p_keys, p_wait);
  v_now timestamptz := clock_timestamp();
  v_outcomes json[] := '{}';
  v_running json;
  v_row everdure.instances;
  v_item json;
  v_pause interval;
  v_failed interval;
  v_end json;
begin
  for n in 1 .. cardinality(p_keys) loop
    v_item := p_items[n]::json;
    select * into v_row from everdure.instances i where i.key = p_keys[n];
    if not found then
      v_outcomes := v_outcomes || json_build_array('L', null);
    elsif not p_keys[n] = any (v_locked) then
      v_outcomes := v_outcomes || json_build_array('B', null);
    elsif v_row.turn <> (v_item ->> 'turn')::bigint or v_row.claim <> (v_item ->> 'claim')::int
          or v_row.locked_by is distinct from p_node then
      v_outcomes := v_outcomes || json_build_array('L', null);
    else
      if v_item -> 'activities' is not null then
        perform everdure._add_activities(v_row.key, v_now, v_item -> 'activities');
      end if;
      v_running := null;
      if v_item -> 'running' is not null then
        perform everdure._add_activities(v_row.key, v_now, v_item -> 'running', p_node);
        select json_agg(json_build_array(a.dispatch, a.id)) into v_running
        from json_to_recordset(v_item -> 'running') r(dispatch text)
        cross join lateral (
          select a.dispatch, a.id from everdure.activities a
          where a.key = v_row.key and a.execution = v_row.execution and a.dispatch = r.dispatch
            and a.locked_by = p_node) a;
      end if;
      if v_item -> 'completions' is not null then
        insert into everdure.messages (key, number, sent_at, visible_at, execution, dispatch, body)
        select v_row.key, nextval('everdure.message_numbers'), v_now, v_now, v_row.execution, c.dispatch, c.body
        from json_to_recordset(v_item -> 'completions') c(dispatch text, body json);
      end if;
      v_pause := make_interval(secs => coalesce((v_item ->> 'retryAfter')::float8, 0));
      if v_item ->> 'failure' is not null then
        v_failed := everdure._count_failure(
          v_row.hub_id, v_row.key, 0, v_row.turn, v_item ->> 'failure', (v_item ->> 'lasting')::boolean, v_now);
        v_pause := case when v_failed is not null then greatest(v_pause, v_failed) end;
      end if;
      update everdure.instances i
      set locked_by = case when v_pause is null then 0 end,
          claimed_at = null,
          due_at = (
            select case when d.due_at is not null then greatest(d.due_at, v_now + v_pause) end
            from (select case when left(i.name, 1) = '@'
                              -- Hidden messages of an entity wait for its unlocking.
                              then (select min(m.visible_at) from everdure.messages m
                                    where m.key = i.key and m.visible_at < everdure._hidden())
                              when i.turn = i.execution_turn then v_now
                              else (select min(m.visible_at) from everdure.messages m where m.key = i.key) end) d(due_at))
      where i.key = v_row.key;
      -- Told to end while somebody had it: now that nobody has, it needs no worker for that.
      for v_end in
        select m.body from everdure.messages m
        where m.key = v_row.key and m.body ->> 'type' = 'ExecutionTerminated' and left(v_row.name, 1) <> '@'
        order by m.number limit 1
      loop
        perform everdure._terminate_unheld(
          v_row.key, v_end ->> 'reason', coalesce((v_end ->> 'recurse')::boolean, false), v_now, p_wait);
      end loop;
      v_outcomes := v_outcomes || json_build_array('R', v_running);
    end if;
  end loop;
  perform everdure._add_outcomes('demote', array_to_json(v_outcomes));
end
$$;
