-- The task hub of this name, created when there is none. Locks: task_hubs (new row).
create or replace function everdure._open_hub(p_name text) returns table (hub_id int, at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
  at := clock_timestamp();
  hub_id := (select t.hub_id from everdure.task_hubs t where t.name = p_name);
  if hub_id is null then
    insert into everdure.task_hubs (name) values (p_name) on conflict (name) do nothing;
    hub_id := (select t.hub_id from everdure.task_hubs t where t.name = p_name);
  end if;
  return next;
end
$$;
