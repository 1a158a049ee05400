-- no-transaction
create index concurrently if not exists identifications_search_idx on identifications using gin (search_terms) with (fastupdate = off);
