-- The key of an entity, whose row is locked afterwards: made if there is none. Null when the row is not free now
-- (never with p_wait). A new one is Running and not due: a message makes it so.
-- Locks: instances (this one; without p_wait it does not wait for a row). SQLSTATE: 55P03 when another transaction is
-- making the same entity, ED404 when the hub was deleted.
create or replace function everdure._lock_entity(p_hub int, p_id text, p_now timestamptz, p_wait boolean) returns bigint
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_key bigint;
begin
  loop
    if p_wait then
      select i.key into v_key from everdure.instances i
      where i.hub_id = p_hub and i.instance_id = p_id for update;
    else
      select i.key into v_key from everdure.instances i
      where i.hub_id = p_hub and i.instance_id = p_id for update skip locked;
    end if;
    if found then
      return v_key;
    end if;
    if not exists (select from everdure.task_hubs t where t.hub_id = p_hub) then
      raise exception 'the task hub has been deleted' using errcode = 'ED404',
        hint = 'Open it again, and it is made anew.';
    end if;
    insert into everdure.instances as i (
      key, hub_id, instance_id, execution_id, name, status, created_at, updated_at)
    values (
      nextval('everdure.instance_keys'), p_hub, p_id, gen_random_uuid(), '@' || split_part(p_id, '@', 2), 0, p_now, p_now)
    on conflict (hub_id, instance_id) do nothing
    returning i.key into v_key;
    if v_key is not null then
      return v_key;
    end if;
    if not p_wait then
      return null;
    end if;
  end loop;
end
$$;
