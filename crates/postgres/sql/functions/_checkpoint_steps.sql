-- The rarer parts of one checkpoint: what it gives up, carries over, sets, creates and sends. The caller has locked
-- the row of the instance and those of _lock_targets, and writes the instance's row afterwards.
-- p_steps: {cancelled: [dispatch], carry: [body], timers: [{dispatch, fireAt, body}], activities: as in
-- _add_activities, children: [{instanceId, executionId, name, version, input, tags, parent, trace,
-- scheduledStart, born}],
-- messages: [{key, execution}, {instanceId} or {instanceId, child}, with dispatch, body and notBefore]}. Entities that
-- get a message are made if need be; to a child only while the id is that of a sub-orchestration of this execution. A
-- granted lock, and a request for one on its way to the next entity, that finds its owner gone unlocks its whole set.
-- Returns {children: [key or null], delivered: [{key, number, execution, at, body}]}, the latter only for instances
-- that p_node holds. Locks: messages, activities, instances (new ones).
-- SQLSTATE: 40001 when a child's id was taken and freed meanwhile: the flush is repeated.
create or replace function everdure._checkpoint_steps(
  p_hub int, p_node bigint, p_key bigint, p_execution int, p_steps json, p_now timestamptz
) returns json
language plpgsql as $$
declare
  v_children json[] := '{}';
  v_delivered json[] := '{}';
  v_micros bigint := (extract(epoch from p_now) * 1000000)::bigint;
  v_number bigint;
  v_target bigint;
  v_holder bigint;
  v_status smallint;
  v_parent json;
  v_orphaned boolean;
  v_visible timestamptz;
  v_body json;
  r record;
