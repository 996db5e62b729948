-- Removes one instance by its id. Locks: those of _purge_instances.
create or replace function everdure._purge_instance(p_hub int, p_id text, p_force boolean) returns bigint
language sql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
  select everdure._purge_instances(
    array(select i.key from everdure.instances i where i.hub_id = p_hub and i.instance_id = p_id), p_force)
$$;
