-- Sets aside an instance that the node has claimed and cannot read. Locks: instances, poison.
create or replace function everdure._set_aside(p_node bigint, p_key bigint, p_claim int, p_reason text) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_row everdure.instances;
begin
  select * into v_row from everdure.instances i
  where i.key = p_key and i.claim = p_claim and i.locked_by = p_node for update;
  if found then
    perform everdure._count_failure(v_row.hub_id, p_key, 0, v_row.turn, p_reason, true, clock_timestamp());
    update everdure.instances i set locked_by = 0, claimed_at = null, due_at = null where i.key = p_key;
  end if;
end
$$;
