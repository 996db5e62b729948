-- Writes activity rows for steps of an instance whose row the caller has locked. p_activities: a JSON array of
-- {dispatch, task, name, version, input, tags, trace}. p_holder: the node on which they run already; null: they wait for one. A
-- step that has a row already keeps it. Locks: activities (new rows).
create or replace function everdure._add_activities(
  p_key bigint, p_now timestamptz, p_activities json, p_holder bigint default null) returns void
language plpgsql as $$
begin
  insert into everdure.activities (
    key, visible_at, created_at, hub_id, execution, execution_id, locked_by, attempt,
    dispatch, task_id, instance_id, orchestration_version, name, version, input, tags, trace)
  select i.key, p_now, p_now, i.hub_id, i.execution, i.execution_id, p_holder, (p_holder is not null)::int,
         a.dispatch, a.task, i.instance_id, i.version, a.name, a.version, a.input, a.tags, a.trace
  from everdure.instances i,
       json_to_recordset(p_activities) a(dispatch text, task int, name text, version text, input text, tags json, trace json)
  where i.key = p_key
  on conflict (key, execution, dispatch) do nothing;
end
$$;
