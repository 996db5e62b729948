-- A query for the keys of the instances that match, entities left out, as text, without order and limit. Every value in
-- it is quoted.
-- p_filter: see _query_instances. With p_from only keys from there on, which are few: they are walked through. Without,
-- the rarest condition that has an index is evaluated first, behind a fence (offset 0): an estimate of what is common
-- must not lead through all rows. No locks.
create or replace function everdure._instances_that_match(
  p_hub int, p_filter json, p_before bigint, p_from bigint default null) returns text
language plpgsql as $$
declare
  v_live constant smallint[] := '{0, 6, 7}';
  v_statuses smallint[] := array(select s::smallint from json_array_elements_text(p_filter -> 'statuses') s);
  v_conditions text[] := array[
    format('i.hub_id = %s', p_hub), format('i.key < %s', p_before), 'left(i.name, 1) <> ''@'''];
  v_source text := 'everdure.instances';
  v_narrow text;
  v_plan json;
begin
  if p_from is not null then
    v_conditions := v_conditions || format('i.key >= %s', p_from);
  elsif p_filter -> 'parent' is not null then
    v_source := '(select * from everdure.instances x where x.hub_id = %s and x.parent is not null
                    and x.parent ->> ''instanceId'' = %L offset 0)';
    v_source := format(v_source, p_hub, p_filter ->> 'parent');
  elsif p_filter -> 'tags' is not null then
    v_source := '(select * from everdure.instances x where x.tags is not null
                    and everdure._tag_set(x.tags) @> %L::jsonb offset 0)';
    v_source := format(v_source, p_filter ->> 'tags');
  elsif p_filter -> 'failureType' is not null then
    v_source := '(select * from everdure.instances x where x.hub_id = %s and x.failure is not null
                    and x.failure ->> ''type'' = %L offset 0)';
    v_source := format(v_source, p_hub, p_filter ->> 'failureType');
  elsif v_statuses <> '{}' and v_statuses <@ v_live then
    -- Each in one of two small indexes.
    v_source := '(select * from everdure.instances w where w.locked_by is null and w.completed_at is null
                    union all select * from everdure.instances h where h.locked_by is not null)';
  elsif v_statuses = '{3}' then
    v_conditions := v_conditions || 'i.failure is not null'::text;
  elsif p_filter -> 'idContains' is not null then
    -- The index has all ids, close together; asked for in its order, it is read and not the table.
    v_source := '(select x.* from everdure.instances x where x.hub_id = %s and x.instance_id = any (array(
                    select y.instance_id from everdure.instances y
                    where y.hub_id = %s and strpos(y.instance_id, %L) > 0 order by y.instance_id)) offset 0)';
    v_source := format(v_source, p_hub, p_hub, p_filter ->> 'idContains');
  elsif p_filter -> 'name' is not null then
    v_source := '(select * from everdure.instances w where w.locked_by is null and w.completed_at is null
                    union all select * from everdure.instances h where h.locked_by is not null
                    union all select * from everdure.instances e where e.completed_at is not null)';
  elsif p_filter -> 'version' is not null or p_filter -> 'customStatus' ->> 1 !~ '^[[{]' then
    -- Few of those that have ended: by their index, and all live ones. Many: from the newest, some will match soon.
    v_narrow := case
      when p_filter -> 'version' is not null then format('x.version = %L', p_filter ->> 'version')
      else format('x.custom_status is not null and everdure._custom_status_leaves(x.custom_status) @> array[%s]',
                  hashtext(p_filter -> 'customStatus' ->> 1)) end;
    v_narrow := 'x.completed_at is not null and ' || v_narrow;
    execute 'explain (format json) select from everdure.instances x where ' || v_narrow into v_plan;
    if (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8 < 5000 then
      v_source := format('(select * from everdure.instances w where w.locked_by is null and w.completed_at is null
                             union all select * from everdure.instances h where h.locked_by is not null
                             union all (select * from everdure.instances x where %s offset 0))', v_narrow);
    end if;
  else
    v_narrow := array_to_string(array(
      select replace(c.condition, '%L', quote_literal(p_filter ->> c.field)) from (values
        ('createdTo', 'x.created_at <= %L'),
        ('updatedTo', 'x.created_at <= %L'),
        ('completedTo', 'x.completed_at <= %L'),
        ('idPrefix', 'x.instance_id ^@ %L')) c(field, condition)
      where p_filter -> c.field is not null), ' and ');
    if v_narrow <> '' then
      -- Few: by the index. Many: from the newest, some will match soon.
      execute 'explain (format json) select from everdure.instances x where ' || v_narrow into v_plan;
      if (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8 < 50000 then
        v_source := format('(select * from everdure.instances x where %s offset 0)', v_narrow);
      end if;
    end if;
  end if;
  if v_statuses <> '{}' then
    v_conditions := v_conditions || format('i.status = any (%L::smallint[])', v_statuses);
  end if;
  v_conditions := v_conditions || array(
    select replace(c.condition, '%L', quote_literal(p_filter ->> c.field)) from (values
      ('createdFrom', 'i.created_at >= %L'),
      ('createdTo', 'i.created_at <= %L'),
      ('completedFrom', 'i.completed_at >= %L'),
      ('completedTo', 'i.completed_at <= %L'),
      ('updatedFrom', 'i.updated_at >= %L'),
      -- Nothing is changed before it is created, and the time of creation has an index.
      ('updatedTo', 'i.updated_at <= %L and i.created_at <= %L'),
      ('idPrefix', 'i.instance_id ^@ %L'),
      ('idContains', 'strpos(i.instance_id, %L) > 0'),
      ('name', 'i.name = %L'),
      ('version', 'i.version = %L'),
      ('parent', 'i.parent ->> ''instanceId'' = %L'),
      ('rootsOnly', 'i.parent is null'),
      ('failureType', 'i.failure ->> ''type'' = %L'),
      ('tags', 'everdure._tag_set(i.tags) @> %L::jsonb')) c(field, condition)
    where p_filter -> c.field is not null);
  if p_filter -> 'customStatus' is not null then
    -- Reading JSON is dear. What no writer of JSON escapes can be looked for in the text first.
    if p_filter -> 'customStatus' ->> 1 ~ '^[A-Za-z0-9 _.-]*$' then
      v_conditions := v_conditions || format('strpos(i.custom_status, %L) > 0', p_filter -> 'customStatus' ->> 1);
    end if;
    v_conditions := v_conditions || format('everdure._custom_status_at(i.custom_status, %L) = %L',
      array(select s from json_array_elements_text(p_filter -> 'customStatus' -> 0) s), p_filter -> 'customStatus' ->> 1);
  end if;
  return format('select i.key from %s i where %s', v_source, array_to_string(v_conditions, ' and '));
end
$$;
