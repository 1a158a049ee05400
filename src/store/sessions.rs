//! Sessions: begun in one way only, minted from, touched, ended.

use sqlx::postgres::types::PgInterval;
use sqlx::types::Json;

use super::InstanceConnection;
use super::interval;
use crate::crypto::LookupHash;
use crate::model::client::Session;
use crate::model::id::{ClientId, SessionActivityId, SessionId, UserId};
use crate::model::request::Origin;
use crate::model::strategy::Strategy;
use crate::model::text_enum::text_enum;

/// How long a replaced client token still reads; see `clients::tree`.
const GRACE: PgInterval = interval::seconds(10);

/// A session about to begin.
pub struct NewSession<'a> {
    /// Names it.
    pub id: &'a SessionId,
    /// The client.
    pub client: &'a ClientId,
    /// The user.
    pub user: &'a UserId,
    /// By what the person verified who they are.
    pub strategy: &'a Strategy,
    /// How the person verified who they are (RFC 8176): `fed`, `otp`, `pwd`.
    pub amr: &'a str,
    /// Seconds it lives at most.
    pub lifetime: f64,
    /// Names its activity row.
    pub activity: &'a SessionActivityId,
    /// Where the person is.
    pub from: &'a Origin,
}

/// Begins a session; `false` if the user is banned, locked or gone. The update locks the user, so a ban waits or is
/// seen. Strangers' failures do not shut out a client that the user signed in from before, and a sign-in from it does
/// not give them new tries. Sessions come into being nowhere else.
///
/// # Errors
/// Storage faults.
pub async fn begin(db: &mut InstanceConnection<'_>, new: &NewSession<'_>) -> sqlx::Result<bool> {
    let ip = new.from.ip.map(ipnet::IpNet::from);
    let begun = sqlx::query_scalar!(
        r#"with signed_in as (
               update users u set last_sign_in_at = now() + $7,
                   failed_attempts = case when locked_at is null or locked_until <= now() + $7 then 0
                       else failed_attempts end,
                   last_active_at = date_trunc('day', now() + $7, 'UTC')
               where instance_id = $1 and id = $2 and banned_at is null
                   and (locked_at is null or locked_until <= now() + $7 or (lock_reason = 'attempts' and exists (
                       select from known_clients k where k.instance_id = $1 and k.user_id = u.id and k.client_id = $4
                           and (k.locked_until is null or k.locked_until <= now() + $7))))
               returning id
           ),
           session as (
               insert into sessions (instance_id, id, client_id, user_id, status, strategy, amr, authenticated_at,
                   first_factor_verified_at, expire_at, last_active_at, created_at, updated_at)
               select $1, $3, $4, id, 'active', $5, array[$10], now() + $7, now() + $7,
                   now() + $7 + $6 * interval '1 s', now() + $7, now() + $7, now() + $7
               from signed_in returning id
           ),
           activity as (
               insert into session_activities (instance_id, session_id, id, ip_address, updated_at)
               select $1, id, $8, $9, now() + $7 from session
           ),
           known as (
               insert into known_clients (instance_id, user_id, client_id, created_at)
               select $1, $2, $4, now() + $7 from session
               on conflict (instance_id, user_id, client_id) do update set failed_attempts = 0, locked_until = null
           )
           select id from session"#,
        db.instance().as_str(),
        new.user.as_str(),
        new.id.as_str(),
        new.client.as_str(),
        new.strategy as &Strategy,
        new.lifetime,
        db.offset(),
        new.activity.as_str(),
        ip,
        new.amr,
    )
    .fetch_optional(db)
    .await?;
    Ok(begun.is_some())
}

/// An open session of the client that `token` names, with its user: one read, no cache.
///
/// # Errors
/// Storage faults.
pub async fn open(
    db: &mut InstanceConnection<'_>,
    token: &LookupHash,
    session: &SessionId,
) -> sqlx::Result<Option<Session>> {
    let tree = sqlx::query_scalar!(
        r#"with token as materialized (
               select client_id, superseded_at from client_tokens
               where instance_id = $1 and hash = $2 and (superseded_at is null or superseded_at + $5 > now() + $4)
           )
           select json_build_object(
                   'id', s.id, 'status', s.status, 'expire_at', s.expire_at, 'last_active_at', s.last_active_at,
                   'actor', s.actor, 'authenticated_at', s.authenticated_at,
                   'first_factor_verified_at', s.first_factor_verified_at,
                   'second_factor_verified_at', s.second_factor_verified_at,
                   'created_at', s.created_at, 'updated_at', s.updated_at, 'user', u.tree) as "tree!: Json<Session>"
           from token t
           join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
           join sessions s on s.instance_id = $1 and s.id = $3 and s.client_id = c.id
               and s.status in ('pending', 'active') and s.expire_at > now() + $4
               and (t.superseded_at is null or s.created_at < t.superseded_at)
           join user_trees u on u.instance_id = $1 and u.id = s.user_id
           join users w on w.instance_id = $1 and w.id = s.user_id and w.banned_at is null"#,
        db.instance().as_str(),
        token.as_bytes(),
        session.as_str(),
        db.offset(),
        GRACE,
    )
    .fetch_optional(db)
    .await?;
    Ok(tree.map(|tree| tree.0))
}

