//! Whom an operator shut out.

use super::InstanceConnection;
use crate::model::id::{ClientId, SessionId, UserId};

/// Bans a user: open sessions are revoked and grants to OAuth applications end. Returns the sessions; `None` if there
/// is no such user. The update locks the user, so a sign-in waits, or is seen here.
///
/// # Errors
/// Storage faults.
pub async fn ban(db: &mut InstanceConnection<'_>, user: &UserId) -> sqlx::Result<Option<Vec<SessionId>>> {
    let banned = sqlx::query!(
        r#"update users set banned_at = coalesce(banned_at, now() + $3), updated_at = now() + $3, version = version + 1
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
    )
    .execute(&mut *db)
    .await?;
    if banned.rows_affected() == 0 {
        return Ok(None);
    }
    end_access(db, user, "banned", None).await.map(Some)
}

/// Ends what a user has open, for `reason`: sessions are revoked, and browsers that they signed in from are strangers
/// again, all but `keeps`; grants to OAuth applications end, codes that nobody has redeemed are worth nothing, and
/// applications have to ask again. Returns the sessions. The caller holds the user's lock.
///
/// Sessions go first: a code is made under a shared lock of its session, so it is there for the second statement, or is
/// never made.
///
/// # Errors
/// Storage faults.
pub async fn end_access(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    reason: &str,
    keeps: Option<&ClientId>,
) -> sqlx::Result<Vec<SessionId>> {
    let ended = sqlx::query_scalar!(
        r#"with known as (delete from known_clients where instance_id = $1 and user_id = $2
               and client_id is distinct from $4)
           update sessions set status = 'revoked', ended_at = now() + $3, updated_at = now() + $3, tasks = '{}'
           where instance_id = $1 and user_id = $2 and status in ('pending', 'active')
           returning id as "id: SessionId""#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
        keeps.map(ClientId::as_str),
    )
    .fetch_all(&mut *db)
    .await?;
    // A code lies under a day that is not before the one on which it ends.
    sqlx::query!(
        r#"with codes as (
               update oauth_codes set failures = 5 where instance_id = $1 and user_id = $2 and consumed_at is null
                   and expires_day >= floor(extract(epoch from now() + $3) / 86400)::int
           ),
           consents as (delete from oauth_consents where instance_id = $1 and user_id = $2)
           update oauth_grants set revoked_at = now() + $3, revoked_reason = $4
           where instance_id = $1 and user_id = $2 and revoked_at is null"#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
        reason,
    )
    .execute(db)
    .await?;
    Ok(ended)
}

/// Lets a banned user in again; `false` if there is no such user.
///
/// # Errors
/// Storage faults.
pub async fn unban(db: &mut InstanceConnection<'_>, user: &UserId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update users set banned_at = null, updated_at = now() + $3, version = version + 1
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
