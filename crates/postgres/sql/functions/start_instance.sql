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
  v_id text := coalesce(p_instance_id, replace(gen_random_uuid()::text, '-', ''));
  v_code text := (
    select c.code from everdure._create_one(
      p_hub, v_id, gen_random_uuid(), p_name, p_version, p_input::text, p_tags::text, p_scheduled_at,
      -- The bits of Completed, Failed and Terminated.
      42::smallint, p_request_id) c);
begin
  if v_code = 'A' then
    raise exception 'instance ''%'' exists already and has not ended', v_id
      using errcode = 'ED409', hint = 'Choose another id, or wait for its end.';
  end if;
  return v_id;
end
$$;
