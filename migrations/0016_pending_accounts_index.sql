-- no-transaction
-- The accounts that somebody went to connect: few, however many are connected. Removing stale ones reads no other.
create index concurrently if not exists external_accounts_pending_idx on external_accounts (instance_id, id)
    where status = 'pending';
