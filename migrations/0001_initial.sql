-- The first schema: deployment, users, browsers, attempts, the provider side, records and work.
-- Conventions: text collate "C" for ids and keys; *_hash is a 32-byte keyed lookup hash; *_sealed is AES-GCM bound to
-- its row; every tenant table leads its keys with instance_id; every constraint is named.

-- A. Deployment, instances, providers --------------------------------------------------------------------------------

create table instances (
    id text collate "C" not null,
    application_id text collate "C" not null,
    name text not null,
    environment_type text not null,
    key_form text not null,
    publishable_key text not null,
    frontend_api_origin text not null,
    proxy_url text,
    settings jsonb not null default '{}',
    settings_version bigint not null default 1,
    clock_offset interval not null default '0',
    ephemeral_until timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint instances_pkey primary key (id),
    constraint instances_name_key unique (name),
    constraint instances_publishable_key_key unique (publishable_key),
    constraint instances_environment_key unique (id, environment_type),
    constraint instances_environment_type_check check (environment_type in ('development', 'production')),
    constraint instances_key_form_check
        check (key_form = 'live' or (key_form = 'test' and environment_type = 'development')),
    constraint instances_clock_offset_check check (clock_offset = '0' or environment_type = 'development')
);
comment on table instances is 'One development or production instance of an app.';

create table instance_hosts (
    host text collate "C" not null,
    instance_id text collate "C" not null,
    kind text not null,
    constraint instance_hosts_pkey primary key (host),
    constraint instance_hosts_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade,
    constraint instance_hosts_kind_check check (kind in ('frontend_api', 'accounts', 'proxy'))
);
create index instance_hosts_instance_idx on instance_hosts (instance_id);
comment on table instance_hosts is 'A host name (lower case, punycode, no port) that belongs to an instance.';

create table instance_origins (
    instance_id text collate "C" not null,
    origin text collate "C" not null,
    kind text not null,
    created_at timestamptz not null,
    constraint instance_origins_pkey primary key (instance_id, origin),
    constraint instance_origins_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade,
    constraint instance_origins_kind_check check (kind in ('home', 'allowed', 'proxy'))
);
comment on table instance_origins is 'An origin that may receive redirects and credentialed CORS answers.';

create table secret_keys (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    name text not null,
    hash bytea not null,
    hash_key_id text not null,
    hint text not null,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null,
    constraint secret_keys_pkey primary key (instance_id, id),
    constraint secret_keys_hash_key unique (hash),
    constraint secret_keys_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade,
    constraint secret_keys_hash_check check (octet_length(hash) = 32)
) with (fillfactor = 85);
comment on table secret_keys is 'A backend secret key, as a lookup hash; kept after revocation so that audit can name it.';

create table signing_keys (
    instance_id text collate "C" not null,
    kid text collate "C" not null,
    algorithm text not null,
    private_key_sealed bytea,
    public_jwk jsonb not null,
    published_at timestamptz not null,
    active_from timestamptz not null,
    removed_from timestamptz,
    revoked_at timestamptz,
    constraint signing_keys_pkey primary key (instance_id, kid),
    constraint signing_keys_active_from_key unique (instance_id, active_from),
    constraint signing_keys_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade,
    constraint signing_keys_algorithm_check check (algorithm in ('RS256'))
);
comment on table signing_keys is 'An RSA key of an instance; the active one is the newest active_from in the past.';

create table ring_keys (
    key_id text collate "C" not null,
    check_hash bytea not null,
    seals bigint not null default 0,
    first_used_at timestamptz not null,
    last_used_at timestamptz,
    constraint ring_keys_pkey primary key (key_id),
    constraint ring_keys_check_hash_check check (octet_length(check_hash) = 32)
);
comment on table ring_keys is 'What the database knows of the key ring: a check value per key id, never a key.';

