-- What has been decided for a hub; what is not listed has its default. No locks. SQLSTATE: ED404 when there is no such hub.
create or replace function everdure.get_hub_settings(p_hub text default 'default')
returns table (name text, value text, changed_at timestamptz)
language sql stable as $$
  select s.name, s.value, s.changed_at from everdure.hub_settings s where s.hub_id = everdure._hub(p_hub) order by s.name
$$;
