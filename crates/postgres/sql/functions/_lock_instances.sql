-- Locks the rows of these instances and returns the keys of those that it got, in order. Without p_wait it takes
-- only what is free at once: a writer lane never waits for a row (it tries again in its next transaction).
-- Locks: instances (by key).
create or replace function everdure._lock_instances(p_keys bigint[], p_wait boolean) returns bigint[]
language plpgsql as $$
begin
  if p_wait then
    return (select coalesce(array_agg(l.key), '{}') from (
      select i.key from everdure.instances i where i.key = any (p_keys) order by i.key for update) l);
  end if;
  return (select coalesce(array_agg(l.key), '{}') from (
    select i.key from everdure.instances i where i.key = any (p_keys) order by i.key for update skip locked) l);
end
$$;
