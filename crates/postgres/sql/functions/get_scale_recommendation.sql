-- How many workers the hub has work for, when each takes so many orchestrations and so many activities at once: each
-- kind is counted by itself, waiting and running, and rounded up. 0 when nothing waits and nothing runs.
-- No locks. SQLSTATEs: ED404 when there is no such hub, ED422 when a maximum is below one.
create or replace function everdure.get_scale_recommendation(
  p_max_orchestrations_per_worker int, p_max_activities_per_worker int, p_hub text default 'default') returns int
language plpgsql stable as $$
declare
  v_workers bigint;
begin
  if p_max_orchestrations_per_worker is null or p_max_orchestrations_per_worker < 1
     or p_max_activities_per_worker is null or p_max_activities_per_worker < 1 then
    raise exception 'a worker takes at least one orchestration and one activity, not % and %',
      p_max_orchestrations_per_worker, p_max_activities_per_worker using errcode = 'ED422';
  end if;
  select sum((m.waiting + m.running + e.at_once - 1) / e.at_once) into v_workers
  from everdure.get_scale_metric(p_hub) m
  cross join lateral (
    select case m.kind when 'orchestrations' then p_max_orchestrations_per_worker
                       else p_max_activities_per_worker end as at_once) e;
  return least(v_workers, 2147483647);
end
$$;