create table provider_configs (
    instance_id text collate "C" not null,
    provider text collate "C" not null,
    environment_type text not null,
    enabled boolean not null default false,
    authenticatable boolean not null default true,
    is_required boolean not null default false,
    not_selectable boolean not null default false,
    block_email_subaddresses boolean not null default false,
    multiple_accounts boolean not null default false,
    credentials text not null,
    client_id text,
    client_secret_sealed bytea,
    parameters jsonb not null default '{}',
    parameters_sealed bytea,
    scopes text[] not null default '{}',
    allowed_additional_scopes text[],
    custom jsonb,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint provider_configs_pkey primary key (instance_id, provider),
    constraint provider_configs_instance_fkey foreign key (instance_id, environment_type)
        references instances (id, environment_type) on update cascade on delete cascade,
    constraint provider_configs_credentials_check check (credentials in ('custom', 'simulated')),
    constraint provider_configs_simulated_check check (credentials = 'custom' or environment_type = 'development'),
    constraint provider_configs_custom_check check ((custom is not null) = (provider like 'custom\_%'))
);
comment on table provider_configs is 'One social provider of an instance, built in or custom; no row means not enabled.';

-- B. Users, accounts, provider tokens --------------------------------------------------------------------------------

create table users (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    external_id text,
    username text,
    username_key text collate "C",
    first_name text,
    last_name text,
    image_id text collate "C",
    image_url text,
    public_metadata jsonb not null default '{}',
    private_metadata jsonb not null default '{}',
    unsafe_metadata jsonb not null default '{}',
    banned_at timestamptz,
    locked_at timestamptz,
    locked_until timestamptz,
    lock_reason text,
    failed_attempts smallint not null default 0,
    delete_self_enabled boolean not null default true,
    create_organization_enabled boolean not null default true,
    locale text,
    legal_accepted_at timestamptz,
    last_sign_in_at timestamptz,
    last_active_at timestamptz,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint users_pkey primary key (instance_id, id),
    constraint users_external_id_key unique (instance_id, external_id),
    constraint users_username_key unique (instance_id, username_key),
    constraint users_lock_reason_check check (lock_reason in ('admin', 'attempts'))
) with (fillfactor = 85);
create index users_created_at_idx on users (instance_id, created_at, id);
create index users_last_sign_in_at_idx on users (instance_id, last_sign_in_at desc nulls last, id desc);
create index users_last_active_at_idx on users (instance_id, last_active_at desc nulls last, id desc);
comment on table users is 'A living person; deletion removes the row.';

create table identifications (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    user_id text collate "C" not null,
    kind text not null,
    value text not null,
    value_key text collate "C" not null,
    status text not null,
    is_primary boolean not null default false,
    verification_strategy text,
    verified_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint identifications_pkey primary key (instance_id, id),
    constraint identifications_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint identifications_owner_key unique (instance_id, user_id, kind, value_key),
    constraint identifications_kind_check check (kind in ('email_address', 'phone_number', 'web3_wallet')),
    constraint identifications_status_check check (status in ('unverified', 'verified', 'reserved')),
    constraint identifications_verified_at_check check ((status = 'verified') = (verified_at is not null))
);
create unique index identifications_claimed_key on identifications (instance_id, kind, value_key)
    where status in ('verified', 'reserved');
create unique index identifications_primary_key on identifications (instance_id, user_id, kind) where is_primary;
create index identifications_value_idx on identifications (instance_id, kind, value_key, created_at)
    where status = 'unverified';
comment on table identifications is 'An address of a user; a verified or reserved one belongs to one user only.';

create table external_accounts (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    identification_id text collate "C" not null,
    user_id text collate "C" not null,
    provider text collate "C" not null,
    provider_user_id text collate "C",
    status text not null,
    verified_at timestamptz,
    error jsonb,
    email_address text,
    email_verified boolean,
    email_identification_id text collate "C",
    first_name text,
    last_name text,
    username text,
    avatar_url text,
    phone_number text,
    approved_scopes text[] not null default '{}',
    public_metadata jsonb not null default '{}',
    label text,
    expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint external_accounts_pkey primary key (instance_id, id),
    constraint external_accounts_identification_key unique (instance_id, identification_id),
    constraint external_accounts_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint external_accounts_email_identification_fkey foreign key (instance_id, email_identification_id)
        references identifications (instance_id, id) on delete no action,
    constraint external_accounts_status_check check (status in ('pending', 'verified')),
    constraint external_accounts_verified_at_check check ((status = 'verified') = (verified_at is not null)),
    constraint external_accounts_provider_user_id_check check (status <> 'verified' or provider_user_id is not null)
);
create unique index external_accounts_identity_key on external_accounts (instance_id, provider, provider_user_id)
    where status = 'verified';
