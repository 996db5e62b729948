-- These instances, then their sub-orchestrations, those of these, and so on; with p_current only what their present
-- executions have started. No locks.
create or replace function everdure._with_children(p_hub int, p_keys bigint[], p_current boolean) returns bigint[]
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_keys bigint[] := p_keys;
  v_level bigint[] := p_keys;
begin
  loop
    select array_agg(c.key) into v_level
    from unnest(v_level) l(key)
    cross join lateral (
      select x.instance_id, x.execution from everdure.instances x where x.key = l.key limit 1) i
    cross join lateral (
      select x.key from everdure.instances x
      where x.hub_id = p_hub and x.parent is not null and x.parent ->> 'instanceId' = i.instance_id
        and (x.parent ->> 'key')::bigint = l.key
        and (not p_current or (x.parent ->> 'execution')::int = i.execution)
      offset 0) c;
    exit when v_level is null;
    v_keys := v_keys || v_level;
  end loop;
  return array(select distinct k.key from unnest(v_keys) k(key));
end
$$;
