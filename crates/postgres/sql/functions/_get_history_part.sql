-- Turns of an execution after p_after, oldest first: until they have p_bytes together, and one at least. No locks.
create or replace function everdure._get_history_part(p_key bigint, p_execution int, p_after bigint, p_bytes bigint)
returns table (turn bigint, at timestamptz, events text)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
declare
  r record;
begin
  -- A loop looks at few rows before their events are read, however large these are.
  for r in
    select h.turn, h.at, h.events from everdure.history h
    where h.key = p_key and h.execution = p_execution and h.turn > p_after order by h.turn
  loop
    turn := r.turn;
    at := r.at;
    events := r.events::text;
    return next;
    p_bytes := p_bytes - octet_length(events);
    exit when p_bytes <= 0;
  end loop;
end
$$;
