-- The number of the task hub of this name. No locks. SQLSTATE: ED404 when there is none.
create or replace function everdure._hub(p_hub text) returns int
language plpgsql stable as $$
declare
  v_hub int := (select t.hub_id from everdure.task_hubs t where t.name = p_hub);
begin
  if v_hub is null then
    raise exception 'there is no task hub ''%''', p_hub
      using errcode = 'ED404', hint = 'A hub is made when the first worker opens it, or something is started in it.';
  end if;
  return v_hub;
end
$$;
