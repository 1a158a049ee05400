-- no-transaction
-- An address is also looked up without knowing its status (callback, filters): a partial index serves nobody there.
create index concurrently if not exists identifications_value_idx on identifications (instance_id, kind, value_key, created_at);
