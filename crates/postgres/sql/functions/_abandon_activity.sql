-- Gives an activity row back, not to be offered before p_retry_after has passed. False when it was not held any
-- more. Locks: activities.
create or replace function everdure._abandon_activity(p_id bigint, p_attempt int, p_node bigint, p_retry_after interval)
returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
  update everdure.activities a
  set locked_by = null, visible_at = clock_timestamp() + p_retry_after
  where a.id = p_id and a.attempt = p_attempt and a.locked_by = p_node;
  return found;
end
$$;
