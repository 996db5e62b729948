-- Writes activity rows for steps of an instance whose row the caller has locked. p_activities: a JSON array of
-- {dispatch, name, version, input, tags}. p_holder: the node on which they run already; null: they wait for one. A
-- step that has a row already keeps it. Locks: activities (new rows).
create or replace function everdure._add_activities(
  p_key bigint, p_now timestamptz, p_activities json, p_holder bigint default null) returns void
language plpgsql as $$
begin
  insert into everdure.activities (
    key, visible_at, created_at, hub_id, execution, execution_id, locked_by, attempt,
    dispatch, instance_id, name, version, input, tags)
  select i.key, p_now, p_now, i.hub_id, i.execution, i.execution_id, p_holder, (p_holder is not null)::int,
         a.dispatch, i.instance_id, a.name, a.version, a.input, a.tags
  from everdure.instances i,
       json_to_recordset(p_activities) a(dispatch text, name text, version text, input text, tags json)
  where i.key = p_key
  on conflict (key, execution, dispatch) do nothing;
end
$$;
