-- Creates instances: the common part of _create_instances and of children.
--
-- Keys are drawn before the insert and the row that carries mine won. An instance whose id is wanted, in a state whose
-- bit is set in p_replaceable, is replaced in place, under the new key: its id is never free in between, and whatever
-- still runs for it lands nowhere. Codes: C created, D the same
-- request had created it, A an instance has the id, B busy: try again.
-- Locks: instances (new ones in the order given, which is by id; replaced ones, and the
-- parents of those that had not ended, and entities that they had locked, without waiting unless p_wait), then what
-- belongs to the replaced. SQLSTATEs: 55P03 when another transaction is creating one of the ids, ED404 when the hub was
-- deleted.
create or replace function everdure._insert_instances(
  p_hub int, p_node bigint, p_now timestamptz, p_ids text[], p_execution_ids uuid[], p_names text[], p_versions text[],
  p_inputs text[], p_tags text[], p_parents text[], p_traces text[], p_scheduled timestamptz[], p_replaceable smallint[],
  p_request_ids uuid[], p_born boolean[], p_wait boolean
) returns table (n int, code text, key bigint, born boolean, created_at timestamptz, status smallint)
language plpgsql as $$
#variable_conflict use_column
declare
  v_keys bigint[];
  v_won bigint[];
  v_item int;
  v_old everdure.instances;
  v_found boolean;
begin
  if not exists (select from everdure.task_hubs t where t.hub_id = p_hub) then
    raise exception 'the task hub has been deleted' using errcode = 'ED404',
      hint = 'Open it again, and it is made anew.';
  end if;
  select array_agg(nextval('everdure.instance_keys') order by u.n) into v_keys
  from generate_series(1, cardinality(p_ids)) u(n);
  with won as (
    insert into everdure.instances as i (
      key, hub_id, instance_id, execution_id, name, version, input, tags, parent, trace, scheduled_at, request_id,
      created_at, updated_at, locked_by, due_at, claimed_at)
    select v_keys[u.n], p_hub, u.id, u.execution_id, u.name, u.version, u.input, u.tags::json, u.parent::json,
           u.trace::json, u.scheduled, u.request_id, p_now, p_now,
           case when u.born then p_node end,
           case when not u.born then greatest(u.scheduled, p_now) end,
           case when u.born then p_now end
    from (
      select n, id, execution_id, name, version, input, tags, parent, trace, scheduled, request_id,
             p_node is not null and born and coalesce(scheduled <= p_now, true) as born
      from unnest(p_ids, p_execution_ids, p_names, p_versions, p_inputs, p_tags, p_parents, p_traces,
                  p_scheduled, p_request_ids, p_born)
           with ordinality as u(id, execution_id, name, version, input, tags, parent, trace, scheduled, request_id, born, n)
    ) u
    order by u.n
    on conflict (hub_id, instance_id) do nothing
    returning i.key
  )
  select coalesce(array_agg(won.key), '{}') into v_won from won;

  if cardinality(v_won) = cardinality(p_ids) then
    return query
      select u.n::int, 'C', v_keys[u.n], p_node is not null and p_born[u.n] and coalesce(p_scheduled[u.n] <= p_now, true),
             p_now, 6::smallint
      from generate_series(1, cardinality(p_ids)) u(n);
    return;
  end if;

  for v_item in 1 .. cardinality(p_ids) loop
    n := v_item;
    key := v_keys[v_item];
    born := p_node is not null and p_born[v_item] and coalesce(p_scheduled[v_item] <= p_now, true);
    created_at := p_now;
    status := 6;
    code := 'C';
    v_found := null;
    if not v_keys[v_item] = any (v_won) then
      select * into v_old from everdure.instances i where i.hub_id = p_hub and i.instance_id = p_ids[v_item];
      if not found then
        code := 'B';
      elsif v_old.request_id = p_request_ids[v_item] then
        code := 'D';
        key := v_old.key;
        born := false;
        created_at := v_old.created_at;
        status := v_old.status;
      elsif (p_replaceable[v_item] >> v_old.status) & 1 = 0 then
        code := 'A';
        status := v_old.status;
      else
        if p_wait then
          select true into v_found from everdure.instances i
          where i.key = v_old.key and i.status = v_old.status for update;
        else
          select true into v_found from everdure.instances i
          where i.key = v_old.key and i.status = v_old.status for update skip locked;
        end if;
        if v_found is null
           or v_old.completed_at is null and not everdure._tell_parent(v_old, 'replaced by another instance', p_now, p_wait) then
          code := 'B';
        else
          if v_old.completed_at is null and not everdure._unlock_entities(array[v_old.key], p_now, p_wait) then
            raise exception 'an entity that ''%'' has locked is being written', p_ids[v_item] using errcode = '40001';
          end if;
          delete from everdure.messages m where m.key = v_old.key;
          delete from everdure.activities a where a.key = v_old.key;
          delete from everdure.executions e where e.key = v_old.key;
          delete from everdure.poison p where p.key = v_old.key;
          delete from everdure.history h where h.key = v_old.key;
          update everdure.instances i
          set key = v_keys[v_item], turn = 0, execution_turn = 0, execution = 0, claim = 0, status = 6,
              execution_id = p_execution_ids[v_item], request_id = p_request_ids[v_item], name = p_names[v_item],
              version = p_versions[v_item], parent = p_parents[v_item]::json, trace = p_traces[v_item]::json, tags = p_tags[v_item]::json,
              input = p_inputs[v_item], output = null, custom_status = null, failure = null,
              created_at = p_now, updated_at = p_now, completed_at = null, scheduled_at = p_scheduled[v_item],
              locked_by = case when born then p_node end, claimed_at = case when born then p_now end,
              due_at = case when not born then greatest(p_scheduled[v_item], p_now) end
          where i.key = v_old.key;
        end if;
      end if;
    end if;
    return next;
  end loop;
end
$$;
