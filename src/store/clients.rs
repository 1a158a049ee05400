//! Clients (browsers and devices), the tokens that name them, and the tree that every frontend answer carries.

use sqlx::postgres::types::PgInterval;
use sqlx::types::Json;

use super::InstanceConnection;
use super::interval;
use crate::crypto::LookupHash;
use crate::model::client::Client;
use crate::model::id::{ClientId, SessionId};
use crate::model::strategy::Strategy;

/// How long a replaced token still reads, for requests that were already on their way.
const GRACE: PgInterval = interval::seconds(10);

/// How long after its replacement a token may still come from a page that had not been answered yet. What comes later
/// comes from a browser that the answer with the next token never reached.
const UNDER_WAY: PgInterval = interval::seconds(3);

/// The whole client that `token` names, in one statement. A replaced token reads for ten more seconds, and never sees
/// a session that is younger than its replacement. A banned user has no session here.
///
/// # Errors
/// Storage faults.
pub async fn tree(db: &mut InstanceConnection<'_>, token: &LookupHash) -> sqlx::Result<Option<Client>> {
    let found = sqlx::query_scalar!(
        r#"with token as materialized (
               select client_id, superseded_at from client_tokens
               where instance_id = $1 and hash = $2 and (superseded_at is null or superseded_at + $4 > now() + $3)
           )
           select json_build_object(
               'id', c.id, 'last_active_session_id', c.last_active_session_id,
               'last_authentication_strategy', c.last_authentication_strategy, 'client_uat_at', c.client_uat_at,
               'created_at', c.created_at, 'updated_at', c.updated_at,
               'sign_in', si.tree, 'sign_up', su.tree, 'sessions', coalesce(ss.trees, '[]')) as "tree!: Json<Client>"
           from token t
           join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
           left join sign_in_trees si on si.instance_id = $1 and si.client_id = c.id and si.replaced_at is null
               and si.abandon_at > now() + $3
               and (si.completed_at is null or si.completed_at + interval '10 min' > now() + $3)
           left join sign_up_trees su on su.instance_id = $1 and su.client_id = c.id and su.replaced_at is null
               and su.abandon_at > now() + $3
               and (su.completed_at is null or su.completed_at + interval '10 min' > now() + $3)
           left join lateral (
               select json_agg(json_build_object(
                   'id', s.id, 'status', s.status, 'expire_at', s.expire_at, 'last_active_at', s.last_active_at,
                   'actor', s.actor, 'authenticated_at', s.authenticated_at,
                   'first_factor_verified_at', s.first_factor_verified_at,
                   'second_factor_verified_at', s.second_factor_verified_at,
                   'created_at', s.created_at, 'updated_at', s.updated_at, 'user', u.tree) order by s.created_at, s.id) as trees
               from sessions s join user_trees u on u.instance_id = $1 and u.id = s.user_id
               join users w on w.instance_id = $1 and w.id = s.user_id and w.banned_at is null
               where s.instance_id = $1 and s.client_id = c.id and s.status in ('pending', 'active')
                   and s.expire_at > now() + $3
                   and (t.superseded_at is null or s.created_at < t.superseded_at)
           ) ss on true"#,
        db.instance().as_str(),
        token.as_bytes(),
        db.offset(),
        GRACE,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|tree| tree.0))
}

/// True if `token` was replaced so short a time ago that the answer with the next one may still be on its way.
///
/// # Errors
/// Storage faults.
pub async fn is_overtaken(db: &mut InstanceConnection<'_>, token: &LookupHash) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from client_tokens t
               join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
               where t.instance_id = $1 and t.hash = $2 and t.superseded_at + $4 > now() + $3) as "is_overtaken!""#,
        db.instance().as_str(),
        token.as_bytes(),
        db.offset(),
        UNDER_WAY,
    )
    .fetch_one(db)
    .await
}

/// Which of these hashes, one per key of the ring, a token is stored under.
///
/// # Errors
/// Storage faults.
pub async fn stored_under(db: &mut InstanceConnection<'_>, hashes: &[LookupHash]) -> sqlx::Result<Option<LookupHash>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_bytes().as_slice()).collect();
    sqlx::query_scalar!(
        r#"select hash as "hash: LookupHash" from client_tokens where instance_id = $1 and hash = any($2)"#,
        db.instance().as_str(),
        hashes as Vec<&[u8]>,
    )
    .fetch_optional(db)
    .await
}

