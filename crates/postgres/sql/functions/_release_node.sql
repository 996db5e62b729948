-- Frees what these nodes held and makes it due. Their rows and lanes are gone already, in an earlier statement of
-- the same transaction: whatever they were writing has ended, and nothing new can begin. Returns how much it was.
-- Locks: instances (by key), activities.
create or replace function everdure._release_node(p_nodes bigint[]) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_node bigint;
  v_key bigint;
  v_id bigint;
  v_released bigint := 0;
begin
  -- One by one: a statement over many keys is planned as a walk through the table when that looks small.
  foreach v_node in array p_nodes loop
    foreach v_key in array array(
      select h.key from (select i.key from everdure.instances i where i.locked_by = v_node offset 0) h order by h.key)
    loop
      update everdure.instances i set locked_by = null, claimed_at = null, due_at = v_now
      where i.key = v_key and i.completed_at is null;
      v_released := v_released + 1;
    end loop;
    foreach v_id in array array(select a.id from everdure.activities a where a.locked_by = v_node) loop
      update everdure.activities a set locked_by = null, visible_at = v_now where a.id = v_id;
      v_released := v_released + 1;
    end loop;
  end loop;
  return v_released;
end
$$;
