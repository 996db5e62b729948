-- A page of entities in the order of their ids, behind p_after (null: from the beginning), one more than p_limit tells
-- whether there is another. p_prefix begins with @. Without p_transient only those that have a state. No locks.
create or replace function everdure._query_entities(
  p_hub int, p_prefix text, p_from timestamptz, p_to timestamptz, p_state boolean, p_transient boolean, p_after text,
  p_limit int
) returns setof everdure._entity_record
language plpgsql stable
set enable_seqscan = off set jit = off as $$
begin
  -- Put together for each call: a bound that is null would hide the range of ids from the index.
  return query execute format($query$
    select i.key, i.instance_id, case when %L then i.input end, i.input is not null,
           i.entity_lock #>> '{owner,instanceId}',
           (select count(*) from everdure.messages m
            where m.key = i.key and m.body ->> 'type' = 'EntityOperation'),
           i.updated_at
    from everdure.instances i
    where i.hub_id = %s and i.instance_id ^@ %L and left(i.name, 1) = '@' %s %s %s %s
    order by i.instance_id limit %s
    $query$,
    p_state, p_hub, p_prefix,
    case when p_after is not null then format('and i.instance_id > %L', p_after) end,
    case when p_from is not null then format('and i.updated_at >= %L', p_from) end,
    case when p_to is not null then format('and i.updated_at <= %L', p_to) end,
    case when not p_transient then 'and i.input is not null' end,
    p_limit + 1);
end
$$;
