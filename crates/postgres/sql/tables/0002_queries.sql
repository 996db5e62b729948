-- What queries look up. The way of an instance that is born held and runs to its end must not get longer: no index here
-- has an entry for it before its end, and none makes a column that turns change an indexed one (updates would leave
-- their page).

-- Prefixes are ranges of bytes; equality is the same in every collation.
alter table everdure.instances alter column instance_id type text collate "C";

-- Live and held by nobody: entered when an instance is released before its end. The others that live are held.
create index instances_waiting on everdure.instances (hub_id, key) where locked_by is null and completed_at is null;

-- By the type of failure; what has not failed has no entry.
create index instances_failure on everdure.instances (hub_id, (failure ->> 'type'), key) where failure is not null;

-- Children by their parent; others have no entry.
create index instances_parent on everdure.instances (hub_id, (parent ->> 'instanceId'), key) where parent is not null;

-- Tags as a set. A cast of json is not immutable by itself; that of an object of strings is.
create function everdure._tag_set(p_tags json) returns jsonb
language sql immutable parallel safe as $$ select p_tags::jsonb $$;
create index instances_tags on everdure.instances using gin (everdure._tag_set(tags)) where tags is not null;

-- By name, once it has ended: the one entry that a finished instance pays. Live ones are few.
create index instances_name on everdure.instances (hub_id, name, key) where completed_at is not null;

-- Rows lie about in the order in which they were created; this costs next to nothing.
create index instances_created_at on everdure.instances using brin (created_at) with (pages_per_range = 32, autosummarize = on);