create index external_accounts_user_idx on external_accounts (instance_id, user_id);
create index external_accounts_email_identification_idx on external_accounts (instance_id, email_identification_id)
    where email_identification_id is not null;
comment on table external_accounts is 'An account of a user at a provider.';

create table provider_tokens (
    instance_id text collate "C" not null,
    external_account_id text collate "C" not null,
    generation bigint not null default 1,
    access_token_sealed bytea,
    refresh_token_sealed bytea,
    id_token_sealed bytea,
    token_type text,
    scopes text[] not null default '{}',
    expires_at timestamptz,
    obtained_at timestamptz not null,
    state text not null default 'ok',
    reason text,
    state_since_at timestamptz not null,
    last_refresh_at timestamptz,
    refresh_lease_owner text,
    refresh_lease_until timestamptz,
    updated_at timestamptz not null,
    constraint provider_tokens_pkey primary key (instance_id, external_account_id),
    constraint provider_tokens_external_account_fkey foreign key (instance_id, external_account_id)
        references external_accounts (instance_id, id) on delete cascade,
    constraint provider_tokens_state_check check (state in ('ok', 'refused', 'needs_reconnect')),
    constraint provider_tokens_lease_check check ((refresh_lease_owner is null) = (refresh_lease_until is null))
) with (fillfactor = 70);
comment on table provider_tokens is 'The newest tokens of a verified external account; generation grows with every stored answer.';

create table counters (
    instance_id text collate "C" not null,
    name text collate "C" not null,
    shard smallint not null,
    value bigint not null default 0,
    constraint counters_pkey primary key (instance_id, name, shard)
) with (fillfactor = 50);
comment on table counters is 'A maintained total, summed over its shards.';

-- The tree of a user, read by both APIs, the client and the pages in one round trip -----------------------------------

create view user_trees as
select u.instance_id, u.id, u.created_at, u.last_sign_in_at, u.last_active_at, u.updated_at, u.first_name, u.last_name,
    json_build_object(
        'id', u.id, 'external_id', u.external_id, 'username', u.username, 'first_name', u.first_name,
        'last_name', u.last_name, 'image_url', u.image_url, 'public_metadata', u.public_metadata,
        'private_metadata', u.private_metadata, 'unsafe_metadata', u.unsafe_metadata, 'banned_at', u.banned_at,
        'locked_at', u.locked_at, 'locked_until', u.locked_until, 'failed_attempts', u.failed_attempts,
        'delete_self_enabled', u.delete_self_enabled, 'create_organization_enabled', u.create_organization_enabled,
        'locale', u.locale, 'legal_accepted_at', u.legal_accepted_at, 'last_sign_in_at', u.last_sign_in_at,
        'last_active_at', u.last_active_at, 'created_at', u.created_at, 'updated_at', u.updated_at,
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
                'public_metadata', e.public_metadata, 'label', e.label, 'created_at', e.created_at,
                'updated_at', e.updated_at) order by e.id)
            from external_accounts e where e.instance_id = u.instance_id and e.user_id = u.id), '[]')
    ) as tree
from users u;
comment on view user_trees is 'A user with addresses and external accounts, as one JSON value.';

-- C. Browsers and sessions -------------------------------------------------------------------------------------------

create table clients (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    last_active_session_id text collate "C",
    last_authentication_strategy text,
    client_uat_at timestamptz,
    last_active_at timestamptz,
    removed_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint clients_pkey primary key (instance_id, id)
) with (fillfactor = 85);
comment on table clients is 'A browser or device.';

create table client_tokens (
    instance_id text collate "C" not null,
    hash bytea not null,
    hash_key_id text not null,
    client_id text collate "C" not null,
    kind text not null,
    generation integer not null,
    superseded_at timestamptz,
    created_at timestamptz not null,
    constraint client_tokens_pkey primary key (instance_id, hash),
    constraint client_tokens_generation_key unique (instance_id, client_id, kind, generation),
    constraint client_tokens_client_id_fkey foreign key (instance_id, client_id)
        references clients (instance_id, id) on delete cascade,
    constraint client_tokens_hash_check check (octet_length(hash) = 32),
    constraint client_tokens_kind_check check (kind in ('browser', 'dev_browser'))
);
comment on table client_tokens is 'What a browser presents to name its client; one generation is live.';

