-- Sends the messages of a flush from clients to instances, in the order given. Outcomes: [code, key, number,
-- microseconds of the time, holder] each; codes: S sent, R repeated, T an instance that nobody held was ended directly,
-- F the instance has ended, N there is none, B busy: try again. Entities take what is said to entities, are made for it,
-- and nothing else reaches them.
-- Locks: instances (one after the other; without p_wait it waits for none), messages.
create or replace function everdure._send_messages(
  p_hub int, p_ids text[], p_bodies text[], p_terminate boolean[], p_request_ids uuid[], p_not_before timestamptz[],
  p_wait boolean
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_outcomes json[] := '{}';
  v_row everdure.instances;
  v_code text;
  v_number bigint;
  v_key bigint;
  v_now timestamptz;
begin
  for n in 1 .. cardinality(p_ids) loop
    v_number := null;
    v_code := null;
    if p_ids[n] like '@%' and p_request_ids[n] is not null and exists (
        select from everdure.requests r where r.hub_id = p_hub and r.request_id = p_request_ids[n]) then
      -- The entity may be gone since: it is not made for what was applied already.
      v_code := 'R';
      select * into v_row from everdure.instances i where false;
    elsif p_ids[n] like '@%' and p_bodies[n]::json ->> 'type' like 'Entity%' then
      v_key := everdure._lock_entity(p_hub, p_ids[n], clock_timestamp(), p_wait);
      select * into v_row from everdure.instances i where i.key = v_key;
    elsif p_ids[n] like '@%' then
      select * into v_row from everdure.instances i where false;
    elsif p_wait then
      select * into v_row from everdure.instances i
      where i.hub_id = p_hub and i.instance_id = p_ids[n] for update;
    else
      select * into v_row from everdure.instances i
      where i.hub_id = p_hub and i.instance_id = p_ids[n] for update skip locked;
    end if;
    if v_code is null and not found then
      -- An entity is made if there is none, so that without a row somebody else has it, or has just removed it.
      v_code := case when p_ids[n] like '@%' then
                       case when p_bodies[n]::json ->> 'type' like 'Entity%' then 'B' else 'N' end
                     when exists (
        select from everdure.instances i where i.hub_id = p_hub and i.instance_id = p_ids[n]) then 'B' else 'N' end;
    end if;
    if v_code is distinct from 'B' and p_request_ids[n] is not null and exists (
        select from everdure.requests r where r.hub_id = p_hub and r.request_id = p_request_ids[n]) then
      v_code := 'R';
    end if;
    if v_code is null and v_row.completed_at is not null then
      v_code := 'F';
    end if;
    if v_code is null then
      v_now := clock_timestamp();
      if p_terminate[n] then
        v_code := nullif(everdure._terminate_unheld(
          v_row.key, p_bodies[n]::json ->> 'reason', coalesce((p_bodies[n]::json ->> 'recurse')::boolean, false),
          v_now, p_wait), 'I');
      end if;
      if v_code is null then
        v_number := everdure._post(
          v_row.key, null, null, v_now, greatest(v_now, p_not_before[n]), p_bodies[n]::json);
        v_code := 'S';
      end if;
      if v_code <> 'B' and p_request_ids[n] is not null then
        insert into everdure.requests (hub_id, request_id, sent_at) values (p_hub, p_request_ids[n], v_now);
      end if;
    end if;
    v_outcomes[n] := json_build_array(
      v_code, v_row.key, v_number, (extract(epoch from v_now) * 1000000)::bigint, v_row.locked_by);
  end loop;
  perform everdure._add_outcomes('send', array_to_json(v_outcomes));
end
$$;
