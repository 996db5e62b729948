-- Removes a task hub, at most p_limit instances at a time; call it again until `complete`. One in which nodes live is
-- refused unless p_force, which takes their rows first, so that they can write nothing more.
-- Locks: task_hubs, nodes, lanes, then those of _purge_instances.
-- SQLSTATEs: ED404 when there is no such hub, ED409 when nodes live in it.
create or replace function everdure._delete_hub(p_name text, p_force boolean, p_limit int)
returns table (purged bigint, complete boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_hub int := everdure._hub(p_name);
  v_keys bigint[];
  v_live bigint;
begin
  perform 1 from everdure.task_hubs t where t.hub_id = v_hub for update;
  v_live := (select count(*) from everdure.nodes n where n.hub_id = v_hub and n.expires_at > clock_timestamp());
  if v_live > 0 and not p_force then
    raise exception '% nodes work in the task hub ''%''', v_live, p_name using errcode = 'ED409',
      hint = 'Stop its workers first, or delete it by force.';
  end if;
  with gone as (delete from everdure.nodes n where n.hub_id = v_hub returning n.node_id)
  delete from everdure.lanes l using gone g where l.node_id = g.node_id;
  v_keys := array(select i.key from everdure.instances i where i.hub_id = v_hub limit p_limit);
  purged := everdure._purge_instances(v_keys, true);
  complete := cardinality(v_keys) < p_limit;
  if complete then
    delete from everdure.requests r where r.hub_id = v_hub;
    delete from everdure.hub_settings s where s.hub_id = v_hub;
    delete from everdure.task_hubs t where t.hub_id = v_hub;
  end if;
  return next;
end
$$;