create table sessions (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    client_id text collate "C" not null,
    user_id text collate "C" not null,
    status text not null,
    tasks text[] not null default '{}',
    actor jsonb,
    strategy text,
    amr text[] not null default '{}',
    authenticated_at timestamptz not null,
    first_factor_verified_at timestamptz,
    second_factor_verified_at timestamptz,
    last_active_organization_id text collate "C",
    expire_at timestamptz not null,
    last_active_at timestamptz not null,
    ended_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint sessions_pkey primary key (instance_id, id),
    constraint sessions_client_id_fkey foreign key (instance_id, client_id)
        references clients (instance_id, id) on delete no action,
    constraint sessions_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint sessions_status_check check
        (status in ('pending', 'active', 'ended', 'removed', 'revoked', 'expired', 'abandoned', 'replaced')),
    constraint sessions_tasks_check check (status <> 'active' or tasks = '{}'),
    constraint sessions_ended_at_check check ((status in ('pending', 'active')) = (ended_at is null))
) with (fillfactor = 85);
create index sessions_client_idx on sessions (instance_id, client_id);
create index sessions_user_idx on sessions (instance_id, user_id, id);
comment on table sessions is 'A signed-in user on a client.';

create table session_activities (
    instance_id text collate "C" not null,
    session_id text collate "C" not null,
    id text collate "C" not null,
    browser_name text,
    browser_version text,
    device_type text,
    is_mobile boolean,
    ip_address inet,
    city text,
    country text,
    updated_at timestamptz not null,
    constraint session_activities_pkey primary key (instance_id, session_id),
    constraint session_activities_session_id_fkey foreign key (instance_id, session_id)
        references sessions (instance_id, id) on delete cascade
) with (fillfactor = 85);
comment on table session_activities is 'The latest device and place of a session.';

create table handshakes (
    instance_id text collate "C" not null,
    hash bytea not null,
    directives_sealed bytea not null,
    expires_at timestamptz not null,
    constraint handshakes_pkey primary key (instance_id, hash),
    constraint handshakes_hash_check check (octet_length(hash) = 32)
);
create index handshakes_expires_at_idx on handshakes (instance_id, expires_at);
comment on table handshakes is 'A list of Set-Cookie lines waiting behind a nonce for a backend to fetch it.';

-- D. Attempts and proofs: short-lived, so they name users, sessions and accounts without foreign keys ---------------

create table sign_ins (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    client_id text collate "C" not null,
    status text not null,
    identifier text,
    identification_id text collate "C",
    user_id text collate "C",
    pending_external_account_id text collate "C",
    locale text,
    sign_up_if_missing boolean not null default false,
    created_session_id text collate "C",
    flow_id text collate "C",
    replaced_at timestamptz,
    completed_at timestamptz,
    abandon_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint sign_ins_pkey primary key (instance_id, id),
    constraint sign_ins_client_id_fkey foreign key (instance_id, client_id)
        references clients (instance_id, id) on delete cascade,
    constraint sign_ins_status_check check (status in ('needs_identifier', 'needs_first_factor',
        'needs_second_factor', 'needs_client_trust', 'needs_new_password', 'complete')),
    constraint sign_ins_created_session_check check ((status = 'complete') = (created_session_id is not null))
) with (fillfactor = 85);
create unique index sign_ins_current_key on sign_ins (instance_id, client_id) where replaced_at is null;
create index sign_ins_client_idx on sign_ins (instance_id, client_id);
comment on table sign_ins is 'A sign-in attempt; one per client is current.';

