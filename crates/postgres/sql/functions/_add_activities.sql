-- Writes activity rows for steps of an instance whose row the caller has locked. p_activities: a JSON array of
-- {dispatch, name, version, input, tags}. A step that has a row already keeps it. Locks: activities (new rows).
create or replace function everdure._add_activities(p_key bigint, p_now timestamptz, p_activities json) returns void
language plpgsql as $$
begin
  insert into everdure.activities (
    key, visible_at, created_at, hub_id, execution, execution_id, dispatch, instance_id, name, version, input, tags)
  select i.key, p_now, p_now, i.hub_id, i.execution, i.execution_id,
         a.dispatch, i.instance_id, a.name, a.version, a.input, a.tags
  from everdure.instances i,
       json_to_recordset(p_activities) a(dispatch text, name text, version text, input text, tags json)
  where i.key = p_key
  on conflict (key, execution, dispatch) do nothing;
end
$$;
