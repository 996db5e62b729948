-- How many instances match, counted up to p_cap. p_filter: see _query_instances. No locks.
create or replace function everdure._count_instances(p_hub int, p_filter text, p_cap bigint) returns bigint
language plpgsql
-- What is wanted is found by an index, or soon; the planner takes a table that is in memory for cheaper than it is.
set enable_seqscan = off as $$
declare
  v_count bigint;
begin
  execute format('select count(*) from (%s limit %s) m',
                 everdure._instances_that_match(p_hub, p_filter::json, 9223372036854775807), p_cap) into v_count;
  return v_count;
end
$$;