create table sign_ups (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    client_id text collate "C" not null,
    status text not null,
    email_address text,
    email_address_key text collate "C",
    phone_number text,
    web3_wallet text,
    username text,
    first_name text,
    last_name text,
    password_digest text,
    unsafe_metadata jsonb not null default '{}',
    public_metadata jsonb not null default '{}',
    external_id text,
    custom_action boolean not null default false,
    locale text,
    legal_accepted_at timestamptz,
    created_user_id text collate "C",
    created_session_id text collate "C",
    flow_id text collate "C",
    replaced_at timestamptz,
    completed_at timestamptz,
    abandon_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint sign_ups_pkey primary key (instance_id, id),
    constraint sign_ups_client_id_fkey foreign key (instance_id, client_id)
        references clients (instance_id, id) on delete cascade,
    constraint sign_ups_status_check check (status in ('missing_requirements', 'complete')),
    constraint sign_ups_created_user_check check ((status = 'complete') = (created_user_id is not null))
) with (fillfactor = 85);
create unique index sign_ups_current_key on sign_ups (instance_id, client_id) where replaced_at is null;
create index sign_ups_client_idx on sign_ups (instance_id, client_id);
comment on table sign_ups is 'A sign-up attempt; one per client is current.';

create table verifications (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    owner_id text collate "C" not null,
    role text not null,
    client_id text collate "C",
    session_id text collate "C",
    strategy text not null,
    status text not null,
    channel text,
    identification_id text collate "C",
    value_key text collate "C",
    code_hash bytea,
    link_hash bytea,
    attempts smallint not null default 0,
    redirect_url text,
    external_url_sealed bytea,
    error jsonb,
    sent_at timestamptz,
    expires_at timestamptz not null,
    verified_at timestamptz,
    transferable_until timestamptz,
    transferred_at timestamptz,
    superseded_at timestamptz,
    created_at timestamptz not null,
    constraint verifications_pkey primary key (instance_id, id),
    constraint verifications_role_check check (role in ('first_factor', 'second_factor', 'email_address',
        'phone_number', 'web3_wallet', 'external_account')),
    constraint verifications_status_check check (status in ('unverified', 'verified', 'transferable', 'failed')),
    constraint verifications_code_hash_check check (octet_length(code_hash) = 32),
    constraint verifications_link_hash_check check (octet_length(link_hash) = 32),
    constraint verifications_attempts_check check (attempts between 0 and 5)
) with (fillfactor = 85);
create unique index verifications_current_key on verifications (instance_id, owner_id, role)
    where superseded_at is null;
create unique index verifications_link_hash_key on verifications (instance_id, link_hash)
    where link_hash is not null;
comment on table verifications is 'One proof asked of one owner; a newer one supersedes it.';

create view verification_trees as
select v.instance_id, v.owner_id, v.role,
    json_build_object(
        'id', v.id, 'strategy', v.strategy, 'status', v.status, 'attempts', v.attempts, 'error', v.error,
        'expires_at', v.expires_at, 'external_url_sealed', encode(v.external_url_sealed, 'base64')) as tree
from verifications v
where v.superseded_at is null;
comment on view verification_trees is 'The current verification of an owner, as one JSON value.';

create view sign_in_trees as
select s.instance_id, s.id, s.client_id, s.replaced_at, s.abandon_at, s.completed_at,
    json_build_object(
        'id', s.id, 'status', s.status, 'identifier', s.identifier, 'user_id', s.user_id,
        'created_session_id', s.created_session_id, 'abandon_at', s.abandon_at,
        'first_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'first_factor'),
        'second_factor', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'second_factor')) as tree
from sign_ins s;
comment on view sign_in_trees is 'A sign-in attempt with its verifications, as one JSON value.';

create view sign_up_trees as
select s.instance_id, s.id, s.client_id, s.replaced_at, s.abandon_at, s.completed_at,
    json_build_object(
        'id', s.id, 'status', s.status, 'email_address', s.email_address, 'username', s.username,
        'first_name', s.first_name, 'last_name', s.last_name, 'unsafe_metadata', s.unsafe_metadata,
        'public_metadata', s.public_metadata, 'external_id', s.external_id, 'custom_action', s.custom_action,
        'locale', s.locale, 'legal_accepted_at', s.legal_accepted_at, 'created_user_id', s.created_user_id,
        'created_session_id', s.created_session_id, 'abandon_at', s.abandon_at,
        'external_account', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'external_account'),
        'email_verification', (select v.tree from verification_trees v
            where v.instance_id = s.instance_id and v.owner_id = s.id and v.role = 'email_address')) as tree
