-- Decides a setting of a hub; a null value gives it its default back. Settings:
--   retention.completed, retention.failed, retention.terminated: how long instances that ended so are kept, such as 30d,
--   12h, 15m, 90s; for ever by default. With /NAME behind it, for the instances of that orchestration only.
--   retention.executions: how long the executions that ended by continue-as-new are kept; not at all by default.
--   attempts.turn, attempts.activity: how often a turn or an activity may fail before it is set aside; 20 by default.
-- Locks: hub_settings. SQLSTATEs: ED404 when there is no such hub, ED422 when there is no such setting or value.
create or replace function everdure.set_hub_setting(p_name text, p_value text, p_hub text default 'default')
returns void
language plpgsql as $$
declare
  v_hub int := everdure._hub(p_hub);
begin
  if p_name is null or p_name !~ '^(retention\.((completed|failed|terminated)(/.+)?|executions)|attempts\.(turn|activity))$' then
    raise exception 'there is no setting ''%''', p_name using errcode = 'ED422',
      hint = 'Settings: retention.completed, retention.failed, retention.terminated, each also with /NAME of an orchestration; retention.executions, attempts.turn, attempts.activity.';
  end if;
  if p_name like 'attempts.%' then
    if p_value !~ '^([1-9][0-9]{0,5}|unlimited)$' then
      raise exception '''%'' is not a number of attempts for %', p_value, p_name using errcode = 'ED422',
        hint = 'Write a number from 1, or unlimited.';
    end if;
  elsif p_value !~ '^[0-9]{1,6}[smhd]$' then
    raise exception '''%'' is not a span of time for %', p_value, p_name using errcode = 'ED422',
      hint = 'Write a number and a unit: 90s, 15m, 12h, 30d.';
  end if;
  if p_value is null then
    delete from everdure.hub_settings s where s.hub_id = v_hub and s.name = p_name;
  else
    insert into everdure.hub_settings (hub_id, name, value) values (v_hub, p_name, p_value)
    on conflict (hub_id, name) do update set value = excluded.value, changed_at = now();
  end if;
end
$$;
