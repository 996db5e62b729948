-- Whether a task hub that somebody has opened is still there: another process may have deleted it. No locks.
create or replace function everdure._hub_lives(p_hub int) returns boolean
language sql stable as $$
  select exists (select from everdure.task_hubs t where t.hub_id = p_hub)
$$;
