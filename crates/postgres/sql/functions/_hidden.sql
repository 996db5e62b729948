-- When messages become visible that an entity hides from claims while it is locked: never. No locks.
create or replace function everdure._hidden() returns timestamptz
language sql immutable parallel safe as $$ select timestamptz '9999-12-31 00:00:00+00' $$;