from sign_ups s;
comment on view sign_up_trees is 'A sign-up attempt with its verifications, as one JSON value.';

create table social_flows (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    verification_id text collate "C" not null,
    intent text not null,
    target_id text collate "C" not null,
    client_id text collate "C" not null,
    user_id text collate "C",
    session_id text collate "C",
    provider text collate "C" not null,
    provider_config_version bigint not null,
    state_hash bytea not null,
    binding_hash bytea,
    continuation_hash bytea,
    callback_sealed bytea,
    pkce_verifier_sealed bytea,
    nonce_hash bytea,
    callback_url text not null,
    redirect_url text not null,
    action_complete_redirect_url text,
    scopes text[] not null,
    flow_id text collate "C",
    expires_at timestamptz not null,
    consumed_at timestamptz,
    finished_at timestamptz,
    outcome_url text,
    provider_user_id text collate "C",
    profile jsonb,
    tokens_sealed bytea,
    rotating_token_nonce_hash bytea,
    rotating_token_nonce_expires_at timestamptz,
    rotating_token_nonce_used_at timestamptz,
    created_at timestamptz not null,
    constraint social_flows_pkey primary key (instance_id, id),
    constraint social_flows_state_hash_key unique (instance_id, state_hash),
    constraint social_flows_intent_check check (intent in ('sign_in', 'sign_up', 'connect', 'reauthorize')),
    constraint social_flows_session_check check
        ((intent in ('connect', 'reauthorize')) = (user_id is not null)
         and (user_id is null) = (session_id is null)),
    constraint social_flows_finished_at_check check (finished_at is null or consumed_at is not null),
    constraint social_flows_state_hash_check check (octet_length(state_hash) = 32),
    constraint social_flows_binding_hash_check check (octet_length(binding_hash) = 32),
    constraint social_flows_continuation_hash_check check (octet_length(continuation_hash) = 32),
    constraint social_flows_nonce_hash_check check (octet_length(nonce_hash) = 32),
    constraint social_flows_rotating_token_nonce_hash_check check (octet_length(rotating_token_nonce_hash) = 32)
) with (fillfactor = 70);
create unique index social_flows_continuation_hash_key on social_flows (instance_id, continuation_hash)
    where continuation_hash is not null;
create unique index social_flows_rotating_token_nonce_hash_key on social_flows (instance_id, rotating_token_nonce_hash)
    where rotating_token_nonce_hash is not null;
create index social_flows_verification_idx on social_flows (instance_id, verification_id);
comment on table social_flows is 'One trip to a provider: its state, its secrets, and what came back.';

-- E. OAuth provider --------------------------------------------------------------------------------------------------

create table oauth_applications (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    client_id text collate "C" not null,
    kind text not null,
    name text not null,
    client_secret_hash bytea,
    hash_key_id text,
    is_public boolean not null default false,
    pkce_required boolean not null default false,
    consent_screen_enabled boolean not null default true,
    redirect_uris text[] not null,
    post_logout_redirect_uris text[] not null default '{}',
    backchannel_logout_uri text,
    backchannel_logout_session_required boolean not null default false,
    scopes text[] not null,
    client_uri text,
    logo_image_id text collate "C",
    metadata jsonb not null default '{}',
    token_endpoint_auth_method text,
    access_token_format text,
    id_token_claims text not null default 'full',
    access_token_lifetime integer,
    refresh_token_lifetime integer,
    id_token_lifetime integer,
    code_lifetime integer,
    require_par boolean not null default false,
    revoke_grant_on_access_token boolean not null default false,
    end_with_session boolean not null default false,
    last_grant_at timestamptz,
    blocked_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint oauth_applications_pkey primary key (instance_id, id),
    constraint oauth_applications_client_id_key unique (instance_id, client_id),
    constraint oauth_applications_instance_id_fkey foreign key (instance_id) references instances (id) on delete cascade,
    constraint oauth_applications_kind_check check (kind in ('managed', 'registered', 'metadata_document')),
    constraint oauth_applications_secret_check check ((client_secret_hash is null) = is_public),
    constraint oauth_applications_secret_length_check check (octet_length(client_secret_hash) = 32),
    constraint oauth_applications_consent_check check (consent_screen_enabled or kind = 'managed'),
    constraint oauth_applications_redirect_uris_check check (cardinality(redirect_uris) between 1 and 50),
    constraint oauth_applications_access_token_format_check check (access_token_format in ('opaque', 'jwt')),
    constraint oauth_applications_id_token_claims_check check (id_token_claims in ('full', 'minimal'))
);
comment on table oauth_applications is 'A client of our authorization server.';

