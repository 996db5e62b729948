-- Orchestrations as people look for them.
create or replace view everdure.v_instances as
select t.name as task_hub, i.instance_id, i.execution_id, i.execution, i.name, i.version,
       case i.status when 0 then 'Running' when 1 then 'Completed' when 3 then 'Failed' when 5 then 'Terminated'
                     when 6 then 'Pending' when 7 then 'Suspended' end as status,
       i.custom_status, i.input, i.output, i.failure, i.tags, i.parent ->> 'instanceId' as parent_instance_id,
       i.created_at, i.scheduled_at, i.updated_at, i.completed_at, i.due_at, i.turn, i.locked_by as node_id, i.key
from everdure.instances i
join everdure.task_hubs t on t.hub_id = i.hub_id
where left(i.name, 1) <> '@';
