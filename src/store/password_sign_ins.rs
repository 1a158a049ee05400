//! A sign-in by password, in the two statements that almost all of them take: the guess is counted before its hash is
//! computed, and a right one begins the session. Each is a transaction of its own, so that nothing is held in between.
//! They do only what can be done: what stands in the way of either is found out by the statements of
//! [`sign_ins`](super::sign_ins), [`lockouts`](super::lockouts) and [`rate_limits`](super::rate_limits), one by one.

use serde_json::Value;
use sqlx::types::Json;

use super::InstanceConnection;
use super::lockouts::{Budget, LockEntry, interval};
use super::rate_limits::Log;
use super::sessions::NewSession;
use crate::crypto::LookupHash;
use crate::model::client::SignIn;
use crate::model::id::{AuditEventId, ClientId, FlowId, OutboxId, SignInId};
use crate::model::settings::LockoutRule;
use crate::model::strategy::Strategy;
use crate::model::time::Timestamp;

/// A guess about to be counted.
pub struct NewGuess<'a> {
    /// The client's token.
    pub token: &'a LookupHash,
    /// The sign-in.
    pub attempt: &'a str,
    /// Whoever the sign-in is for, nobody included, is guessed at like somebody with a password.
    pub admits_anybody: bool,
    /// When accounts lock.
    pub lockout: Option<LockoutRule>,
    /// The failures of the address it comes from; no more than a count of 0 where they are not counted.
    pub address: Log<'a>,
    /// What is written down if it is the last before the account locks.
    pub entry: LockEntry<'a>,
}

/// A guess at the password of a sign-in that waits for one.
pub struct Guess {
    /// The client.
    pub client: ClientId,
    /// The sign-in, as it was.
    pub attempt: SignIn,
    /// Its last change: whatever happens to it meanwhile moves this.
    pub seen: Timestamp,
    /// The digest of the user's password.
    pub digest: Option<String>,
    /// What became of it.
    pub counted: Counted,
    /// When it was written into the log of its address.
    pub at: Option<Timestamp>,
}

/// What became of a guess that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// On the account: whose budget it came from, and how many failures stand against that with it.
    OnAccount(Budget, i16),
    /// There is no account that it counts on, or accounts never lock.
    OnNone,
    /// The account is locked; says whether the client is one that the user signed in from before.
    Locked {
        /// It is.
        is_known: bool,
    },
    /// The log of its address is full, or something changed meanwhile: on no account.
    Not,
}

