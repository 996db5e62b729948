-- Delivers the results of activities. One without an id has no row: its orchestration is held by the node, which needs
-- no other sign of the message than the outcome. Outcomes: [code, number, microseconds of the time, holder]
-- each; codes: D delivered, L lost (the row is gone or was handed to somebody else, or nobody waits), B busy.
-- Locks: instances (one after the other; without p_wait it waits for none), messages, activities.
create or replace function everdure._complete_activities(
  p_node bigint, p_ids bigint[], p_attempts int[], p_keys bigint[], p_executions int[], p_dispatches text[],
  p_bodies text[], p_wait boolean
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_outcomes json[] := '{}';
  v_locked bigint[] := everdure._lock_instances(p_keys, p_wait);
  v_now timestamptz := clock_timestamp();
  v_code text;
  v_number bigint;
  v_holder bigint;
begin
  for n in 1 .. cardinality(p_ids) loop
    v_code := 'L';
    v_number := null;
    v_holder := null;
    if not p_keys[n] = any (v_locked) and exists (select from everdure.instances i where i.key = p_keys[n]) then
      v_code := 'B';
    elsif p_ids[n] is null then
      v_number := nextval('everdure.message_numbers');
      insert into everdure.messages (key, number, execution, dispatch, sent_at, visible_at, body)
      select i.key, v_number, i.execution, p_dispatches[n], v_now, v_now, p_bodies[n]::json
      from everdure.instances i
      where i.key = p_keys[n] and i.execution = p_executions[n] and i.locked_by = p_node;
      if found then
        v_code := 'D';
        v_holder := p_node;
      end if;
    else
      delete from everdure.activities a
      where a.id = p_ids[n] and a.attempt = p_attempts[n] and a.locked_by = p_node and a.key = p_keys[n];
      if found then
        v_number := everdure._post(p_keys[n], p_executions[n], p_dispatches[n], v_now, v_now, p_bodies[n]::json);
        if v_number is not null then
          v_code := 'D';
          select i.locked_by into v_holder from everdure.instances i where i.key = p_keys[n];
        end if;
      end if;
    end if;
    v_outcomes[n] := json_build_array(v_code, v_number, (extract(epoch from v_now) * 1000000)::bigint, v_holder);
  end loop;
  perform everdure._add_outcomes('complete', array_to_json(v_outcomes));
end
$$;
