-- Locks the rows of these instances and returns the keys of those that it got, in order. Without p_wait it takes
-- only what is free at once: a writer lane never waits for a row (it tries again in its next transaction).
--
-- Here and wherever many rows are looked up by key: a lateral query for each key, because a join, or a condition with
-- any(), becomes a walk through the whole table when that was empty at the last analyze.
-- Locks: instances (by key).
create or replace function everdure._lock_instances(p_keys bigint[], p_wait boolean) returns bigint[]
language plpgsql as $$
begin
  if p_wait then
    return (
      select coalesce(array_agg(l.key), '{}')
      from (select u.key from unnest(p_keys) u(key) group by u.key order by u.key) k
      cross join lateral (select i.key from everdure.instances i where i.key = k.key for update) l);
  end if;
  return (
    select coalesce(array_agg(l.key), '{}')
    from (select u.key from unnest(p_keys) u(key) group by u.key order by u.key) k
    cross join lateral (select i.key from everdure.instances i where i.key = k.key for update skip locked) l);
end
$$;
