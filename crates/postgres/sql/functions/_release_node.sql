-- Frees what these nodes held and makes it due; with p_crashed each of these counts a failed attempt (_count_failure).
-- Their rows and lanes are gone already, in an earlier statement of the same transaction: whatever they were writing has
-- ended, and nothing new can begin. Returns how much it was.
-- Locks: instances (by key), activities, poison.
create or replace function everdure._release_node(p_nodes bigint[], p_crashed boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_now timestamptz := clock_timestamp();
  v_node bigint;
  v_released bigint := 0;
  v_pause interval := '0';
  v_reason text := 'the node that held it stopped without a word';
  r record;
begin
  -- One by one: a statement over many keys is planned as a walk through the table when that looks small.
  foreach v_node in array p_nodes loop
    for r in
      select h.key, h.turn, h.hub_id from (
        select i.key, i.turn, i.hub_id from everdure.instances i where i.locked_by = v_node offset 0) h
      order by h.key
    loop
      -- It may have been given back, and claimed by another node, while this waited for the rows before it.
      perform 1 from everdure.instances i where i.key = r.key and i.locked_by = v_node for update;
      continue when not found;
      if p_crashed then
        v_pause := everdure._count_failure(r.hub_id, r.key, 0, r.turn, v_reason, false, v_now);
      end if;
      update everdure.instances i
      set locked_by = case when v_pause is null then 0 end, claimed_at = null, due_at = v_now + v_pause
      where i.key = r.key and i.completed_at is null;
      v_released := v_released + 1;
    end loop;
    for r in select a.id, a.key, a.hub_id from everdure.activities a where a.locked_by = v_node loop
      perform 1 from everdure.activities a where a.id = r.id and a.locked_by = v_node for update;
      continue when not found;
      if p_crashed then
        v_pause := everdure._count_failure(r.hub_id, r.key, r.id, 0, v_reason, false, v_now);
      end if;
      update everdure.activities a
      set locked_by = case when v_pause is null then 0 end, visible_at = v_now + coalesce(v_pause, '0') where a.id = r.id;
      v_released := v_released + 1;
    end loop;
  end loop;
  return v_released;
end
$$;
