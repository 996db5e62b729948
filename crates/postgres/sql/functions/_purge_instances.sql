-- Removes these instances with all that belongs to them. Without p_force only those that have ended. Returns how
-- many. Locks: instances (by key), messages, activities, history.
create or replace function everdure._purge_instances(p_keys bigint[], p_force boolean) returns bigint
language plpgsql as $$
declare
  v_keys bigint[];
begin
  select coalesce(array_agg(l.key), '{}') into v_keys from (
    select i.key from everdure.instances i
    where i.key = any (p_keys) and (p_force or i.completed_at is not null) order by i.key for update) l;
  delete from everdure.messages m where m.key = any (v_keys);
  delete from everdure.activities a where a.key = any (v_keys);
  delete from everdure.history h where h.key = any (v_keys);
  delete from everdure.instances i where i.key = any (v_keys);
  return cardinality(v_keys);
end
$$;
