-- Frees what these nodes held and makes it due. Their rows and lanes are gone already, in an earlier statement of
-- the same transaction: whatever they were writing has ended, and nothing new can begin. Returns how much it was.
-- Locks: instances (by key), activities.
create or replace function everdure._release_node(p_nodes bigint[]) returns bigint
language plpgsql as $$
declare
  v_now timestamptz := clock_timestamp();
  v_instances bigint;
  v_activities bigint;
begin
  perform 1 from everdure.instances i where i.locked_by = any (p_nodes) order by i.key for update;
  update everdure.instances i set locked_by = null, claimed_at = null, due_at = v_now
  where i.locked_by = any (p_nodes) and i.completed_at is null;
  get diagnostics v_instances = row_count;
  update everdure.activities a set locked_by = null, visible_at = v_now where a.locked_by = any (p_nodes);
  get diagnostics v_activities = row_count;
  return v_instances + v_activities;
end
$$;