/// Counts a guess of the password of a sign-in that waits for one, on the account and on the address it comes from, or on
/// neither; `None` if there is no such sign-in under this token. The user's row is locked first, whoever asks.
///
/// # Errors
/// Storage faults.
pub async fn count_guess(db: &mut InstanceConnection<'_>, new: &NewGuess<'_>) -> sqlx::Result<Option<Guess>> {
    let row = sqlx::query!(
        r#"with attempt as materialized (
               select s.id, s.client_id, s.user_id, s.updated_at, p.digest
               from client_tokens t
               join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
               join sign_ins s on s.instance_id = $1 and s.id = $3 and s.client_id = c.id
               left join user_passwords p on p.instance_id = $1 and p.user_id = s.user_id
               where t.instance_id = $1 and t.hash = $2 and t.superseded_at is null
                   and s.status = 'needs_first_factor' and s.replaced_at is null and s.abandon_at > now() + $4
                   and s.pending_account is null and ($5 or p.digest is not null)
           ),
           -- Locked here; what the row says is what it says after the wait.
           person as materialized (
               select u.id, u.locked_at is not null and (u.locked_until is null or u.locked_until > now() + $4) as is_locked,
                   coalesce(u.lock_reason = 'attempts', false) as is_by_failures,
                   k.client_id is not null and (k.locked_until is null or k.locked_until <= now() + $4) as is_known,
                   (case when u.locked_at is null then u.failed_attempts else 0 end + 1)::smallint as failed
               from attempt a
               join users u on u.instance_id = $1 and u.id = a.user_id
               left join known_clients k on k.instance_id = $1 and k.user_id = u.id and k.client_id = a.client_id
               where $6::smallint is not null
               for no key update of u
           ),
           guess as materialized (
               select p.id, p.failed, coalesce(p.is_known, false) as is_known,
                   coalesce(p.is_locked and not (p.is_by_failures and p.is_known), false) as is_shut
               from attempt a left join person p on true
           ),
           -- As `rate_limits::spend`. Strangers who must not learn of the lock pay as for any account.
           spent as (
               insert into rate_limits as r (instance_id, kind, key_hash, hits, expires_at)
               select $1, $8, $9, array[now() + $4], now() + $4 + $11::interval from guess g
               where $10::bigint > 0 and (not g.is_shut or ($5 and not g.is_known))
               on conflict (instance_id, kind, key_hash) do update
                   set hits = array(select h from unnest(r.hits) h
                           where h > now() + $4 - $11::interval and h <= now() + $4 + interval '1 min') || (now() + $4),
                       expires_at = now() + $4 + $11::interval
                   where (select count(*) from unnest(r.hits) h
                           where h > now() + $4 - $11::interval and h <= now() + $4 + interval '1 min') < $10
               returning hits[cardinality(hits)] as at
           ),
           allowed as materialized (
               select g.id, g.failed, g.is_known from guess g
               where not g.is_shut and ($10 = 0 or exists (select from spent))
           ),
           stranger as (
               update users u
               set failed_attempts = a.failed, locked_at = case when a.failed >= $6 then now() + $4 end,
                   locked_until = case when a.failed >= $6 then now() + $4 + $7::interval end,
                   lock_reason = case when a.failed >= $6 then 'attempts' end
               from allowed a
               where u.instance_id = $1 and u.id = a.id and not a.is_known
               returning u.failed_attempts as failed
           ),
           -- Nobody has locked this row before: it is counted on as it is now.
           known as (
               update known_clients k
               set failed_attempts = (case when k.locked_until is null then k.failed_attempts else 0 end + 1)::smallint,
                   locked_until = case when (case when k.locked_until is null then k.failed_attempts else 0 end + 1) >= $6
                       then coalesce(now() + $4 + $7::interval, 'infinity') end
               from allowed a, attempt t
               where k.instance_id = $1 and k.user_id = a.id and k.client_id = t.client_id and a.is_known
                   and (k.locked_until is null or k.locked_until <= now() + $4)
               returning k.failed_attempts as failed
           ),
           -- With the lock, not after it: whatever ends this process meanwhile, there is no lock that nobody can explain.
           entry as (
               insert into audit_events (instance_id, id, action, outcome, reason, actor_kind, user_id, ip_address, user_agent,
                   request_id, changes, created_at)
               select $1, $12, 'user.locked', 'success', 'failures', 'system', a.id, $13, $14, $15, '{}', $16
               from allowed a
               where coalesce((select failed from stranger), (select failed from known)) >= $6
           )
           select a.client_id as "client!: ClientId", a.updated_at as "seen!", a.digest as "digest?",
               s.tree as "tree!: Json<SignIn>", g.id is not null as "is_somebody!", g.is_shut as "is_shut!",
               g.is_known as "is_known!", (select failed from stranger) as "of_strangers?",
               (select failed from known) as "of_client?", (select at from spent) as "at?"
           from attempt a cross join guess g join sign_in_trees s on s.instance_id = $1 and s.id = a.id"#,
        db.instance().as_str(),
        new.token.as_bytes(),
        new.attempt,
        db.offset(),
        new.admits_anybody,
        new.lockout.map(|rule| rule.attempts),
        interval(new.lockout.and_then(|rule| rule.duration)),
        new.address.kind,
        new.address.key.as_bytes().as_slice(),
        i64::from(new.address.count),
        new.address.window(),
        new.entry.id.as_str(),
        new.entry.from.ip.map(ipnet::IpNet::from),
        new.entry.from.user_agent.as_deref(),
        new.entry.from.request_id.as_str(),
        new.entry.at,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Guess {
        client: row.client,
        attempt: row.tree.0,
        seen: row.seen,
        digest: row.digest,
        counted: match (row.of_strangers, row.of_client) {
            _ if row.is_shut => Counted::Locked { is_known: row.is_known },
            _ if new.address.count > 0 && row.at.is_none() => Counted::Not,
            (Some(failed), _) => Counted::OnAccount(Budget::Strangers, failed),
            (_, Some(failed)) => Counted::OnAccount(Budget::KnownClient, failed),
            (None, None) if row.is_somebody => Counted::Not,
            (None, None) => Counted::OnNone,
        },
        at: row.at,
    }))
}

