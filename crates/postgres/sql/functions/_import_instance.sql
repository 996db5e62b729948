-- Adds an instance as a document tells it; never in the place of another. p_instance: the document, its turns with
-- `events` as they are stored, with `statusCode`, `tagSet` and `waiting`: its messages with `dispatch`. Live ones are held by nobody and due. `orphaned`: its parent is
-- not here, or has gone on to another execution. Without a key, an instance of that `status` has the id.
-- Locks: instances (new row), messages, history. SQLSTATE: ED404 when the hub was deleted.
create or replace function everdure._import_instance(p_hub int, p_instance text)
returns table (key bigint, orphaned boolean, status smallint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  v json := p_instance::json;
  v_now timestamptz := clock_timestamp();
  v_link json := v -> 'parent';
  v_parent bigint;
begin
  if not exists (select from everdure.task_hubs t where t.hub_id = p_hub) then
    raise exception 'the task hub has been deleted' using errcode = 'ED404', hint = 'Open it again, and it is made anew.';
  end if;
  v_parent := (
    select i.key from everdure.instances i
    where i.hub_id = p_hub and i.instance_id = v_link ->> 'instanceId' and i.execution = (v_link ->> 'execution')::int);
  orphaned := json_typeof(v_link) = 'object' and v_parent is null;
  key := nextval('everdure.instance_keys');
  insert into everdure.instances as i (
    key, hub_id, instance_id, execution_id, execution, name, version, tags, parent, status, created_at, scheduled_at,
    updated_at, completed_at, turn, execution_turn, input, output, custom_status, failure, due_at)
  select key, p_hub, x."instanceId", x."executionId", x.execution, x.name, x.version, x."tagSet",
         case when v_parent is not null then json_build_object(
           'key', v_parent, 'execution', (v_link ->> 'execution')::int, 'dispatch', v_link ->> 'dispatch',
           'instanceId', v_link ->> 'instanceId', 'taskId', (v_link ->> 'taskId')::int) end,
         x."statusCode", x."createdAt", x."scheduledStart", x."updatedAt", x."completedAt", x.turn, x."executionTurn",
         x.input, x.output, x."customStatus", x.failure,
         case when x."completedAt" is null then greatest(v_now, case x."statusCode" when 6 then x."scheduledStart" end) end
  from json_to_record(v) x(
    "instanceId" text, "executionId" uuid, execution int, name text, version text, "tagSet" json, "statusCode" smallint,
    "createdAt" timestamptz, "scheduledStart" timestamptz, "updatedAt" timestamptz, "completedAt" timestamptz,
    turn bigint, "executionTurn" bigint, input text, output text, "customStatus" text, failure json)
  on conflict (hub_id, instance_id) do nothing;
  if not found then
    key := null;
    status := (select i.status from everdure.instances i where i.hub_id = p_hub and i.instance_id = v ->> 'instanceId');
    return next;
    return;
  end if;
  insert into everdure.history (key, execution, turn, at, events)
  select key, (v ->> 'execution')::int, t.turn, t.time, t.events
  from json_to_recordset(v -> 'history') t(turn bigint, time timestamptz, events json);
  insert into everdure.messages (key, number, execution, dispatch, sent_at, visible_at, body)
  select key, nextval('everdure.message_numbers'), m.execution, m.dispatch, m."sentAt", m."visibleAt", m.body
  from (
    select x.* from json_array_elements(v -> 'waiting') with ordinality j(m, n)
    cross join lateral json_to_record(j.m) x(
      execution int, dispatch text, "sentAt" timestamptz, "visibleAt" timestamptz, body json)
    order by j.n offset 0) m;
  return next;
end
$$;
