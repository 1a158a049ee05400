-- Every way a sign-in can go: passwords, known browsers, native targets, exact limits, the flow inspector and the
-- development inbox. Conventions as in 0001.

-- The default of new instances; nobody could choose before.
update provider_configs set block_email_subaddresses = true where provider = 'google';

create table user_passwords (
    instance_id text collate "C" not null,
    user_id text collate "C" not null,
    digest text not null,
    hasher text not null,
    compromised_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint user_passwords_pkey primary key (instance_id, user_id),
    constraint user_passwords_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade
);
comment on table user_passwords is 'A user''s password: a PHC string, or the form it was imported in.';

create table known_clients (
    instance_id text collate "C" not null,
    user_id text collate "C" not null,
    client_id text collate "C" not null,
    failed_attempts smallint not null default 0,
    locked_until timestamptz,
    created_at timestamptz not null,
    constraint known_clients_pkey primary key (instance_id, user_id, client_id),
    constraint known_clients_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint known_clients_client_id_fkey foreign key (instance_id, client_id)
        references clients (instance_id, id) on delete cascade
) with (fillfactor = 85);
create index known_clients_client_idx on known_clients (instance_id, client_id);
comment on table known_clients is 'A browser this user has signed in from; strangers'' failures do not lock it out.';

create table redirect_urls (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    url text not null,
    url_key text collate "C" not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint redirect_urls_pkey primary key (instance_id, id),
    constraint redirect_urls_url_key_key unique (instance_id, url_key),
    constraint redirect_urls_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade
);
comment on table redirect_urls is 'An address of a native application that may receive a sign-in; key: scheme and host folded.';

create table rate_limits (
    instance_id text collate "C" not null,
    kind text collate "C" not null,
    key_hash bytea not null,
    hits timestamptz[] not null,
    expires_at timestamptz not null,
    constraint rate_limits_pkey primary key (instance_id, kind, key_hash),
    constraint rate_limits_key_hash_check check (octet_length(key_hash) = 32)
) with (fillfactor = 70);
comment on table rate_limits is 'An exact limit''s sliding log for one key; expires_at is when its newest hit leaves the window.';

create table flows (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    kind text not null,
    status text not null,
    reason text,
    detail text,
    provider text collate "C",
    application_id text collate "C",
    client_id text collate "C",
    user_id text collate "C",
    session_id text collate "C",
    config_hash bytea,
    decision_sealed bytea,
    started_at timestamptz not null,
    ended_at timestamptz,
    constraint flows_pkey primary key (instance_id, id),
    constraint flows_status_check check (status in ('open', 'succeeded', 'failed')),
    constraint flows_config_hash_check check (octet_length(config_hash) = 32)
) with (fillfactor = 70);
create index flows_reason_idx on flows (instance_id, reason, id) where reason is not null;
create index flows_user_idx on flows (instance_id, user_id, id) where user_id is not null;
comment on table flows is 'The inspector''s record of one browser flow; written in batches, may lose a row, never holds a secret.';

create table flow_steps (
    instance_id text collate "C" not null,
    flow_id text collate "C" not null,
    id text collate "C" not null,
    name text not null,
    outcome text not null,
    reason text,
    duration_ms integer,
    detail jsonb not null default '{}',
    request_id text collate "C",
    occurred_at timestamptz not null,
    constraint flow_steps_pkey primary key (instance_id, flow_id, id)
);
create index flow_steps_request_idx on flow_steps (instance_id, request_id) where request_id is not null;
comment on table flow_steps is 'A step of a flow''s timeline.';

create table inbox_messages (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    kind text not null,
    recipient text not null,
    subject text,
    content_sealed bytea not null,
    created_at timestamptz not null,
    constraint inbox_messages_pkey primary key (instance_id, id),
    constraint inbox_messages_kind_check check (kind in ('mail', 'message'))
);
comment on table inbox_messages is 'A message of a development instance that was kept here instead of being delivered.';

-- How a simulated provider refreshes, unless as the real one does; what it was asked, by name of the call; and the place
-- of a token in its approval's succession.
alter table simulator_providers
    add column refresh text,
    add column calls jsonb not null default '{}';
alter table simulator_tokens add column generation integer not null default 0;
-- A proof that waits with an attempt is found by it, and carried over with it.
create index social_flows_target_idx on social_flows (instance_id, target_id) where tokens_sealed is not null;

alter table social_flows add column transport text not null default 'cookie',
    add column origin text,
    add constraint social_flows_transport_check check (transport in ('cookie', 'nonce'));
comment on column social_flows.transport is 'What proves the browser that comes back: its cookie, or the nonce that it hands to the app.';
comment on column social_flows.origin is 'The page that began; the popup page speaks to it alone.';

