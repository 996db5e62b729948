-- The names of activities that wait, instead of *: one look at the index for each name that is there. Locks: none.
create or replace function everdure._expand_activity_names(p_hub int, p_names text[], p_versions text[])
returns table (name text, version text)
language sql stable
set enable_seqscan = off as $$
  with recursive waiting(name) as (
    (select a.name from everdure.activities a where a.hub_id = p_hub and a.locked_by is null order by a.name limit 1)
    union all
    select (select a.name from everdure.activities a
            where a.hub_id = p_hub and a.locked_by is null and a.name > w.name order by a.name limit 1)
    from waiting w where w.name is not null
  )
  select f.name, f.version from unnest(p_names, p_versions) f(name, version) where f.name <> '*'
  union
  select w.name, f.version
  from unnest(p_names, p_versions) f(name, version) join waiting w on w.name is not null
  where f.name = '*'
$$;
