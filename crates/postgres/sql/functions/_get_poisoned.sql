-- What was set aside, longest ago first: turns of instances, and activities. No locks.
create or replace function everdure._get_poisoned(p_hub int, p_limit int)
returns table (
  instance_id text, name text, activity_id bigint, activity text, dispatch text, attempts int, reason text,
  set_aside_at timestamptz
)
language sql stable
set enable_seqscan = off as $$
  select i.instance_id, i.name, a.id, a.name, a.dispatch, p.attempts, p.reason, p.set_aside_at
  from everdure.poison p
  cross join lateral (select * from everdure.instances x where x.key = p.key limit 1) i
  left join lateral (
    select * from everdure.activities x where x.id = p.activity and x.locked_by = 0 limit 1) a on p.activity <> 0
  where p.hub_id = p_hub and p.set_aside_at is not null
    and case p.activity when 0 then i.locked_by = 0 else a.id is not null end
  order by p.set_aside_at limit p_limit
$$;
