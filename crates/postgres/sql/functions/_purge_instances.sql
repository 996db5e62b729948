-- Removes these instances with all that belongs to them. Without p_force only those that have ended, and entities that
-- nobody has locked and nothing waits for.
-- Returns how many. Locks: instances (by key; then entities that they had locked), messages, activities, executions,
-- history.
create or replace function everdure._purge_instances(p_keys bigint[], p_force boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_key bigint;
  v_purged bigint := 0;
begin
  -- One by one: a statement over many keys is planned as a walk through the tables when these look small.
  foreach v_key in array array(select k.key from unnest(p_keys) k(key) order by k.key) loop
    perform 1 from everdure.instances i
    where i.key = v_key and (
      p_force or i.completed_at is not null
      or left(i.name, 1) = '@' and i.entity_lock is null
         and not exists (select from everdure.messages m where m.key = v_key)) for update;
    if found then
      perform everdure._unlock_entities(array[v_key], clock_timestamp(), true);
      delete from everdure.messages m where m.key = v_key;
      delete from everdure.activities a where a.key = v_key;
      delete from everdure.executions e where e.key = v_key;
      delete from everdure.poison p where p.key = v_key;
      delete from everdure.history h where h.key = v_key;
      delete from everdure.instances i where i.key = v_key;
      v_purged := v_purged + 1;
    end if;
  end loop;
  return v_purged;
end
$$;
