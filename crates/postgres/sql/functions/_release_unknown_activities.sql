-- Frees activity rows that the node claimed longer than p_older_than ago though it does not know them: left over from
-- a claim whose answer was lost. Returns how many. Of a held row, visible_at says since when it is held.
-- Locks: activities (without waiting).
create or replace function everdure._release_unknown_activities(p_node bigint, p_known bigint[], p_older_than interval)
returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_released bigint;
begin
  with forgotten as materialized (
    select a.id from everdure.activities a
    where a.locked_by = p_node and a.visible_at <= clock_timestamp() - p_older_than and a.id <> all (p_known)
    for update skip locked
  )
  update everdure.activities a set locked_by = null, visible_at = clock_timestamp()
  from forgotten f where a.id = f.id;
  get diagnostics v_released = row_count;
  return v_released;
end
$$;
