-- Every way a sign-in can go: passwords, known browsers, native targets, exact limits, the flow inspector and the
-- development inbox. Conventions as in 0001.

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
