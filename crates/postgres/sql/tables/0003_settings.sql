-- What an operator has decided for a hub. A setting that has no row has its default.
create table everdure.hub_settings (
  hub_id     int not null,
  name       text not null,
  value      text not null,
  changed_at timestamptz not null default now(),
  primary key (hub_id, name)
);
