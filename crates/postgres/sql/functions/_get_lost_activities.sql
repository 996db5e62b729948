-- Of these activity rows, those that the node does not hold any more: their orchestration has ended or given them up, or
-- they were handed to somebody else. No locks.
create or replace function everdure._get_lost_activities(p_node bigint, p_ids bigint[]) returns setof bigint
language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select k.id from unnest(p_ids) k(id)
  where not exists (select from everdure.activities a where a.id = k.id and a.locked_by = p_node)
$$;
