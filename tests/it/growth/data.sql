-- Rows for the growth test: n of each table that grows with people, made by rules from the columns' names and types, so
-- that a new table is filled without being named here. Row i of each table points to row i of the others; row 500 is the
-- one that statements ask for, and everything that depends on age concerns as many rows however many there are.
-- `growth_rule` holds what the rules cannot know.

create table growth_rule (relation text, col text, value text, primary key (relation, col));
insert into growth_rule values
    ('*', 'instance_id', '''ins_2O4BCh3zUONvWlZHtBXv6s6tm7u'''),
    ('*', 'id', 'own(i)'),
    ('*', 'user_id', 'row_id(''users'', i)'), ('*', 'client_id', 'row_id(''clients'', i)'),
    ('*', 'session_id', 'row_id(''sessions'', i)'), ('*', 'application_id', 'row_id(''oauth_applications'', i % 5 + 1)'),
    ('*', 'grant_id', 'row_id(''oauth_grants'', i)'), ('*', 'flow_id', 'row_id(''flows'', i)'),
    ('*', 'verification_id', 'row_id(''verifications'', i)'), ('*', 'target_id', 'row_id(''sign_ins'', i)'),
    ('*', 'owner_id', 'row_id(''sign_ins'', i)'), ('*', 'identification_id', 'row_id(''identifications'', i)'),
    ('*', 'email_identification_id', 'row_id(''identifications'', i)'),
    ('*', 'external_account_id', 'row_id(''external_accounts'', i)'),
    ('*', 'last_active_session_id', 'row_id(''sessions'', i)'), ('*', 'request_id', 'row_id(''requests'', i)'),
    ('*', 'family_id', 'row_id(''families'', i)'), ('*', 'external_id', 'row_id(''externals'', i)'),
    ('*', 'provider', '''google'''), ('*', 'provider_user_id', 'row_id(''people'', i)'),
    ('*', 'created_at', 'made(i)'), ('*', 'updated_at', 'made(i)'), ('*', 'occurred_at', 'made(i)'),
    ('*', 'started_at', 'made(i)'), ('*', 'run_at', 'made(i)'), ('*', 'sent_at', 'made(i)'),
    ('*', 'obtained_at', 'made(i)'), ('*', 'state_since_at', 'made(i)'), ('*', 'authenticated_at', 'made(i)'),
    ('*', 'last_active_at', 'made(i)'), ('*', 'last_sign_in_at', 'made(i)'), ('*', 'refresh_issued_at', 'made(i)'),
    ('*', 'expires_at', 'ends(i)'), ('*', 'expire_at', 'ends(i)'), ('*', 'abandon_at', 'ends(i)'),
    ('*', 'refresh_expires_at', 'ends(i)'),
    ('*', 'expires_day', 'floor(extract(epoch from ends(i)) / 86400)::int'),
    ('*', 'refresh_expires_day', 'floor(extract(epoch from ends(i)) / 86400)::int'),
    ('*', 'value', '''person'' || lpad(i::text, 8, ''0'') || ''@mail'' || i % 7 || ''.example'''),
    ('*', 'value_key', '''person'' || lpad(i::text, 8, ''0'') || ''@mail'' || i % 7 || ''.example'''),
    ('*', 'email_address', '''person'' || lpad(i::text, 8, ''0'') || ''@mail'' || i % 7 || ''.example'''),
    ('*', 'first_name', '''Given'' || lpad((i * 7919 % 1000003)::text, 8, ''0'')'),
    ('*', 'last_name', 'case when i % 3 > 0 then ''Family'' || i * 104729 % 5003 end'),
    ('*', 'username', '''name_'' || lpad(i::text, 8, ''0'')'), ('*', 'username_key', '''name_'' || lpad(i::text, 8, ''0'')'),
    ('*', 'kind', '''mail'''), ('*', 'role', '''first_factor'''), ('*', 'status', '''unverified'''),
    ('*', 'generation', '1'), ('*', 'outcome', '''success'''), ('*', 'payload', '''{}'''),
    ('users', 'last_active_at', 'date_trunc(''day'', made(i))'),
    ('identifications', 'kind', '''email_address'''), ('identifications', 'status', '''verified'''),
    ('identifications', 'verified_at', 'made(i)'), ('identifications', 'is_primary', 'true'),
    ('external_accounts', 'status', 'case when i > 20 then ''verified'' else ''pending'' end'),
    ('external_accounts', 'verified_at', 'case when i > 20 then made(i) end'),
    ('external_accounts', 'identification_id', 'own(i)'), ('external_accounts', 'expires_at', 'case when i <= 20 then ends(i) end'),
    ('client_tokens', 'kind', '''browser'''), ('sessions', 'status', '''active'''),
    ('sign_ins', 'status', '''needs_first_factor'''), ('sign_ups', 'status', '''missing_requirements'''),
    ('sign_ups', 'email_address_key', '''new'' || lpad(i::text, 8, ''0'') || ''@mail.example'''),
    ('verifications', 'value_key', 'null'), ('verifications', 'strategy', '''email_code'''),
    ('provider_authorizations', 'intent', '''sign_in'''), ('provider_authorizations', 'user_id', 'null'), ('provider_authorizations', 'session_id', 'null'),
    ('provider_authorizations', 'tokens_sealed', 'null'), ('provider_authorizations', 'profile', 'case when i <= 20 then ''{}''::jsonb end'),
    ('flows', 'kind', '''sign_in'''), ('flows', 'status', 'case when i % 2 = 0 then ''failed'' else ''succeeded'' end'),
    ('flows', 'reason', '''state_unknown'''), ('flows', 'ended_at', 'made(i)'),
    ('oauth_access_tokens', 'format', '''opaque'''), ('oauth_refresh_tokens', 'generation', '1'),
    ('outbox', 'payload', 'case when i > 20 then ''{}''::jsonb end'),
    ('outbox', 'payload_sealed', 'case when i <= 20 then ''\x0011223344''::bytea end'), ('outbox', 'done_at', 'case when i not between 490 and 510 then made(i) end'),
    ('deleted_users', 'external_id', 'null'),
    ('oauth_applications', 'kind', '''managed'''), ('oauth_applications', 'redirect_uris', '''{https://a.example/cb}'''),
    ('oauth_applications', 'id', 'own(i)'), ('oauth_applications', 'client_id', 'row_id(''oauth_clients'', i)'),
    ('provider_configs', 'credentials', '''custom'''), ('provider_configs', 'environment_type', '''development'''),
    ('provider_configs', 'enabled', 'true'), ('signing_keys', 'algorithm', '''RS256'''),
    ('instance_origins', 'kind', '''home'''), ('instance_hosts', 'kind', '''frontend_api'''),
    ('simulator_tokens', 'kind', '''code'''), ('counters', 'shard', 'i');

-- What does not grow with people: settings, keys, clients, and the simulator, which production does not have.
create table growth_few (relation text primary key);
insert into growth_few values ('_sqlx_migrations'), ('instances'), ('instance_hosts'), ('instance_origins'), ('secret_keys'),
    ('signing_keys'), ('ring_keys'), ('provider_configs'), ('oauth_applications'), ('redirect_urls'), ('jobs'), ('counters'),
    ('simulator_providers'), ('simulator_people'), ('simulator_tokens'), ('inbox_messages');
-- Row 500 of each table, column by column, as literals.
create table growth_sample (relation text, col text, value text, primary key (relation, col));

-- Indexes to make when the rows are there: that is faster than to grow them.
create table growth_index (definition text);

create function row_id(of text, i bigint) returns text language sql immutable as
    $$ select of || '_' || lpad(i::text, 8, '0') $$;
-- All rows are young but the first twenty: what is removed for its age does not depend on how many people there are.
create function made(i bigint) returns timestamptz language sql stable as
    $$ select case when i > 20 then now() - interval '1 hour' + i * interval '1 ms' else now() - interval '400 days' end $$;
create function ends(i bigint) returns timestamptz language sql stable as
    $$ select case when i > 20 then now() + interval '1 day' + i * interval '1 ms' else now() - interval '300 days' end $$;

create function grow(n bigint) returns void language plpgsql as $$
declare one record; rows bigint; names text; exprs text;
begin
    set local session_replication_role = replica;
    insert into growth_index select pg_get_indexdef(x.indexrelid) from pg_index x join pg_class c on c.oid = x.indrelid
    where c.relnamespace = 'vestibule'::regnamespace and c.relname !~ '^growth_'
        and not exists (select from pg_constraint k where k.conindid = x.indexrelid);
    for one in select x.indexrelid::regclass::text as name from pg_index x join pg_class c on c.oid = x.indrelid
        where c.relnamespace = 'vestibule'::regnamespace and c.relname !~ '^growth_'
            and not exists (select from pg_constraint k where k.conindid = x.indexrelid)
    loop
        execute 'drop index ' || one.name;
    end loop;
    insert into instances (id, application_id, name, environment_type, key_form, publishable_key, frontend_api_origin,
        created_at, updated_at)
    values ('ins_2O4BCh3zUONvWlZHtBXv6s6tm7u', 'app_growth', 'growth', 'development', 'test', 'pk', 'http://localhost', now(), now());
    insert into growth_sample values ('instances', 'id', 'ins_2O4BCh3zUONvWlZHtBXv6s6tm7u');
    for one in select c.relname as name, c.oid from pg_class c
        where c.relnamespace = 'vestibule'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname !~ '^growth_' and c.relname not in ('_sqlx_migrations', 'instances') order by 1
    loop
        select string_agg(quote_ident(a.attname), ', ' order by a.attnum), string_agg(case
            when r.value is not null then replace(r.value, 'own(', format('row_id(%L, ', one.name))
            when format_type(a.atttypid, null) = 'bytea' and a.attname ~ 'hash$'
                then format('sha256((%L || i)::bytea)', one.name || a.attname)
            when not a.attnotnull then 'null'
            when a.atthasdef and a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid)
            when a.atttypid = 'bytea'::regtype then '''\x00112233445566778899aabbccddeeff00112233445566778899''::bytea'
            when a.atttypid = 'timestamptz'::regtype then 'made(i)'
            when a.atttypid in ('text'::regtype, 'varchar'::regtype) then format('%L || lpad(i::text, 8, ''0'')', a.attname)
            when a.atttypid = 'boolean'::regtype then 'false'
            when a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then '1'
            when a.atttypid = 'jsonb'::regtype then '''{}'''
            else '''{}''' end, ', ' order by a.attnum)
        into names, exprs
        from pg_attribute a
            left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
            left join lateral (select g.value from growth_rule g where g.col = a.attname and g.relation in (one.name, '*')
                order by g.relation = '*' limit 1) r on true
        where a.attrelid = one.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
        rows := case when exists (select from growth_few f where f.relation = one.name) then 5 else n end;
        begin
            execute format('insert into %I (%s) select %s from generate_series(1::bigint, %s) i %s', one.name, names, exprs, rows,
                case when rows < n then 'on conflict do nothing' else '' end);
        exception when check_violation or unique_violation or not_null_violation or datatype_mismatch
            or invalid_text_representation then
            if rows > 5 then
                raise exception 'tests/it/growth/data.sql cannot fill %: %; give its columns a rule', one.name, sqlerrm;
            end if;
        end;
        execute format('insert into growth_sample select %L, e.key, e.value from (select * from %I offset %s limit 1) one,
            lateral jsonb_each_text(to_jsonb(one)) e where e.value is not null', one.name, one.name, case when rows < n then 0 else 499 end);
    end loop;
end $$;

create function grow_indexes() returns void language plpgsql as $$
declare one record;
begin
    for one in select definition from growth_index loop
        execute one.definition;
    end loop;
end $$;
