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
    occurred_at timestamptz not null,
    constraint flow_steps_pkey primary key (instance_id, flow_id, id)
);
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
            order by f.id desc limit 1),
        'external_account', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'external_account'),
        'email_verification', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'email_address')) as tree
from sign_ups s;
