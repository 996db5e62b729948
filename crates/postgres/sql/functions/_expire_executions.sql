-- Removes at most p_limit former executions that have been kept for as long as the hub's setting retention.executions
-- says; all of them when it says nothing. Returns how many. Locks: executions (without waiting), history.
create or replace function everdure._expire_executions(p_hub int, p_limit int) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_before timestamptz := clock_timestamp() - coalesce((
    select s.value::interval from everdure.hub_settings s
    where s.hub_id = p_hub and s.name = 'retention.executions'), '0');
  v_count bigint := 0;
  r record;
begin
  for r in
    select e.key, e.execution from everdure.executions e
    where e.hub_id = p_hub and e.ended_at <= v_before order by e.ended_at limit p_limit for update skip locked
  loop
    delete from everdure.history h where h.key = r.key and h.execution = r.execution;
    delete from everdure.executions e where e.key = r.key and e.execution = r.execution;
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
