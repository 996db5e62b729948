-- Looks at up to p_limit entities behind p_after, in the order of their ids: removes those that have neither a state nor
-- a lock nor a message, and has those unlocked whose lock's owner does not run any more. `last` is where to go on, null
-- at the end. Locks: instances (one after the other, those that are free), messages.
create or replace function everdure._clean_entities(
  p_hub int, p_empty boolean, p_orphaned boolean, p_after text, p_limit int
) returns table (removed bigint, released bigint, last text)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_seen int := 0;
  v_row everdure.instances;
  v_lock json;
  v_id text;
begin
  removed := 0;
  released := 0;
  for v_id in
    select i.instance_id from everdure.instances i
    where i.hub_id = p_hub and i.instance_id > coalesce(p_after, '') and left(i.name, 1) = '@'
    order by i.instance_id limit p_limit
  loop
    v_seen := v_seen + 1;
    last := v_id;
    select * into v_row from everdure.instances i
    where i.hub_id = p_hub and i.instance_id = v_id for update skip locked;
    continue when not found;
    v_lock := v_row.entity_lock;
    if p_empty and v_row.input is null and v_lock is null and v_row.locked_by is null
       and not exists (select from everdure.messages m where m.key = v_row.key) then
      delete from everdure.instances i where i.key = v_row.key;
      removed := removed + 1;
    elsif p_orphaned and v_lock is not null and not exists (
        select from everdure.instances o
        where o.key = (v_lock #>> '{owner,key}')::bigint and o.execution = (v_lock #>> '{owner,execution}')::int
          and o.completed_at is null) then
      perform everdure._post(v_row.key, null, null, clock_timestamp(), clock_timestamp(), json_build_object(
        'type', 'EntityUnlock', 'criticalSection', v_lock ->> 'criticalSection'));
      released := released + 1;
    end if;
  end loop;
  if v_seen < p_limit then
    last := null;
  end if;
  return next;
end
$$;
