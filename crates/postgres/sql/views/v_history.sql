-- One row per history event of the current executions, oldest first within each. What opens a turn and an execution
-- is derived, and so is what an execution ended with; everything else is what the turn stored. Task id: the step that an event schedules or answers.
create or replace view everdure.v_history as
select t.name as task_hub, i.instance_id, i.execution_id, h.execution, h.turn, e.n as sequence,
       coalesce(timestamptz 'epoch' + (e.event ->> 'at')::bigint * interval '1 microsecond', h.at) as timestamp,
       e.event ->> 'type' as type,
       coalesce((e.event ->> 'taskId')::int, (e.event ->> 'timerId')::int, (e.event ->> 'id')::int) as task_id,
       e.event ->> 'dispatch' as dispatch,
       e.event ->> 'name' as name,
       e.event ->> 'version' as version,
       e.event ->> 'input' as input,
       coalesce(e.event ->> 'result', e.event ->> 'reason', e.event ->> 'data',
                case when e.event ->> 'type' = 'ExecutionCompleted' then i.output end) as result,
       coalesce(e.event -> 'failure',
                case when e.event ->> 'type' = 'ExecutionCompleted' then i.failure end) as failure,
       e.event ->> 'instanceId' as target_instance_id,
       e.event -> 'fireAt' as fire_at,
       h.key
from everdure.history h
join everdure.instances i on i.key = h.key
join everdure.task_hubs t on t.hub_id = i.hub_id
cross join lateral (
  select -1::bigint as n, json_build_object('type', 'OrchestratorStarted') as event
  union all
  select 0, json_build_object('type', 'ExecutionStarted', 'name', i.name, 'version', i.version, 'input', i.input)
  where h.turn = i.execution_turn + 1
  union all
  select x.n, x.event from json_array_elements(h.events) with ordinality x(event, n)
) e;
