-- Takes the failure of instances back, all or none: false when one of them, or one of p_observed, does not stand as it
-- was seen. p_items, parents first: {key, failedTurn, executionId, anew, status, turns: [{turn, at, events}], calls:
-- [{dispatch, target, lost: what it hears when it does not wait at its entity any more}], steps: as in
-- _checkpoint_steps}. p_observed: {key, endedAt (the turn, null when it had not ended)}.
-- Locks: instances (by key), messages, activities, history, poison.
create or replace function everdure._rewind_instances(p_hub int, p_items text, p_observed text) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_items json := p_items::json;
  v_observed json := p_observed::json;
  v_now timestamptz;
  r record;
begin
  perform everdure._lock_instances(array(
    select (x.item ->> 'key')::bigint from json_array_elements(v_items) x(item)
    union all
    select (x.item ->> 'key')::bigint from json_array_elements(v_observed) x(item)), true);
  v_now := clock_timestamp();
  for r in
    select i.turn, i.status, x."failedTurn" from json_to_recordset(v_items) x(key bigint, "failedTurn" bigint)
    left join lateral (select * from everdure.instances y where y.key = x.key limit 1) i on true
  loop
    if r.turn is distinct from r."failedTurn" or r.status is distinct from 3 then
      return false;
    end if;
  end loop;
  for r in
    select i.key, i.turn, i.completed_at, x."endedAt" from json_to_recordset(v_observed) x(key bigint, "endedAt" bigint)
    left join lateral (select * from everdure.instances y where y.key = x.key limit 1) i on true
  loop
    if r.key is null or (case when r.completed_at is not null then r.turn end) is distinct from r."endedAt" then
      return false;
    end if;
  end loop;
  for r in
    select i.key, i.execution, x."executionId", x.anew, x.status, x.turns, x.calls, x.steps
    from json_array_elements(v_items) with ordinality a(item, n)
    cross join lateral json_to_record(a.item) x(
      key bigint, "executionId" uuid, anew boolean, status smallint, turns json, calls json, steps json)
    cross join lateral (select y.key, y.execution from everdure.instances y where y.key = x.key limit 1) i
    order by a.n
  loop
    update everdure.instances i
    set turn = i.turn + 1, execution_turn = case when r.anew then i.turn + 1 else i.execution_turn end,
        execution_id = r."executionId", status = r.status, output = null, failure = null, completed_at = null, updated_at = v_now,
        locked_by = null, claimed_at = null, due_at = v_now
    where i.key = r.key;
    delete from everdure.poison p where p.key = r.key and p.activity = 0;
    if r.anew then
      delete from everdure.history h where h.key = r.key and h.execution = r.execution;
    end if;
    insert into everdure.history as h (key, execution, turn, at, events)
    select r.key, r.execution, t.turn, t.at, t.events
    from json_to_recordset(r.turns) t(turn bigint, at timestamptz, events json)
    on conflict (key, execution, turn) do update set events = excluded.events;
    perform everdure._post(r.key, r.execution, c.dispatch, v_now, v_now, c.lost)
    from json_to_recordset(r.calls) c(dispatch text, target text, lost json)
    where not exists (
      select from everdure.instances e, everdure.messages m
      where e.hub_id = p_hub and e.instance_id = c.target and m.key = e.key
        and (m.body #>> '{caller,key}')::bigint = r.key and m.body #>> '{caller,dispatch}' = c.dispatch);
    if r.steps is not null then
      perform everdure._checkpoint_steps(p_hub, null, r.key, r.execution, r.steps, v_now);
    end if;
  end loop;
  return true;
end
$$;
