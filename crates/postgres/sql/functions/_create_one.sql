-- Creates one instance inside the caller's own transaction, and notifies the nodes of the hub when that commits.
-- p_replaceable: a bit for each status in which an instance of that id is replaced.
-- Codes: C created, D the same request had created it, A an instance has the id.
-- Locks: task_hubs (read), and those of _insert_instances, for which it waits.
-- SQLSTATE: ED404 no such hub, ED422 an unusable argument, 55P03 another transaction is writing the instance.
create or replace function everdure._create_one(
  p_hub text, p_instance_id text, p_execution_id uuid, p_name text, p_version text, p_input text, p_tags text,
  p_scheduled_at timestamptz, p_replaceable smallint, p_request_id uuid
) returns table (code text, key bigint, created_at timestamptz, status smallint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
  v_hub int := everdure._hub(p_hub);
begin
  perform everdure._check_instance_id(p_instance_id);
  if coalesce(p_name, '') = '' then
    raise exception 'the name of the orchestration is empty' using errcode = 'ED422';
  end if;
  select c.code, c.key, c.created_at, c.status into code, key, created_at, status
  from everdure._insert_instances(
    v_hub, null, clock_timestamp(), array[p_instance_id], array[p_execution_id], array[p_name], array[p_version],
    array[p_input], array[p_tags], array[null::text], array[null::text], array[p_scheduled_at],
    array[p_replaceable],
    array[p_request_id], array[false], true) c;
  if code = 'B' then
    raise exception 'instance ''%'' is being written by another transaction', p_instance_id using errcode = '55P03';
  end if;
  perform pg_notify('everdure_' || v_hub, 'o');
  return next;
end
$$;
