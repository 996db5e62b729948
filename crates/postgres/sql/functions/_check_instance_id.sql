-- Refuses ids that no client could name, and those of entities: no orchestration has one. No locks. SQLSTATE: ED422.
create or replace function everdure._check_instance_id(p_instance_id text) returns void
language plpgsql immutable as $$
begin
  if coalesce(btrim(p_instance_id), '') = '' or p_instance_id ~ '[[:cntrl:]]' or char_length(p_instance_id) > 100 then
    raise exception 'the instance id is empty, has control characters or more than 100 characters'
      using errcode = 'ED422';
  end if;
  if p_instance_id like '@%' then
    raise exception '''%'' is the id of an entity: an orchestration''s id does not begin with ''@''', p_instance_id
      using errcode = 'ED422';
  end if;
end
$$;
