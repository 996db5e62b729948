-- The names that wait, instead of * (every orchestration) and @* (every entity): one look at the index for each name
-- that is there, however many instances have it. Locks: none.
create or replace function everdure._expand_names(p_hub int, p_names text[], p_versions text[])
returns table (name text, version text)
language sql stable
set enable_seqscan = off as $$
  with recursive waiting(name) as (
    (select i.name from everdure.instances i where i.hub_id = p_hub and i.due_at is not null order by i.name limit 1)
    union all
    select (select i.name from everdure.instances i
            where i.hub_id = p_hub and i.due_at is not null and i.name > w.name order by i.name limit 1)
    from waiting w where w.name is not null
  )
  select f.name, f.version
  from unnest(p_names, p_versions) f(name, version) where f.name not in ('*', '@*')
  union
  select w.name, f.version
  from unnest(p_names, p_versions) f(name, version)
  join waiting w on w.name is not null and case f.name when '*' then w.name not like '@%' else w.name like '@%' end
  where f.name in ('*', '@*')
$$;