/// The client that `token` names, locked: whatever begins, ends or replaces something on a client does it one after
/// the other. Only the live token counts; a replaced one writes nothing. The token is locked too: whoever waits here
/// while it is replaced must find that out, and a row that is not locked is judged as it was before the wait.
///
/// # Errors
/// Storage faults.
pub async fn lock_by_token(db: &mut InstanceConnection<'_>, token: &LookupHash) -> sqlx::Result<Option<ClientId>> {
    sqlx::query_scalar!(
        r#"select c.id as "id: ClientId" from client_tokens t
           join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
           where t.instance_id = $1 and t.hash = $2 and t.superseded_at is null
           for update of t, c"#,
        db.instance().as_str(),
        token.as_bytes(),
    )
    .fetch_optional(db)
    .await
}

/// Locks a client whose token is not at hand.
///
/// # Errors
/// Storage faults.
pub async fn lock(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select id from clients where instance_id = $1 and id = $2 and removed_at is null for update",
        db.instance().as_str(),
        client.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// The client that `token` names, locked as by [`lock_by_token`]; if no row has ever stood for it, it is stored now as
/// `id` with that token. `None` where `id` is taken and `token` does not name it: the token was replaced or removed, or
/// another request stores it at this moment.
///
/// # Errors
/// Storage faults.
pub async fn lock_or_store(
    db: &mut InstanceConnection<'_>,
    token: &LookupHash,
    id: &ClientId,
    ring_key: &str,
) -> sqlx::Result<Option<ClientId>> {
    sqlx::query_scalar!(
        r#"with live as (
               select c.id from client_tokens t
               join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
               where t.instance_id = $1 and t.hash = $2 and t.superseded_at is null
               for update of t, c
           ), stored as (
               insert into clients (instance_id, id, created_at, updated_at)
               select $1, $3, now() + $5, now() + $5 where not exists (select from live)
               on conflict (instance_id, id) do nothing returning id
           ), named as (
               insert into client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, created_at)
               select $1, $2, $4, id, 'browser', 1, now() + $5 from stored
           )
           select id as "id!: ClientId" from live union all select id from stored"#,
        db.instance().as_str(),
        token.as_bytes(),
        id.as_str(),
        ring_key,
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// True if a row stands for a client, or stood for it so lately that it is still there.
///
/// # Errors
/// Storage faults.
pub async fn is_stored(db: &mut InstanceConnection<'_>, id: &ClientId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from clients where instance_id = $1 and id = $2) as "is_stored!""#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_one(db)
    .await
}

/// A new client with its first token.
///
/// # Errors
/// Storage faults.
pub async fn create(
    db: &mut InstanceConnection<'_>,
    id: &ClientId,
    token: &LookupHash,
    ring_key: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with client as (
               insert into clients (instance_id, id, created_at, updated_at)
               values ($1, $2, now() + $5, now() + $5) returning id
           )
           insert into client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, created_at)
           select $1, $3, $4, id, 'browser', 1, now() + $5 from client"#,
        db.instance().as_str(),
        id.as_str(),
        token.as_bytes(),
        ring_key,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Replaces the client's token: the old one is dead, but for the grace of [`tree`]. Of two rotations at once one fails.
///
/// # Errors
/// Storage faults; a violation of `client_tokens_generation_key` for the loser of a race.
pub async fn rotate_token(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    token: &LookupHash,
    ring_key: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with old as (
               update client_tokens set superseded_at = now() + $5
               where instance_id = $1 and client_id = $2 and kind = 'browser' and superseded_at is null
               returning generation
           )
           insert into client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, created_at)
           select $1, $3, $4, $2, 'browser', coalesce((select max(generation) from old), 0) + 1, now() + $5"#,
        db.instance().as_str(),
        client.as_str(),
        token.as_bytes(),
        ring_key,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts another token in the place of the client's, where nobody has signed in: the old one is dead at once, and no row
/// is added, however often that is asked for.
///
/// # Errors
/// Storage faults.
pub async fn exchange_token(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    token: &LookupHash,
    ring_key: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update client_tokens set hash = $3, hash_key_id = $4, generation = generation + 1, created_at = now() + $5
           where instance_id = $1 and client_id = $2 and kind = 'browser' and superseded_at is null"#,
        db.instance().as_str(),
        client.as_str(),
        token.as_bytes(),
        ring_key,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records that the sign-in state of a client changed: a session began or ended, or another became the active one.
///
/// # Errors
/// Storage faults.
pub async fn touch_sign_in_state(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    active: Option<&SessionId>,
    strategy: Option<&Strategy>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update clients set last_active_session_id = $3, client_uat_at = now() + $5, updated_at = now() + $5,
               last_authentication_strategy = coalesce($4, last_authentication_strategy)
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        client.as_str(),
        active.map(SessionId::as_str),
        strategy as Option<&Strategy>,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a client: its tokens are dead at once.
///
/// # Errors
/// Storage faults.
pub async fn remove(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with gone as (delete from client_tokens where instance_id = $1 and client_id = $2)
           update clients set removed_at = now() + $3, updated_at = now() + $3 where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        client.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}
