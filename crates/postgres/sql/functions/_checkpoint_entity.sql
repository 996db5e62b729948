-- What a batch of operations changes of an entity besides what every turn does: its state and lock, the messages that
-- wait for the end of a critical section, and requests for locks that were taken back. One that is left with
-- nothing goes. The caller has locked the row and written the rest.
-- p_entity: {state, lock, parked: [number], unpark, withdrawn: [critical section]}. Returns whether the row is gone.
-- Locks: instances (locked already), messages, poison.
create or replace function everdure._checkpoint_entity(p_key bigint, p_entity json, p_now timestamptz) returns boolean
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  -- Timers never reach so far: it is the last day that the protocols can say.
  c_hidden constant timestamptz := everdure._hidden();
begin
  if p_entity -> 'parked' is not null then
    update everdure.messages m set visible_at = c_hidden
    where m.key = p_key and m.number in (select n::bigint from json_array_elements_text(p_entity -> 'parked') n);
  end if;
  if p_entity -> 'withdrawn' is not null then
    delete from everdure.messages m
    where m.key = p_key and m.visible_at = c_hidden and m.body ->> 'type' = 'EntityLockRequested'
      and m.body ->> 'criticalSection' in (select json_array_elements_text(p_entity -> 'withdrawn'));
  end if;
  if (p_entity ->> 'unpark')::boolean then
    -- As far as the next request for a lock: what is behind it would only be hidden again.
    update everdure.messages m set visible_at = p_now
    where m.key = p_key and m.visible_at = c_hidden and m.number <= coalesce((
      select min(x.number) from everdure.messages x
      where x.key = p_key and x.visible_at = c_hidden and x.body ->> 'type' = 'EntityLockRequested'), m.number);
  end if;
  update everdure.instances i
  set execution_turn = i.turn,
      input = p_entity ->> 'state',
      entity_lock = case when json_typeof(p_entity -> 'lock') = 'object' then p_entity -> 'lock' end,
      due_at = (
        select min(m.visible_at) from everdure.messages m where m.key = p_key and m.visible_at < c_hidden)
  where i.key = p_key;
  delete from everdure.instances i
  where i.key = p_key and i.input is null and i.entity_lock is null and i.locked_by is null
    and not exists (select from everdure.messages m where m.key = p_key);
  if found then
    delete from everdure.poison p where p.key = p_key;
    return true;
  end if;
  return false;
end
$$;
