-- What stands in a custom status at a path of names and places; null when there is nothing, or when the status is not
-- JSON, for it may be any text. No locks.
create or replace function everdure._custom_status_at(p_status text, p_path text[]) returns text
language plpgsql immutable as $$
begin
  return p_status::json #>> p_path;
exception when invalid_text_representation or untranslatable_character then
  return null;
end
$$;
