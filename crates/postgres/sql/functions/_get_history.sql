-- The turns of the current execution of an instance, oldest first. No locks.
create or replace function everdure._get_history(p_key bigint, p_execution int)
returns table (turn bigint, at timestamptz, events text)
language sql stable as $$
  select h.turn, h.at, h.events::text
  from everdure.history h where h.key = p_key and h.execution = p_execution order by h.turn
$$;
