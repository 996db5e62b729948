-- Counts a failed attempt of a turn (p_activity 0), or of an activity that has a row. Returns how long to wait before
-- the next one: nothing the first time, then a second, doubled each time up to five minutes; null when it is to be set
-- aside, because the hub's setting attempts.turn or attempts.activity (20 when nothing is decided) allows no more, or
-- because p_lasting. Locks: poison.
create or replace function everdure._count_failure(
  p_hub int, p_key bigint, p_activity bigint, p_turn bigint, p_reason text, p_lasting boolean, p_now timestamptz
) returns interval
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_attempts int;
  v_allowed text := coalesce((
    select s.value from everdure.hub_settings s
    where s.hub_id = p_hub and s.name = case p_activity when 0 then 'attempts.turn' else 'attempts.activity' end), '20');
begin
  insert into everdure.poison as p (key, activity, hub_id, turn, attempts, reason, failed_at)
  values (p_key, p_activity, p_hub, p_turn, 1, p_reason, p_now)
  on conflict (key, activity) do update
  set attempts = case when p.turn = excluded.turn then p.attempts + 1 else 1 end,
      turn = excluded.turn, reason = excluded.reason, failed_at = excluded.failed_at, set_aside_at = null
  returning p.attempts into v_attempts;
  if p_lasting or (v_allowed <> 'unlimited' and v_attempts >= v_allowed::int) then
    update everdure.poison p set set_aside_at = p_now where p.key = p_key and p.activity = p_activity;
    return null;
  end if;
  return case when v_attempts <= 1 then interval '0' else least(2 ^ least(v_attempts - 2, 20), 300) * interval '1 second' end;
end
$$;