/// What a right guess makes of its sign-in.
pub struct Completion<'a> {
    /// The client's token, which is replaced.
    pub token: &'a LookupHash,
    /// The next one, and the key it is hashed with.
    pub next: (&'a LookupHash, &'a str),
    /// The sign-in.
    pub attempt: &'a SignInId,
    /// Its last change, as the guess saw it.
    pub seen: Timestamp,
    /// The digest that was guessed.
    pub digest: &'a str,
    /// The budget that the guess goes back to.
    pub budget: Option<Budget>,
    /// The log of the address that it goes out of, and its moment there.
    pub address: Option<(Log<'a>, Timestamp)>,
    /// The session.
    pub session: NewSession<'a>,
    /// What it leaves behind.
    pub record: &'a SessionRecord,
}

/// What the beginning of a session leaves behind.
pub struct SessionRecord {
    /// The event in the outbox.
    pub event: OutboxId,
    /// Its payload.
    pub payload: Value,
    /// The entry in the audit log.
    pub entry: AuditEventId,
    /// The one that says that the account is no longer locked, if it was.
    pub unlocked: AuditEventId,
    /// The flow it belongs to.
    pub flow: Option<FlowId>,
    /// When, on the server's clock.
    pub at: Timestamp,
}

/// Completes a sign-in whose password was right, and takes the guess back: all of it, or nothing (`None`) if anything is
/// not as the guess saw it. Every row that this depends on is locked, in the order in which all lock them, and judged as
/// it is after the wait: the client and its token, the sign-in, the user (a ban waits or is seen; a lock by strangers'
/// failures is no obstacle to a guess that was granted), the password. Returns the address that the sign-in was for.
///
/// # Errors
/// Storage faults; a violation of `client_tokens_generation_key` for the loser of a race.
pub async fn complete(db: &mut InstanceConnection<'_>, done: &Completion<'_>) -> sqlx::Result<Option<Option<String>>> {
    let new = &done.session;
    let (log, at) = (done.address.as_ref().map(|(log, _)| log), done.address.as_ref().map(|(_, at)| *at));
    let row = sqlx::query!(
        r#"with client as materialized (
               select c.id from client_tokens t
               join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
               where t.instance_id = $1 and t.hash = $2 and t.superseded_at is null and c.id = $6
               for update of t, c
           ),
           attempt as materialized (
               select s.id, c.id as client_id from client c
               join sign_ins s on s.instance_id = $1 and s.id = $4 and s.client_id = c.id
               where s.updated_at = $5 and s.status = 'needs_first_factor' and s.replaced_at is null
                   and s.abandon_at > now() + $3
               for update of s
           ),
           person as materialized (
               select u.id, a.id as attempt_id, a.client_id,
                   coalesce($9 = 'strangers', false) and u.lock_reason is distinct from 'admin' as opens,
                   case $9 when 'strangers' then coalesce(u.lock_reason = 'attempts', false)
                           and (u.locked_until is null or u.locked_until > now() + $3)
                       when 'known_client' then exists (select from known_clients k where k.instance_id = $1
                           and k.user_id = u.id and k.client_id = a.client_id and k.locked_until > now() + $3)
                       else false end as was_locked
               from attempt a
               join users u on u.instance_id = $1 and u.id = $7
               join user_passwords p on p.instance_id = $1 and p.user_id = u.id and p.digest = $8
               where u.banned_at is null and (u.locked_at is null or u.locked_until <= now() + $3
                   or (u.lock_reason = 'attempts' and $9::text is not null))
               for no key update of u for share of p
           ),
           -- The guess is taken back. A sign-in from a client that the user knows gives strangers no new tries.
           signed_in as (
               update users u set last_sign_in_at = now() + $3, last_active_at = date_trunc('day', now() + $3, 'UTC'),
                   failed_attempts = case when u.locked_at is null or u.locked_until <= now() + $3 or p.opens then 0
                       else u.failed_attempts end,
                   locked_at = case when not p.opens then u.locked_at end,
                   locked_until = case when not p.opens then u.locked_until end,
                   lock_reason = case when not p.opens then u.lock_reason end
               from person p
               where u.instance_id = $1 and u.id = p.id
               returning u.id
           ),
           released as (
               update rate_limits r
               set hits = r.hits[:array_position(r.hits, $12) - 1] || r.hits[array_position(r.hits, $12) + 1:]
               from person
               where r.instance_id = $1 and r.kind = $10 and r.key_hash = $11 and array_position(r.hits, $12) is not null
           ),
           -- The old token is replaced as the session begins: within its grace it must not see it.
           old_token as (
               update client_tokens t set superseded_at = now() + $3 from person p
               where t.instance_id = $1 and t.client_id = p.client_id and t.kind = 'browser' and t.superseded_at is null
               returning t.generation
           ),
           new_token as (
               insert into client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, created_at)
               select $1, $13, $14, p.client_id, 'browser', o.newest + 1, now() + $3
               from person p cross join (select coalesce(max(generation), 0) as newest from old_token) o
           ),
           session as (
               insert into sessions (instance_id, id, client_id, user_id, status, strategy, amr, authenticated_at,
                   first_factor_verified_at, expire_at, last_active_at, created_at, updated_at)
               select $1, $15, p.client_id, s.id, 'active', $16, array[$17], now() + $3, now() + $3,
                   now() + $3 + $18 * interval '1 s', now() + $3, now() + $3, now() + $3
               from signed_in s cross join person p
               returning id, user_id, client_id
           ),
           activity as (
               insert into session_activities (instance_id, session_id, id, ip_address, updated_at)
               select $1, id, $19, $20, now() + $3 from session
           ),
           known as (
               insert into known_clients (instance_id, user_id, client_id, created_at)
               select $1, user_id, client_id, now() + $3 from session
               on conflict (instance_id, user_id, client_id) do update set failed_attempts = 0, locked_until = null
           ),
           signed_in_client as (
               update clients c set last_active_session_id = s.id, client_uat_at = now() + $3, updated_at = now() + $3,
                   last_authentication_strategy = $16
               from session s where c.instance_id = $1 and c.id = s.client_id
           ),
           event as (
               insert into outbox (instance_id, id, kind, payload, run_at, created_at)
               select $1, $21, 'event', $22, now(), now() from session
           ),
           entry as (
               insert into audit_events (instance_id, id, action, outcome, actor_kind, actor_id, user_id, target_kind,
                   target_id, ip_address, user_agent, request_id, flow_id, changes, created_at)
               select $1, $23, 'session.created', 'success', 'user', user_id, user_id, 'session', id, $20, $24, $25, $26, '{}', $27
               from session
           ),
           -- The guess that locked the account was right.
           unlocked as (
               insert into audit_events (instance_id, id, action, outcome, actor_kind, user_id, ip_address, user_agent,
                   request_id, flow_id, changes, created_at)
               select $1, $28, 'user.unlocked', 'success', 'system', s.user_id, $20, $24, $25, $26, '{}', $27
               from session s cross join person p where p.was_locked
           )
           update sign_ins a set status = 'complete', created_session_id = s.id, completed_at = now() + $3,
               updated_at = now() + $3, replaced_at = now() + $3,
               identifier = (select i.value from identifications i where i.instance_id = $1 and i.user_id = s.user_id
                   and i.kind = 'email_address' and i.is_primary)
           from session s cross join person p
           where a.instance_id = $1 and a.id = p.attempt_id
           returning a.identifier"#,
        db.instance().as_str(),
        done.token.as_bytes(),
        db.offset(),
        done.attempt.as_str(),
        done.seen,
        new.client.as_str(),
        new.user.as_str(),
        done.digest,
        done.budget.map(name),
        log.map(|log| log.kind),
        log.map(|log| log.key.as_bytes().as_slice()),
        at,
        done.next.0.as_bytes(),
        done.next.1,
        new.id.as_str(),
        new.strategy as &Strategy,
        new.amr,
        new.lifetime,
        new.activity.as_str(),
        new.from.ip.map(ipnet::IpNet::from),
        done.record.event.as_str(),
        done.record.payload,
        done.record.entry.as_str(),
        new.from.user_agent.as_deref(),
        new.from.request_id.as_str(),
        done.record.flow.as_ref().map(FlowId::as_str),
        done.record.at,
        done.record.unlocked.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.identifier))
}

fn name(budget: Budget) -> &'static str {
    match budget {
        Budget::Strangers => "strangers",
        Budget::KnownClient => "known_client",
    }
}
