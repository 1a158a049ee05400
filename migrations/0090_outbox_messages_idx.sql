-- no-transaction
-- The messages whose content is still stored: those of a day. Clearing them reads no other side effect.
create index concurrently if not exists outbox_messages_idx on outbox (instance_id, id)
    where kind in ('mail', 'message') and payload_sealed is not null;
