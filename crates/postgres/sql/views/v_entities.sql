-- Entities as people look for them.
create or replace view everdure.v_entities as
select t.name as task_hub, i.instance_id as entity_id, substr(i.name, 2) as name, i.input as state,
       i.entity_lock #>> '{owner,instanceId}' as locked_by, i.created_at, i.updated_at, i.due_at, i.locked_by as node_id,
       i.key
from everdure.instances i
join everdure.task_hubs t on t.hub_id = i.hub_id
where left(i.name, 1) = '@';