text_enum! {
    /// How a session ends.
    pub enum Ending {
        /// Signed out, still listed elsewhere.
        Ended = "ended",
        /// Signed out and taken off the client.
        Removed = "removed",
        /// By the backend, or by whoever took the account over.
        Revoked = "revoked",
    }
}

/// Whether the client that `token` names has something to sign out of: the open session that is named, or any, or an attempt
/// that is complete; `None` if it names none. Reads only: anybody may ask for it.
///
/// # Errors
/// Storage faults.
pub async fn has_open(
    db: &mut InstanceConnection<'_>,
    token: &LookupHash,
    session: Option<&SessionId>,
) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions s where s.instance_id = $1 and s.client_id = c.id
                   and ($3::text is null or s.id = $3) and s.status in ('pending', 'active'))
               or $3 is null and (
                   exists (select from sign_ins a where a.instance_id = $1 and a.client_id = c.id
                       and a.replaced_at is null and a.status = 'complete')
                   or exists (select from sign_ups a where a.instance_id = $1 and a.client_id = c.id
                       and a.replaced_at is null and a.status = 'complete')) as "has_open!"
           from client_tokens t
           join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
           where t.instance_id = $1 and t.hash = $2 and t.superseded_at is null"#,
        db.instance().as_str(),
        token.as_bytes(),
        session.map(SessionId::as_str),
    )
    .fetch_optional(db)
    .await
}

/// Ends open sessions of a client: the one named, or all. Returns those that ended.
///
/// # Errors
/// Storage faults.
pub async fn end(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    session: Option<&SessionId>,
    ending: Ending,
) -> sqlx::Result<Vec<(SessionId, UserId)>> {
    let rows = sqlx::query!(
        r#"update sessions set status = $4, ended_at = now() + $5, updated_at = now() + $5, tasks = '{}'
           where instance_id = $1 and client_id = $2 and ($3::text is null or id = $3)
               and status in ('pending', 'active')
           returning id as "id: SessionId", user_id as "user_id: UserId""#,
        db.instance().as_str(),
        client.as_str(),
        session.map(SessionId::as_str),
        ending as Ending,
        db.offset(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.user_id)).collect())
}

/// The newest open session of a client, which becomes the active one when another ends.
///
/// # Errors
/// Storage faults.
pub async fn newest_open(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<Option<SessionId>> {
    sqlx::query_scalar!(
        r#"select id as "id: SessionId" from sessions
           where instance_id = $1 and client_id = $2 and status in ('pending', 'active') and expire_at > now() + $3
           order by id desc limit 1"#,
        db.instance().as_str(),
        client.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Whether a session is `client`'s, however it stands.
///
/// # Errors
/// Storage faults.
pub async fn is_of_client(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    session: &SessionId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions where instance_id = $1 and id = $2 and client_id = $3) as "is_own!""#,
        db.instance().as_str(),
        session.as_str(),
        client.as_str(),
    )
    .fetch_one(db)
    .await
}

/// Marks an open session as used, at most once a minute; `None` if the client has no such open session, else whether it
/// was the client's active one already.
///
/// # Errors
/// Storage faults.
pub async fn touch(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    session: &SessionId,
) -> sqlx::Result<Option<bool>> {
    let row = sqlx::query!(
        r#"with touched as (
               update sessions set last_active_at = now() + $4
               where instance_id = $1 and client_id = $2 and id = $3 and status in ('pending', 'active')
                   and expire_at > now() + $4 and last_active_at < now() + $4 - interval '60 s'
           )
           select c.last_active_session_id is not distinct from s.id as "is_active!"
           from sessions s join clients c on c.instance_id = $1 and c.id = s.client_id
           where s.instance_id = $1 and s.client_id = $2 and s.id = $3 and s.status in ('pending', 'active')
               and s.expire_at > now() + $4"#,
        db.instance().as_str(),
        client.as_str(),
        session.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.is_active))
}

/// The person of an open session was verified once more.
///
/// # Errors
/// Storage faults.
pub async fn record_reverification(db: &mut InstanceConnection<'_>, session: &SessionId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update sessions set first_factor_verified_at = now() + $3, updated_at = now() + $3
           where instance_id = $1 and id = $2 and status in ('pending', 'active')"#,
        db.instance().as_str(),
        session.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The page on which somebody began what ended in `session` within the last ten minutes, if it was a page.
///
/// # Errors
/// Storage faults.
pub async fn page_that_began(db: &mut InstanceConnection<'_>, session: &SessionId) -> sqlx::Result<Option<String>> {
    let origin = sqlx::query_scalar!(
        r#"select f.origin
           from sessions s
           join lateral (
               select a.id from sign_ins a
               where a.instance_id = $1 and a.client_id = s.client_id and a.created_session_id = s.id
               union all
               select a.id from sign_ups a
               where a.instance_id = $1 and a.client_id = s.client_id and a.created_session_id = s.id) a on true
           join verifications v
               on v.instance_id = $1 and v.owner_id = a.id and v.role in ('first_factor', 'external_account')
           join provider_authorizations f on f.instance_id = $1 and f.verification_id = v.id
           where s.instance_id = $1 and s.id = $2 and f.finished_at > now() + $3 - interval '10 min'
           order by f.finished_at desc limit 1"#,
        db.instance().as_str(),
        session.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(origin.flatten())
}
