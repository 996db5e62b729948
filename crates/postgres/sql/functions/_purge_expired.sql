-- Removes at most p_limit instances, and as many former executions, that have been kept for as long as the hub's settings say; one session at a time,
-- others find nothing to do. What somebody is just reading for update is left for the next time. Returns how many, and
-- whether nothing that has expired is left. Locks: those of _purge_instances.
create or replace function everdure._purge_expired(p_hub int, p_limit int)
returns table (purged bigint, complete boolean)
language plpgsql as $$
declare
  v_now timestamptz := clock_timestamp();
  v_shortest interval;
  v_keys bigint[];
begin
  purged := 0;
  complete := true;
  select min(s.value::interval) into v_shortest
  from everdure.hub_settings s where s.hub_id = p_hub and s.name like 'retention.%' and s.name <> 'retention.executions';
  if v_shortest is not null and pg_try_advisory_xact_lock(hashtextextended('everdure._purge_expired', p_hub)) then
    select coalesce(array_agg(e.key), '{}') into v_keys from (
      select i.key from everdure.instances i
      cross join lateral (
        select s.value::interval as kept
        from (select 'retention.' || case i.status when 1 then 'completed' when 3 then 'failed' else 'terminated' end
             ) k(name)
        join everdure.hub_settings s on s.hub_id = p_hub and s.name in (k.name, k.name || '/' || i.name)
        order by length(s.name) desc limit 1) r
      where i.hub_id = p_hub and i.completed_at <= v_now - v_shortest and i.completed_at <= v_now - r.kept
      limit p_limit for update of i skip locked) e;
    purged := everdure._purge_instances(v_keys, false);
    complete := cardinality(v_keys) < p_limit;
  end if;
  complete := everdure._expire_executions(p_hub, p_limit) < p_limit and complete;
  return next;
end
$$;
