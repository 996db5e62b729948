-- Starts an orchestration from SQL, inside the caller's own transaction: it begins when that commits, and never if
-- it rolls back. Returns the instance id (a random one if none is given). With p_request_id a repetition is applied
-- once. Notifies the nodes of the hub at commit.
-- Locks: task_hubs (read), instances (a new row; a finished instance of the same id is replaced).
-- SQLSTATE: ED404 no such hub, ED409 the id is in use by an instance that has not ended, ED422 an unusable argument,
-- 55P03 another transaction is writing the instance.
create or replace function everdure.start_instance(
  p_name text, p_input json default null, p_instance_id text default null, p_version text default null,
  p_tags json default null, p_scheduled_at timestamptz default null, p_request_id uuid default null,
  p_hub text default 'default'
) returns text
language plpgsql as $$
declare
  v_hub int := everdure._hub(p_hub);
  v_id text := coalesce(p_instance_id, replace(gen_random_uuid()::text, '-', ''));
  v_created record;
begin
  perform everdure._check_instance_id(v_id);
  if coalesce(p_name, '') = '' then
    raise exception 'the name of the orchestration is empty' using errcode = 'ED422';
  end if;
  select * into v_created from everdure._insert_instances(
    v_hub, null, clock_timestamp(), array[v_id], array[gen_random_uuid()], array[p_name], array[p_version],
    array[p_input::text], array[p_tags::text], array[null::text], array[p_scheduled_at], array[true],
    array[p_request_id], array[false], true);
  if v_created.code = 'A' then
    raise exception 'instance ''%'' exists already and has not ended', v_id
      using errcode = 'ED409', hint = 'Choose another id, or wait for its end.';
  elsif v_created.code = 'B' then
    raise exception 'instance ''%'' is being written by another transaction', v_id using errcode = '55P03';
  end if;
  perform pg_notify('everdure_' || v_hub, 'o');
  return v_id;
end
$$;
