-- What the schema is: the version of its tables, the digest of its functions, the program that changed it last, and when.
-- No locks.
create or replace function everdure.get_versions()
returns table (schema_version int, functions text, everdure text, applied_at timestamptz, postgres text)
language sql stable as $$
  select i.version, i.functions, i.everdure, i.applied_at, current_setting('server_version') from everdure.schema_info i
$$;
