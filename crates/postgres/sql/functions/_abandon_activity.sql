-- Gives an activity row back, not to be offered before p_retry_after has passed; with p_failure that counts as a failed
-- attempt. False when it was not held any more. Locks: activities, poison.
create or replace function everdure._abandon_activity(
  p_id bigint, p_attempt int, p_node bigint, p_retry_after interval, p_failure text, p_lasting boolean
) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_pause interval := p_retry_after;
  v_row everdure.activities;
begin
  select * into v_row from everdure.activities a
  where a.id = p_id and a.attempt = p_attempt and a.locked_by = p_node for update;
  if not found then
    return false;
  end if;
  if p_failure is not null then
    v_pause := everdure._count_failure(v_row.hub_id, v_row.key, v_row.id, 0, p_failure, p_lasting, v_now);
    v_pause := case when v_pause is not null then greatest(v_pause, p_retry_after) end;
  end if;
  update everdure.activities a
  set locked_by = case when v_pause is null then 0 end, visible_at = v_now + coalesce(v_pause, '0')
  where a.id = p_id;
  return true;
end
$$;
