-- The table is named for what a row is: one authorization at a provider. What was sealed under the old name still opens
-- (`crypto::seal`). A server of before does not run on this schema: nothing was released yet.
alter table social_flows rename to provider_authorizations;
alter table provider_authorizations rename constraint social_flows_pkey to provider_authorizations_pkey;
alter table provider_authorizations rename constraint social_flows_state_hash_key to provider_authorizations_state_hash_key;
alter table provider_authorizations rename constraint social_flows_intent_check to provider_authorizations_intent_check;
alter table provider_authorizations rename constraint social_flows_session_check to provider_authorizations_session_check;
alter table provider_authorizations
    rename constraint social_flows_finished_at_check to provider_authorizations_finished_at_check;
alter table provider_authorizations
    rename constraint social_flows_state_hash_check to provider_authorizations_state_hash_check;
alter table provider_authorizations
    rename constraint social_flows_binding_hash_check to provider_authorizations_binding_hash_check;
alter table provider_authorizations
    rename constraint social_flows_continuation_hash_check to provider_authorizations_continuation_hash_check;
alter table provider_authorizations
    rename constraint social_flows_nonce_hash_check to provider_authorizations_nonce_hash_check;
alter table provider_authorizations rename constraint social_flows_rotating_token_nonce_hash_check
    to provider_authorizations_rotating_token_nonce_hash_check;
alter table provider_authorizations
    rename constraint social_flows_transport_check to provider_authorizations_transport_check;
alter index social_flows_continuation_hash_key rename to provider_authorizations_continuation_hash_key;
alter index social_flows_rotating_token_nonce_hash_key
    rename to provider_authorizations_rotating_token_nonce_hash_key;
alter index social_flows_verification_idx rename to provider_authorizations_verification_idx;
alter index social_flows_target_idx rename to provider_authorizations_target_idx;
alter index social_flows_secrets_idx rename to provider_authorizations_secrets_idx;
comment on table provider_authorizations is 'One authorization at a provider: its state, its secrets, and what came back.';
update jobs set name = 'retention_provider_authorizations' where name = 'retention_social_flows';
update jobs set name = 'retention_provider_authorization_secrets' where name = 'retention_social_flow_secrets';
