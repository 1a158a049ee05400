-- What must never be in the database. Each query gives one line of
-- text per offending row; after every test that writes there must be none.

-- No consumed code without its grant, as long as its user and application exist.
select 'consumed code without grant: ' || c.grant_id
from oauth_codes c
join users u on u.instance_id = c.instance_id and u.id = c.user_id
join oauth_applications a on a.instance_id = c.instance_id and a.id = c.application_id
where c.consumed_at is not null
  and not exists (select from oauth_grants g where g.instance_id = c.instance_id and g.id = c.grant_id);

-- No grant from a code that was never consumed.
select 'grant of an unused code: ' || g.id
from oauth_grants g
join oauth_codes c on c.instance_id = g.instance_id and c.grant_id = g.id
where c.consumed_at is null;

-- No code with two grants: two codes never name one.
select 'two codes for the grant ' || c.grant_id
from oauth_codes c group by c.instance_id, c.grant_id having count(*) > 1;

-- At most one live refresh token per family: one token per generation, none beyond the family's.
select 'two refresh tokens of generation ' || t.generation || ' of ' || t.grant_id
from oauth_refresh_tokens t group by t.instance_id, t.grant_id, t.generation having count(*) > 1;

select 'refresh token of generation ' || t.generation || ' beyond its family ' || g.id
from oauth_refresh_tokens t
join oauth_grants g on g.instance_id = t.instance_id and g.id = t.grant_id
where t.generation > g.refresh_generation;

-- Tokens are made with their grant; they may outlive it (deletion of a user), but never precede it.
select 'access token before its grant: ' || t.id
from oauth_access_tokens t
join oauth_grants g on g.instance_id = t.instance_id and g.id = t.grant_id
where t.created_at < g.created_at;

-- A token or code never outlives the day under which it is looked up.
select 'access token beyond its day: ' || t.id
from oauth_access_tokens t
where t.expires_day < floor(extract(epoch from t.expires_at) / 86400)::int;

select 'refresh token beyond its day: ' || t.grant_id || ' ' || t.generation
from oauth_refresh_tokens t
where t.expires_day < floor(extract(epoch from t.expires_at) / 86400)::int;

select 'code beyond its day: ' || c.grant_id
from oauth_codes c
where c.expires_day < floor(extract(epoch from c.expires_at) / 86400)::int;

-- No open session of a banned user; deleted ones are excluded by the foreign key.
select 'open session of a banned user: ' || s.id
from sessions s
join users u on u.instance_id = s.instance_id and u.id = s.user_id
where s.status in ('pending', 'active') and u.banned_at is not null;

-- No live grant of a banned user.
select 'live grant of a banned user: ' || g.id
from oauth_grants g
join users u on u.instance_id = g.instance_id and u.id = g.user_id
where g.revoked_at is null and u.banned_at is not null;

-- A removed client has no open session.
select 'open session on a removed client: ' || s.id
from sessions s
join clients c on c.instance_id = s.instance_id and c.id = s.client_id
where s.status in ('pending', 'active') and c.removed_at is not null;

-- No user without anything that names him, but for one whose only address was a claim that its owner took away.
select 'user without an identity: ' || u.id
from users u
where u.username is null and u.external_id is null
  and not exists (select from audit_events a where a.instance_id = u.instance_id and a.user_id = u.id
                  and a.action = 'email_address.lost')
  and not exists (select from identifications i where i.instance_id = u.instance_id and i.user_id = u.id)
  and not exists (select from external_accounts e where e.instance_id = u.instance_id and e.user_id = u.id);

-- The maintained total is the number of users.
select 'users counted ' || c.total || ', there are ' || u.total || ' in ' || c.instance_id
from (select instance_id, sum(value) as total from counters where name = 'users' group by instance_id) c
join lateral (select count(*) as total from users u where u.instance_id = c.instance_id) u on true
where c.total <> u.total;

-- The address behind an external account is its own user's.
select 'external account linked to the address of another user: ' || e.id
from external_accounts e
join identifications i on i.instance_id = e.instance_id and i.id = e.email_identification_id
where i.user_id <> e.user_id;

-- Provider tokens belong to proven accounts.
select 'tokens of an unproven account: ' || t.external_account_id
from provider_tokens t
join external_accounts e on e.instance_id = t.instance_id and e.id = t.external_account_id
where e.status <> 'verified';

