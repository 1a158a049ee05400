-- no-transaction
-- Proofs are looked up by their owner also when newer ones superseded them: transfers, and the removal of attempts.
create index concurrently if not exists verifications_owner_idx on verifications (instance_id, owner_id);
