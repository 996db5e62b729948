-- Creates the instances of a flush. Outcomes: [code, key, born, microseconds of created_at, status] each; codes
-- as in _insert_instances. Locks and SQLSTATEs: those of _insert_instances.
create or replace function everdure._create_instances(
  p_hub int, p_node bigint, p_ids text[], p_execution_ids uuid[], p_names text[], p_versions text[], p_inputs text[],
  p_tags text[], p_traces text[], p_scheduled timestamptz[], p_replaceable smallint[], p_request_ids uuid[],
  p_born boolean[], p_wait boolean
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
begin
  perform everdure._add_outcomes('create', (
    select json_agg(json_build_array(c.code, c.key, c.born, (extract(epoch from c.created_at) * 1000000)::bigint, c.status)
                    order by c.n)
    from everdure._insert_instances(
      p_hub, p_node, clock_timestamp(), p_ids, p_execution_ids, p_names, p_versions, p_inputs, p_tags,
      array_fill(null::text, array[cardinality(p_ids)]), p_traces, p_scheduled, p_replaceable, p_request_ids, p_born, p_wait) c));
end
$$;