-- A lease is never longer than an exchange may take, and what is not well has a reason.
select 'provider token leased for too long: ' || t.external_account_id
from provider_tokens t where t.refresh_lease_until > now() + interval '12 s';

select 'provider token without a reason for its state: ' || t.external_account_id
from provider_tokens t where (t.state = 'ok') <> (t.reason is null);

-- A claimed account waits with an attempt that asks for the proof of an address of the attempt's own user, and only
-- there; its tokens lie with what brought them to that attempt.
select 'account waits with a sign-in that does not ask: ' || a.id
from sign_ins a
where a.pending_account is not null and (a.status <> 'needs_first_factor' or a.replaced_at is not null);

select 'account waits with a sign-in in a column of old: ' || a.id
from sign_ins a where a.pending_external_account_id is not null;

select 'account waits for the address of another user: ' || a.id
from sign_ins a
join identifications i on i.instance_id = a.instance_id and i.id = a.identification_id
where a.pending_account is not null and i.user_id <> a.user_id;

select 'account waits with a sign-in that nothing brought it to: ' || a.id
from sign_ins a
where a.pending_account is not null
  and not exists (select from provider_authorizations f where f.instance_id = a.instance_id and f.target_id = a.id
                  and f.id = a.pending_account ->> 'authorization_id' and f.provider = a.pending_account ->> 'provider');

-- Nothing that is only claimed stands among a user's accounts: a pending one is being connected by the user, or shows why it
-- was not, and knows no identity.
select 'claimed account in the tree of its victim: ' || e.id
from external_accounts e
where e.status = 'pending' and e.provider_user_id is not null;

select 'pending account that nobody connects: ' || e.id
from external_accounts e
where e.status = 'pending' and e.error is null
  and not exists (select from verifications v where v.instance_id = e.instance_id and v.owner_id = e.id
                  and v.role = 'external_account');

-- A finished attempt names a session of its own client.
select 'sign-in finished with a session of another client: ' || a.id
from sign_ins a
join sessions s on s.instance_id = a.instance_id and s.id = a.created_session_id
where s.client_id <> a.client_id;

select 'sign-up finished with a session of another client: ' || a.id
from sign_ups a
join sessions s on s.instance_id = a.instance_id and s.id = a.created_session_id
where s.client_id <> a.client_id;

-- A client's active session is one of its own.
select 'active session of another client: ' || c.id
from clients c
join sessions s on s.instance_id = c.instance_id and s.id = c.last_active_session_id
where s.client_id <> c.id;

-- No side effect stuck with a worker that is gone.
select 'stuck in the outbox: ' || o.id
from outbox o
where o.done_at is null and o.failed_at is null and o.leased_until < now() - interval '5 min';

-- An instance always has a key of each purpose to sign with.
select 'instance without a signing key: ' || i.id || ' ' || p.purpose
from instances i, (values ('session'), ('id_token')) as p (purpose)
where i.deleted_at is null
  and not exists (select from signing_keys k where k.instance_id = i.id and k.purpose = p.purpose
                  and k.revoked_at is null and k.private_key_sealed is not null
                  and k.active_from <= now() + i.clock_offset);

-- No row of an instance that does not exist: tables without a foreign key to it.
select 'row of no instance in ' || r.name || ': ' || r.instance_id
from (
    select 'users' as name, instance_id from users
    union select 'clients', instance_id from clients
    union select 'handshakes', instance_id from handshakes
    union select 'verifications', instance_id from verifications
    union select 'provider_authorizations', instance_id from provider_authorizations
    union select 'oauth_codes', instance_id from oauth_codes
    union select 'oauth_refresh_tokens', instance_id from oauth_refresh_tokens
    union select 'oauth_access_tokens', instance_id from oauth_access_tokens
    union select 'outbox', instance_id from outbox
    union select 'counters', instance_id from counters
    union select 'simulator_providers', instance_id from simulator_providers
    union select 'simulator_people', instance_id from simulator_people
    union select 'simulator_tokens', instance_id from simulator_tokens
    union select 'audit_events', instance_id from audit_events where instance_id <> 'deployment'
) r
where not exists (select from instances i where i.id = r.instance_id);

