-- Collects what an operation of the flush did, until _close_flush stores and returns all of it. No locks.
create or replace function everdure._add_outcomes(p_operation text, p_outcomes json) returns void
language plpgsql as $$
begin
  perform set_config('everdure.outcomes',
    current_setting('everdure.outcomes') || ',"' || p_operation || '":' || coalesce(p_outcomes, '[]'::json)::text, true);
end
$$;
