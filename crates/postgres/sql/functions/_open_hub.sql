-- The task hub of this name; when there is none, it is created if p_create. Locks: task_hubs (new row).
-- SQLSTATE: ED404 when there is none and none is to be made.
create or replace function everdure._open_hub(p_name text, p_create boolean)
returns table (hub_id int, at timestamptz)
language plpgsql as $$
#variable_conflict use_column
begin
  at := clock_timestamp();
  hub_id := (select t.hub_id from everdure.task_hubs t where t.name = p_name);
  if hub_id is null and not p_create then
    raise exception 'there is no task hub ''%'', only: %', p_name, coalesce(
        (select string_agg(h.name, ', ') from (select t.name from everdure.task_hubs t order by t.name limit 50) h),
        '(none)')
      using errcode = 'ED404', hint = 'A hub is made when the first worker opens it, or something is started in it.';
  end if;
  if hub_id is null then
    insert into everdure.task_hubs (name) values (p_name) on conflict (name) do nothing;
    hub_id := (select t.hub_id from everdure.task_hubs t where t.name = p_name);
  end if;
  return next;
end
$$;
