-- Tells those who wait for entities that are about to be purged by force: callers that their operation failed; a
-- request for locks goes on to the next entity of its set that stays, or is granted. Others among p_keys are left alone.
-- Locks: instances (by key; then callers and owners, then next entities; it waits), messages.
create or replace function everdure._dismiss_waiting(p_hub int, p_keys bigint[], p_now timestamptz) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  v_ids text[];
  v_next int;
  r record;
begin
  select array_agg(i.instance_id) into v_ids
  from unnest(everdure._lock_instances(p_keys, true)) k(key)
  cross join lateral (
    select x.instance_id from everdure.instances x where x.key = k.key and left(x.name, 1) = '@' limit 1) i;
  for r in
    select m.body, m.body ->> 'type' as type, c.caller
    from unnest(v_ids) u(id)
    cross join lateral (
      select x.key from everdure.instances x where x.hub_id = p_hub and x.instance_id = u.id limit 1) i
    cross join lateral (select x.number, x.body from everdure.messages x where x.key = i.key offset 0) m
    cross join lateral (select coalesce(m.body -> 'caller', m.body -> 'owner') as caller) c
    where c.caller ->> 'dispatch' is not null
    order by m.number
  loop
    if r.type = 'EntityOperation' then
      perform everdure._post(
        (r.caller ->> 'key')::bigint, (r.caller ->> 'execution')::int, r.caller ->> 'dispatch', p_now, p_now,
        json_build_object(
          'type', 'EntityOperationFailed', 'dispatch', r.caller ->> 'dispatch', 'requestId', r.body ->> 'requestId',
          'failure', json_build_object('type', 'EntityPurged', 'message', 'the entity was purged')));
    elsif r.type = 'EntityLockRequested' then
      v_next := (
        select min(l.place) - 1 from json_array_elements_text(r.body -> 'lockSet') with ordinality l(id, place)
        where l.place - 1 > (r.body ->> 'position')::int and l.id <> all (v_ids));
      if v_next is null then
        perform everdure._post(
          (r.caller ->> 'key')::bigint, (r.caller ->> 'execution')::int, r.caller ->> 'dispatch', p_now, p_now,
          json_build_object(
            'type', 'EntityLockGranted', 'dispatch', r.caller ->> 'dispatch',
            'criticalSection', r.body ->> 'criticalSection', 'lockSet', r.body -> 'lockSet'));
      else
        perform everdure._post(
          everdure._lock_entity(p_hub, r.body -> 'lockSet' ->> v_next, p_now, true), null, null, p_now, p_now,
          jsonb_set(r.body::jsonb, '{position}', to_jsonb(v_next))::json);
      end if;
    end if;
  end loop;
end
$$;
