-- Frees rows that the node has held for longer than p_older_than though it does not know them: left over from a
-- claim whose answer was lost. Returns how many.
-- Locks: lanes, instances (by key). SQLSTATE: ED001 when the node was reaped.
create or replace function everdure._release_unknown(p_node bigint, p_lane int, p_known bigint[], p_older_than interval)
returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_unknown bigint[];
begin
  perform everdure._open_flush(p_node, p_lane);
  select array_agg(i.key) into v_unknown from everdure.instances i
  where i.locked_by = p_node and i.claimed_at <= clock_timestamp() - p_older_than
    and not exists (select from unnest(p_known) k(key) where k.key = i.key);
  if v_unknown is null then
    return 0;
  end if;
  perform everdure._lock_instances(v_unknown, true);
  update everdure.instances i set locked_by = null, claimed_at = null, due_at = clock_timestamp()
  where i.key = any (v_unknown) and i.locked_by = p_node;
  return cardinality(v_unknown);
end
$$;
