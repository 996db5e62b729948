-- What the protocol of the SDKs carries besides: trace contexts, the orchestrator's id of an activity, and the
-- orchestration's version beside an activity that asks for none, for the filters of workers.
alter table everdure.instances add column trace json;
alter table everdure.activities
  add column trace json, add column orchestration_version text, add column task_id int not null default -1;
