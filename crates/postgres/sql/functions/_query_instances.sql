-- One page of instances, newest first. p_filter: a JSON object; a condition that is not in it does not restrict.
--   statuses [number], createdFrom, createdTo, completedFrom, completedTo, updatedFrom, updatedTo (both ends included),
--   idPrefix, idContains, name, version, parent, rootsOnly, failureType, tags {}, customStatus [path [text], text]
-- Looks among the newest first, where most of what is common is; if they do not fill the page, by the indexes. The
-- statement is put together from the conditions that are given, so that each finds its index. No locks.
create or replace function everdure._query_instances(
  p_hub int, p_filter text, p_payloads boolean, p_before bigint, p_limit int
) returns setof everdure._instance_record
language plpgsql
-- What is wanted is found by an index, or soon; the planner takes a table that is in memory for cheaper than it is.
set enable_seqscan = off as $$
declare
  v_payloads text := case when p_payloads then 'i.input, i.output, i.custom_status, i.failure::text'
                                          else 'null::text, null::text, null::text, i.failure::text' end;
  v_recent bigint := (select r.key from everdure.instances r where r.key < p_before
                      order by r.key desc offset 10000 limit 1);
  v_keys bigint[];
begin
  execute format('select array(%s order by i.key desc limit %s)',
                 everdure._instances_that_match(p_hub, p_filter::json, p_before, v_recent), p_limit) into v_keys;
  if cardinality(v_keys) < p_limit and v_recent is not null then
    execute format('select array(%s order by i.key desc limit %s)',
                   everdure._instances_that_match(p_hub, p_filter::json, p_before), p_limit) into v_keys;
  end if;
  return query execute format($query$
    select i.key, i.instance_id, i.execution_id, i.execution, i.name, i.version, i.parent ->> 'instanceId', i.tags::text,
           i.status, i.created_at, i.scheduled_at, i.updated_at, i.completed_at, i.turn, %s, i.parent::text, i.trace::text
    from unnest($1) k(key)
    cross join lateral (select * from everdure.instances x where x.key = k.key limit 1) i
    order by i.key desc
    $query$, v_payloads) using v_keys;
end
$$;