create or replace view user_trees as
select u.instance_id, u.id, u.created_at, u.last_sign_in_at, u.last_active_at, u.updated_at, u.first_name, u.last_name,
    json_build_object(
        'id', u.id, 'external_id', u.external_id, 'username', u.username, 'first_name', u.first_name,
        'last_name', u.last_name, 'image_url', u.image_url, 'public_metadata', u.public_metadata,
        'private_metadata', u.private_metadata, 'unsafe_metadata', u.unsafe_metadata, 'banned_at', u.banned_at,
        'locked_at', u.locked_at, 'locked_until', u.locked_until, 'failed_attempts', u.failed_attempts,
        'delete_self_enabled', u.delete_self_enabled, 'create_organization_enabled', u.create_organization_enabled,
        'locale', u.locale, 'legal_accepted_at', u.legal_accepted_at, 'last_sign_in_at', u.last_sign_in_at,
        'last_active_at', u.last_active_at, 'created_at', u.created_at, 'updated_at', u.updated_at,
        'has_password', exists (select from user_passwords p where p.instance_id = u.instance_id and p.user_id = u.id),
        'identifications', coalesce((
            select json_agg(json_build_object(
                'id', i.id, 'kind', i.kind, 'value', i.value, 'status', i.status, 'is_primary', i.is_primary,
                'verification_strategy', i.verification_strategy, 'verified_at', i.verified_at,
                'created_at', i.created_at, 'updated_at', i.updated_at,
                'linked_to', coalesce((
                    select json_agg(json_build_object('type', 'oauth_' || e.provider, 'id', e.identification_id)
                        order by e.id)
                    from external_accounts e
                    where e.instance_id = i.instance_id and e.email_identification_id = i.id), '[]')
                ) order by i.is_primary desc, i.id)
            from identifications i where i.instance_id = u.instance_id and i.user_id = u.id), '[]'),
        'external_accounts', coalesce((
            select json_agg(json_build_object(
                'id', e.id, 'identification_id', e.identification_id, 'provider', e.provider,
                'provider_user_id', e.provider_user_id, 'status', e.status, 'verified_at', e.verified_at,
                'error', e.error, 'email_address', e.email_address, 'first_name', e.first_name,
                'last_name', e.last_name, 'username', e.username, 'avatar_url', e.avatar_url,
                'phone_number', e.phone_number, 'approved_scopes', e.approved_scopes,
                'public_metadata', e.public_metadata, 'label', e.label, 'expires_at', e.expires_at,
                'reconnection_error', (select v.error from verifications v
                    where v.instance_id = e.instance_id and v.owner_id = e.id and v.role = 'external_account'
                        and v.superseded_at is null),
                'created_at', e.created_at, 'updated_at', e.updated_at) order by e.created_at, e.id)
            from external_accounts e where e.instance_id = u.instance_id and e.user_id = u.id), '[]')
    ) as tree
from users u;

create or replace view verification_trees as
select v.instance_id, v.owner_id, v.role,
    json_build_object(
        'id', v.id, 'strategy', v.strategy, 'status', v.status, 'attempts', v.attempts, 'error', v.error,
        'address', v.value_key, 'sent_at', v.sent_at, 'expires_at', v.expires_at,
        'external_url_sealed', encode(v.external_url_sealed, 'base64')) as tree
from verifications v
where v.superseded_at is null;

create or replace view sign_in_trees as
select s.instance_id, s.id, s.client_id, s.replaced_at, s.abandon_at, s.completed_at,
    json_build_object(
        'id', s.id, 'status', s.status, 'identifier', s.identifier, 'user_id', s.user_id, 'flow_id', s.flow_id,
        'identification_id', s.identification_id, 'pending_external_account_id', s.pending_external_account_id,
        'sign_up_if_missing', s.sign_up_if_missing,
        'user', case when s.status in ('needs_first_factor', 'needs_second_factor', 'needs_new_password')
            then (select u.tree from user_trees u where u.instance_id = s.instance_id and u.id = s.user_id) end,
        'has_password', s.status = 'needs_first_factor' and exists (select from user_passwords p
            where p.instance_id = s.instance_id and p.user_id = s.user_id),
        'providers', coalesce(case when s.status = 'needs_first_factor'
            then (select json_agg(p.provider order by p.provider) from provider_configs p
                where p.instance_id = s.instance_id and p.enabled and p.authenticatable) end, '[]'::json),
        'created_session_id', s.created_session_id, 'abandon_at', s.abandon_at,
        'first_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'first_factor'),
        'second_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'second_factor')) as tree
from sign_ins s;

create or replace view sign_up_trees as
select s.instance_id, s.id, s.client_id, s.replaced_at, s.abandon_at, s.completed_at,
    json_build_object(
        'id', s.id, 'status', s.status, 'email_address', s.email_address, 'username', s.username,
        'first_name', s.first_name, 'last_name', s.last_name, 'unsafe_metadata', s.unsafe_metadata,
        'public_metadata', s.public_metadata, 'external_id', s.external_id, 'custom_action', s.custom_action,
        'locale', s.locale, 'legal_accepted_at', s.legal_accepted_at, 'created_user_id', s.created_user_id,
        'created_session_id', s.created_session_id, 'abandon_at', s.abandon_at, 'flow_id', s.flow_id,
        'has_password', s.password_digest is not null,
        'provider_profile', (select f.profile from social_flows f
            where f.instance_id = s.instance_id and f.target_id = s.id and f.tokens_sealed is not null
                and (f.transport = 'cookie' or f.rotating_token_nonce_used_at is not null)
            order by f.id desc limit 1),
        'providers', coalesce((select json_agg(p.provider order by p.provider) from provider_configs p
            where p.instance_id = s.instance_id and p.enabled and p.authenticatable), '[]'::json),
        'external_account', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'external_account'),
        'email_verification', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'email_address')) as tree
from sign_ups s;

-- The flow that a code and its grant came from: what becomes of them is told on the same timeline.
alter table oauth_codes add column flow_id text collate "C";
alter table oauth_grants add column flow_id text collate "C";

-- What proves an exchange goes with the end of its trip from now on; trips that ended before are emptied here.
update social_flows set pkce_verifier_sealed = null where finished_at is not null and pkce_verifier_sealed is not null;