create table oauth_consents (
    instance_id text collate "C" not null,
    user_id text collate "C" not null,
    application_id text collate "C" not null,
    scopes text[] not null,
    resources text[] not null default '{}',
    organization_id text collate "C",
    application_fingerprint bytea not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint oauth_consents_pkey primary key (instance_id, user_id, application_id),
    constraint oauth_consents_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint oauth_consents_application_id_fkey foreign key (instance_id, application_id)
        references oauth_applications (instance_id, id) on delete cascade
);
create index oauth_consents_application_idx on oauth_consents (instance_id, application_id);
comment on table oauth_consents is 'What a user allowed an application.';

create table oauth_codes (
    instance_id text collate "C" not null,
    expires_day integer not null,
    hash bytea not null,
    grant_id text collate "C" not null,
    application_id text collate "C" not null,
    user_id text collate "C" not null,
    session_id text collate "C",
    organization_id text collate "C",
    redirect_uri text not null,
    registered_redirect_uri text not null,
    scopes text[] not null,
    resources text[] not null default '{}',
    code_challenge text collate "C",
    nonce text,
    authenticated_at timestamptz not null,
    amr text[] not null default '{}',
    acr text,
    dpop_jkt text,
    failures smallint not null default 0,
    expires_at timestamptz not null,
    consumed_at timestamptz,
    created_at timestamptz not null,
    constraint oauth_codes_pkey primary key (instance_id, expires_day, hash),
    constraint oauth_codes_hash_check check (octet_length(hash) = 32),
    constraint oauth_codes_failures_check check (failures between 0 and 5)
) with (fillfactor = 70);
comment on table oauth_codes is 'An authorization code; it already holds the id of the grant it will become.';

create table oauth_grants (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    application_id text collate "C" not null,
    user_id text collate "C" not null,
    session_id text collate "C",
    organization_id text collate "C",
    scopes text[] not null,
    resources text[] not null default '{}',
    authenticated_at timestamptz not null,
    amr text[] not null default '{}',
    acr text,
    dpop_jkt text,
    refresh_generation integer not null default 1,
    refresh_issued_at timestamptz not null,
    refresh_expires_at timestamptz not null,
    refresh_expires_day integer not null,
    refresh_key_id text,
    family_expires_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text,
    last_used_at timestamptz,
    created_at timestamptz not null,
    constraint oauth_grants_pkey primary key (instance_id, id),
    constraint oauth_grants_application_id_fkey foreign key (instance_id, application_id)
        references oauth_applications (instance_id, id) on delete cascade,
    constraint oauth_grants_user_id_fkey foreign key (instance_id, user_id)
        references users (instance_id, id) on delete cascade,
    constraint oauth_grants_revoked_check check ((revoked_at is null) = (revoked_reason is null))
) with (fillfactor = 70);
create index oauth_grants_application_user_idx on oauth_grants (instance_id, application_id, user_id);
create index oauth_grants_user_idx on oauth_grants (instance_id, user_id);
comment on table oauth_grants is 'One redeemed code: the grant, its refresh family, and the lock of both.';

create table oauth_refresh_tokens (
    instance_id text collate "C" not null,
    expires_day integer not null,
    hash bytea not null,
    grant_id text collate "C" not null,
    generation integer not null,
    expires_at timestamptz not null,
    created_at timestamptz not null,
    constraint oauth_refresh_tokens_pkey primary key (instance_id, expires_day, hash),
    constraint oauth_refresh_tokens_hash_check check (octet_length(hash) = 32)
);
comment on table oauth_refresh_tokens is 'Which family and generation a refresh token is; insert only.';