-- No row names a row of another instance: columns without a foreign key.
select r.name || ' ' || r.instance_id || ' names ' || r.id || ' of another instance'
from (
    select 'clients.last_active_session_id' as name, instance_id, last_active_session_id as id from clients
    union all select 'sign_ins.identification_id', instance_id, identification_id from sign_ins
    union all select 'sign_ins.user_id', instance_id, user_id from sign_ins
    union all select 'sign_ins.pending_account', instance_id, pending_account ->> 'authorization_id' from sign_ins
    union all select 'sign_ins.created_session_id', instance_id, created_session_id from sign_ins
    union all select 'sign_ups.created_user_id', instance_id, created_user_id from sign_ups
    union all select 'sign_ups.created_session_id', instance_id, created_session_id from sign_ups
    union all select 'verifications.owner_id', instance_id, owner_id from verifications
    union all select 'verifications.client_id', instance_id, client_id from verifications
    union all select 'verifications.session_id', instance_id, session_id from verifications
    union all select 'provider_authorizations.verification_id', instance_id, verification_id from provider_authorizations
    union all select 'provider_authorizations.target_id', instance_id, target_id from provider_authorizations
    union all select 'provider_authorizations.client_id', instance_id, client_id from provider_authorizations
    union all select 'provider_authorizations.user_id', instance_id, user_id from provider_authorizations
    union all select 'provider_authorizations.session_id', instance_id, session_id from provider_authorizations
    union all select 'oauth_codes.grant_id', instance_id, grant_id from oauth_codes
    union all select 'oauth_codes.application_id', instance_id, application_id from oauth_codes
    union all select 'oauth_codes.user_id', instance_id, user_id from oauth_codes
    union all select 'oauth_codes.session_id', instance_id, session_id from oauth_codes
    union all select 'oauth_grants.session_id', instance_id, session_id from oauth_grants
    union all select 'oauth_refresh_tokens.grant_id', instance_id, grant_id from oauth_refresh_tokens
    union all select 'oauth_access_tokens.grant_id', instance_id, grant_id from oauth_access_tokens
    union all select 'audit_events.user_id', instance_id, user_id from audit_events
) r
join (
    select instance_id, id from users
    union all select instance_id, id from clients
    union all select instance_id, id from sessions
    union all select instance_id, id from sign_ins
    union all select instance_id, id from sign_ups
    union all select instance_id, id from verifications
    union all select instance_id, id from provider_authorizations
    union all select instance_id, id from identifications
    union all select instance_id, id from external_accounts
    union all select instance_id, id from oauth_applications
    union all select instance_id, id from oauth_grants
) t on t.id = r.id and t.instance_id <> r.instance_id;

-- A simulated provider has no credentials of the operator's, and no production instance has one.
select 'simulated provider with credentials: ' || provider
from provider_configs
where credentials = 'simulated'
  and (client_id is not null or client_secret_sealed is not null or custom is not null
       or environment_type <> 'development');

-- A scope is requested once.
select 'provider with a scope twice: ' || p.provider
from provider_configs p
where cardinality(p.scopes) <> (select count(distinct scope) from unnest(p.scopes) scope);

-- What proved an exchange is gone when the trip is over, and a provider's tokens when its attempt is complete.
select 'verifier of a finished trip: ' || f.id
from provider_authorizations f where f.finished_at is not null and f.pkce_verifier_sealed is not null;

select 'tokens of a trip whose sign-in is complete: ' || f.id
from provider_authorizations f
join sign_ins s on s.instance_id = f.instance_id and s.id = f.target_id
where s.completed_at is not null and f.tokens_sealed is not null;

select 'tokens of a trip whose sign-up is complete: ' || f.id
from provider_authorizations f
join sign_ups s on s.instance_id = f.instance_id and s.id = f.target_id
where s.completed_at is not null and f.tokens_sealed is not null;

-- Every user is in the lists that sort and search by names, under the names of today. Those of other letters than ASCII's
-- are composed and folded by the program, and compared for being there only.
select 'names of a user that lists do not know: ' || u.id
from users u
left join user_listings l on l.instance_id = u.instance_id and l.user_id = u.id
cross join lateral (values (u.first_name, l.first_name), (u.last_name, l.last_name), (u.username, l.username)) as n (name, listed)
where l.user_id is null or (n.listed is null) <> (n.name is null)
  or (n.name ~ '^[ -~]*$' and lower(n.listed) <> lower(left(n.name, 128)));
