-- Writes the turn that terminates an instance which nobody holds; one that has not begun has no turn to write. What
-- waited for it goes. The caller has locked its row. Locks: instances (locked already), messages, activities, history.
create or replace function everdure._end_unheld(
  p_row everdure.instances, p_reason text, p_recurse boolean, p_now timestamptz
) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off as $$
begin
  update everdure.instances i
  set status = 5, output = p_reason, completed_at = p_now, updated_at = p_now, due_at = null, locked_by = null,
      turn = i.turn + 1, execution_turn = case i.status when 6 then i.turn + 1 else i.execution_turn end
  where i.key = p_row.key;
  delete from everdure.messages m where m.key = p_row.key;
  delete from everdure.activities a where a.key = p_row.key;
  if p_row.status <> 6 then
    insert into everdure.history (key, execution, turn, at, events)
    values (
      p_row.key, p_row.execution, p_row.turn + 1,
      greatest(p_now, (
        select h.at + interval '1 microsecond' from everdure.history h
        where h.key = p_row.key and h.execution = p_row.execution and h.turn = p_row.turn)),
      json_build_array(
        json_strip_nulls(json_build_object(
          'type', 'ExecutionTerminated', 'reason', p_reason, 'recurse', case when p_recurse then true end)),
        json_build_object('type', 'ExecutionCompleted', 'status', 'Terminated')));
  end if;
end
$$;