create table oauth_access_tokens (
    instance_id text collate "C" not null,
    expires_day integer not null,
    hash bytea not null,
    id text collate "C" not null,
    grant_id text collate "C" not null,
    format text not null,
    scopes text[] not null,
    audience text[] not null default '{}',
    expires_at timestamptz not null,
    revoked_at timestamptz,
    created_at timestamptz not null,
    constraint oauth_access_tokens_pkey primary key (instance_id, expires_day, hash),
    constraint oauth_access_tokens_hash_check check (octet_length(hash) = 32),
    constraint oauth_access_tokens_format_check check (format in ('opaque', 'jwt'))
);
comment on table oauth_access_tokens is 'An access token we issued; dead at once when its grant is revoked.';

-- F. Records and work ------------------------------------------------------------------------------------------------

create table audit_events (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    action text not null,
    outcome text not null,
    reason text,
    actor_kind text not null,
    actor_id text,
    user_id text collate "C",
    target_kind text,
    target_id text,
    ip_address inet,
    user_agent text,
    request_id text,
    flow_id text collate "C",
    changes jsonb not null default '{}',
    created_at timestamptz not null,
    constraint audit_events_pkey primary key (instance_id, id),
    constraint audit_events_outcome_check check (outcome in ('success', 'failure'))
);
create index audit_events_user_idx on audit_events (instance_id, user_id, id) where user_id is not null;
comment on table audit_events is 'Who did what to whom; append-only.';

create table outbox (
    instance_id text collate "C" not null,
    id text collate "C" not null,
    kind text not null,
    payload jsonb,
    payload_sealed bytea,
    run_at timestamptz not null,
    attempts smallint not null default 0,
    last_error text,
    leased_by text,
    leased_until timestamptz,
    done_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz not null,
    constraint outbox_pkey primary key (instance_id, id),
    constraint outbox_kind_check check (kind in ('mail', 'message', 'webhook', 'logout', 'provider_revoke', 'event')),
    constraint outbox_payload_check check ((payload is null) <> (payload_sealed is null)),
    constraint outbox_lease_check check ((leased_by is null) = (leased_until is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index outbox_due_idx on outbox (run_at) where done_at is null and failed_at is null;
comment on table outbox is 'A side effect written with the change that causes it; the id is its idempotency key.';

create table jobs (
    name text collate "C" not null,
    next_run_at timestamptz not null,
    last_run_at timestamptz,
    last_error text,
    leased_by text,
    leased_until timestamptz,
    position jsonb not null default '{}',
    constraint jobs_pkey primary key (name),
    constraint jobs_lease_check check ((leased_by is null) = (leased_until is null))
);
comment on table jobs is 'A periodic task, run by one replica at a time.';

create table simulator_providers (
    instance_id text collate "C" not null,
    provider text collate "C" not null,
    signing_key_sealed bytea,
    fault text,
    fail_next jsonb,
    tokens_expired_before timestamptz,
    updated_at timestamptz not null,
    constraint simulator_providers_pkey primary key (instance_id, provider)
);
comment on table simulator_providers is 'Switches of one simulated provider of a development instance.';

create table simulator_people (
    instance_id text collate "C" not null,
    provider text collate "C" not null,
    provider_user_id text collate "C" not null,
    login_hint text not null,
    person jsonb not null,
    created_at timestamptz not null,
    constraint simulator_people_pkey primary key (instance_id, provider, provider_user_id),
    constraint simulator_people_login_hint_key unique (instance_id, provider, login_hint)
);
comment on table simulator_people is 'A fake person at a simulated provider.';

create table simulator_tokens (
    instance_id text collate "C" not null,
    hash bytea not null,
    provider text collate "C" not null,
    kind text not null,
    family_id text collate "C" not null,
    provider_user_id text collate "C" not null,
    client_id text not null,
    scopes text[] not null,
    details jsonb not null default '{}',
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null,
    constraint simulator_tokens_pkey primary key (instance_id, hash),
    constraint simulator_tokens_hash_check check (octet_length(hash) = 32),
    constraint simulator_tokens_kind_check check (kind in ('code', 'access', 'refresh'))
);
create index simulator_tokens_family_idx on simulator_tokens (instance_id, family_id);
comment on table simulator_tokens is 'A code or token that a simulated provider issued, hashed as ours are.';
