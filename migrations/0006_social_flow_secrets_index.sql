-- no-transaction
-- The trips that still hold something: few, however many there were. Emptying them reads no other.
create index concurrently if not exists social_flows_secrets_idx on social_flows (instance_id, id)
    where pkce_verifier_sealed is not null or callback_sealed is not null or tokens_sealed is not null
        or profile is not null;
