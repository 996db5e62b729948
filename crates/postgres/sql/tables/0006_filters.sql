-- Two filters that read every row before. Only what has ended and has such a value pays for an entry; live ones are few.
create index instances_version on everdure.instances (hub_id, version, key)
where completed_at is not null and version is not null;

-- The texts that stand in a JSON document, as hashes, for they may be long; none when it is no JSON.
create function everdure._custom_status_leaves(p_status text) returns int[]
language plpgsql immutable parallel safe as $$
begin
  return (
    with recursive node(value) as (
      select p_status::json
      union all
      select c.value from node
      cross join lateral (
        select e.value from json_each(case json_typeof(node.value) when 'object' then node.value end) e
        union all
        select a.value from json_array_elements(case json_typeof(node.value) when 'array' then node.value end) a) c
    )
    select array_agg(distinct hashtext(node.value #>> '{}')) from node
    where json_typeof(node.value) not in ('object', 'array', 'null'));
exception when invalid_text_representation or untranslatable_character then
  return null;
end
$$;
create index instances_custom_status on everdure.instances using gin (everdure._custom_status_leaves(custom_status))
where completed_at is not null and custom_status is not null;
