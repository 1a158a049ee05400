-- no-transaction
-- All spellings of a mailbox: the local part up to its subaddress, without dots.
create index concurrently if not exists identifications_base_idx on identifications (instance_id, split_part(value_key, '@', 2),
    replace(regexp_replace(split_part(value_key, '@', 1), '[+=#].*$', ''), '.', ''))
    where kind = 'email_address' and status in ('verified', 'reserved');