begin
  if p_steps -> 'cancelled' is not null then
    delete from everdure.messages m
    where m.key = p_key and m.execution = p_execution
      and m.dispatch in (select json_array_elements_text(p_steps -> 'cancelled'));
    delete from everdure.activities a
    where a.key = p_key and a.execution = p_execution
      and a.dispatch in (select json_array_elements_text(p_steps -> 'cancelled'));
  end if;
  for r in
    select c.body from json_array_elements(p_steps -> 'carry') with ordinality c(body, n) order by c.n desc
  loop
    v_number := nextval('everdure.carried_numbers');
    insert into everdure.messages (key, number, sent_at, visible_at, body) values (p_key, v_number, p_now, p_now, r.body);
    v_delivered := json_build_object('key', p_key, 'number', v_number, 'at', v_micros, 'body', r.body) || v_delivered;
  end loop;
  insert into everdure.messages (key, number, sent_at, visible_at, execution, dispatch, body)
  select p_key, nextval('everdure.message_numbers'), p_now, t."fireAt", p_execution, t.dispatch, t.body
  from json_to_recordset(p_steps -> 'timers') t(dispatch text, "fireAt" timestamptz, body json);
  if p_steps -> 'activities' is not null then
    perform everdure._add_activities(p_key, p_now, p_steps -> 'activities');
  end if;
  if p_steps -> 'children' is not null then
    for r in
      with c as (
        select array_agg(x."instanceId" order by x."instanceId") as ids,
               array_agg(x."executionId" order by x."instanceId") as execution_ids,
               array_agg(x.name order by x."instanceId") as names,
               array_agg(x.version order by x."instanceId") as versions,
               array_agg(x.input order by x."instanceId") as inputs,
               array_agg(x.tags order by x."instanceId") as tags,
               array_agg(x.parent order by x."instanceId") as parents,
               array_agg(x.trace order by x."instanceId") as traces,
               array_agg(x."scheduledStart" order by x."instanceId") as scheduled,
               array_agg(x.born order by x."instanceId") as born,
               array_agg(x.n order by x."instanceId") as ns
        from json_to_recordset(p_steps -> 'children') x(
          n int, "instanceId" text, "executionId" uuid, name text, version text, input text, tags text, parent text,
          trace text, "scheduledStart" timestamptz, born boolean)
      )
      select i.code, i.key, c.parents[i.n]::json as parent, c.ids[i.n] as instance_id
      from c, everdure._insert_instances(
        p_hub, p_node, p_now, c.ids, c.execution_ids, c.names, c.versions, c.inputs, c.tags, c.parents,
        c.traces, c.scheduled,
        -- The bits of Completed, Failed and Terminated.
        array_fill(42::smallint, array[cardinality(c.ids)]),
        array_fill(null::uuid, array[cardinality(c.ids)]), c.born, false) i
      order by c.ns[i.n]
    loop
      if r.code = 'B' then
        raise exception 'the id ''%'' of a child was taken and freed meanwhile', r.instance_id using errcode = '40001';
      end if;
      v_children := v_children || to_json(case when r.code = 'C' then r.key end);
      if r.code <> 'C' and r.parent is not null then
        v_number := nextval('everdure.message_numbers');
        v_body := json_build_object(
          'type', 'SubOrchestrationInstanceFailed',
          'dispatch', r.parent ->> 'dispatch',
          'failure', json_build_object(
            'type', 'OrchestrationAlreadyExists',
            'message', format('orchestration instance already exists: ''%s'' has not ended', r.instance_id)));
        insert into everdure.messages (key, number, sent_at, visible_at, execution, dispatch, body)
        values (p_key, v_number, p_now, p_now, p_execution, r.parent ->> 'dispatch', v_body);
        v_delivered := v_delivered || json_build_object(
          'key', p_key, 'number', v_number, 'execution', p_execution, 'at', v_micros, 'body', v_body);
      end if;
    end loop;
  end if;
  for r in
    select m.* from json_array_elements(p_steps -> 'messages') with ordinality j(m, n)
    cross join lateral json_to_record(j.m) m(
      key bigint, "instanceId" text, child boolean, execution int, dispatch text, "notBefore" timestamptz, body json)
    order by j.n
  loop
    v_target := r.key;
    if v_target is null and r."instanceId" like '@%' then
      v_target := everdure._lock_entity(p_hub, r."instanceId", p_now, false);
      if v_target is null then
        raise exception 'entity ''%'' is being made by another transaction', r."instanceId" using errcode = '40001';
      end if;
    end if;
    select i.key, i.locked_by, i.status, i.parent into v_target, v_holder, v_status, v_parent from everdure.instances i
    where i.key = coalesce(v_target, (
      select t.key from everdure.instances t where t.hub_id = p_hub and t.instance_id = r."instanceId"));
    continue when r.child and ((v_parent ->> 'key')::bigint, (v_parent ->> 'execution')::int)
      is distinct from (p_key, p_execution);
    -- The rows that this needs were locked before; if others need to be by now, its next holder ends it.
    if v_status = 6 and r.body ->> 'type' = 'ExecutionTerminated'
       and everdure._terminate_unheld(v_target, r.body ->> 'reason', false, p_now, false) = 'T' then
      continue;
    end if;
    v_visible := greatest(p_now, r."notBefore");
    -- Going on, it could wait for long, and what it has locked with it.
    v_orphaned := r.body ->> 'type' = 'EntityLockRequested' and (r.body #>> '{owner,key}')::bigint <> p_key
      and not exists (
        select from everdure.instances o
        where o.key = (r.body #>> '{owner,key}')::bigint and o.execution = (r.body #>> '{owner,execution}')::int
          and o.completed_at is null);
    v_number := case when not v_orphaned
      then everdure._post(v_target, r.execution, r.dispatch, p_now, v_visible, r.body) end;
    if v_orphaned or v_number is null and r.body ->> 'type' = 'EntityLockGranted' then
      perform everdure._post(i.key, null, null, p_now, p_now, json_build_object(
        'type', 'EntityUnlock', 'criticalSection', r.body ->> 'criticalSection'))
      from json_array_elements_text(r.body -> 'lockSet') l(id)
      cross join lateral (
        select x.key from everdure.instances x where x.hub_id = p_hub and x.instance_id = l.id limit 1) i;
    elsif v_number is not null and v_holder = p_node and v_visible = p_now then
      v_delivered := v_delivered || json_build_object(
        'key', v_target, 'number', v_number, 'execution', r.execution, 'at', v_micros, 'body', r.body);
    end if;
  end loop;
  return json_build_object('children', array_to_json(v_children), 'delivered', array_to_json(v_delivered));
end
$$;
