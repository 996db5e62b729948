-- An entity as clients see it; no row when there is none. Without p_state its state is null. No locks.
create or replace function everdure._get_entity(p_hub int, p_id text, p_state boolean)
returns setof everdure._entity_record
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
  return query
  select i.key, i.instance_id, case when p_state then i.input end, i.input is not null,
         i.entity_lock #>> '{owner,instanceId}',
         (select count(*) from everdure.messages m
          where m.key = i.key and m.body ->> 'type' = 'EntityOperation'),
         i.updated_at
  from everdure.instances i
  where i.hub_id = p_hub and i.instance_id = p_id and left(i.name, 1) = '@';
end
$$;
