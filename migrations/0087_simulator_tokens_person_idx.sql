-- no-transaction
-- Whether somebody at a simulated provider still has a code or token: people without are removed.
create index concurrently if not exists simulator_tokens_person_idx on simulator_tokens (instance_id, provider, provider_user_id);
