//! Failed verifications of an account: counted before anything is verified, taken back when it was right, so that
//! parallel guesses cannot outrun the count. Strangers share the user's budget; a browser this user signed in from
//! before has its own (`known_clients`) and is not shut out by theirs.

use sqlx::postgres::types::PgInterval;

use super::InstanceConnection;
use crate::model::id::{AuditEventId, ClientId, UserId};
use crate::model::request::Origin;
use crate::model::settings::LockoutRule;
use crate::model::time::Timestamp;
use crate::model::user::LockReason;

/// Whose budget a try was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// The one all strangers share.
    Strangers,
    /// The one of this browser, which the user signed in from before.
    KnownClient,
}

/// The audit entry of a lock, for whoever writes it in the statement that locks.
#[derive(Clone, Debug)]
pub struct LockEntry<'a> {
    /// Names it.
    pub id: AuditEventId,
    /// Where the try comes from.
    pub from: &'a Origin,
    /// When, on the server's clock.
    pub at: Timestamp,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It may be verified; so many failures after it are left.
    Granted {
        /// Whose budget it came from.
        budget: Budget,
        /// Tries left.
        left: i16,
    },
    /// The account is locked.
    Locked {
        /// Until then; `None` = until somebody unlocks it.
        until: Option<Timestamp>,
        /// `failures`, `operator`.
        detail: &'static str,
        /// Whether the user signed in from this browser before.
        is_known: bool,
    },
    /// There is no such user.
    Nobody,
}

/// Counts one try of a verification of `user` from `client`. The user's row is locked first, whoever asks: what follows
/// in the transaction waits in one order. The last try of a budget locks it until the try is released. Two statements,
/// also for nobody and for an account that is locked: the time it takes tells nothing.
///
/// # Errors
/// Storage faults.
pub async fn reserve(
    db: &mut InstanceConnection<'_>,
    user: Option<&UserId>,
    client: &ClientId,
    rule: LockoutRule,
) -> sqlx::Result<Reserved> {
    let row = sqlx::query!(
        r#"select u.lock_reason as "lock_reason: LockReason", u.locked_until, (u.locked_at is not null
                   and (u.locked_until is null or u.locked_until > now() + $4)) as "is_locked!",
               (k.client_id is not null and (k.locked_until is null or k.locked_until <= now() + $4)) as "is_known!"
           from users u
           left join known_clients k on k.instance_id = $1 and k.user_id = u.id and k.client_id = $3
           where u.instance_id = $1 and u.id = $2
           for no key update of u"#,
        db.instance().as_str(),
        user.map(UserId::as_str),
        client.as_str(),
        db.offset(),
    )
    .fetch_optional(&mut *db)
    .await?;
    let locked = row.as_ref().and_then(|row| {
        let by_failures = row.lock_reason == Some(LockReason::Attempts);
        let detail = if by_failures { "failures" } else { "operator" };
        let is_shut = row.is_locked && !(by_failures && row.is_known);
        is_shut.then_some(Reserved::Locked { until: row.locked_until, detail, is_known: row.is_known })
    });
    let (user, is_known) = match (&row, &locked) {
        (Some(row), None) => (user, row.is_known),
        _ => (None, false),
    };
    let (budget, failed) = if is_known {
        (Budget::KnownClient, known_client_tries(db, user, client, rule).await?)
    } else {
        (Budget::Strangers, strangers_try(db, user, rule).await?)
    };
    let granted = failed.map(|failed| Reserved::Granted { budget, left: rule.attempts - failed });
    Ok(locked.or(granted).unwrap_or(Reserved::Nobody))
}

/// Failures with this one; `None` for nobody.
async fn strangers_try(
    db: &mut InstanceConnection<'_>,
    user: Option<&UserId>,
    rule: LockoutRule,
) -> sqlx::Result<Option<i16>> {
    sqlx::query_scalar!(
        r#"update users u
           set failed_attempts = n.failed, locked_at = case when n.failed >= $3 then now() + $5 end,
               locked_until = case when n.failed >= $3 then now() + $5 + $4::interval end,
               lock_reason = case when n.failed >= $3 then 'attempts' end
           from (select (case when locked_at is null then failed_attempts else 0 end + 1)::smallint as failed
                 from users where instance_id = $1 and id = $2) n
           where u.instance_id = $1 and u.id = $2
           returning u.failed_attempts"#,
        db.instance().as_str(),
        user.map(UserId::as_str),
        rule.attempts,
        interval(rule.duration),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

async fn known_client_tries(
    db: &mut InstanceConnection<'_>,
    user: Option<&UserId>,
    client: &ClientId,
    rule: LockoutRule,
) -> sqlx::Result<Option<i16>> {
    sqlx::query_scalar!(
        r#"update known_clients k
           set failed_attempts = n.failed,
               locked_until = case when n.failed >= $4 then coalesce(now() + $6 + $5::interval, 'infinity') end
           from (select (case when locked_until is null then failed_attempts else 0 end + 1)::smallint as failed
                 from known_clients where instance_id = $1 and user_id = $2 and client_id = $3) n
           where k.instance_id = $1 and k.user_id = $2 and k.client_id = $3
           returning k.failed_attempts"#,
        db.instance().as_str(),
        user.map(UserId::as_str),
        client.as_str(),
        rule.attempts,
        interval(rule.duration),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Whether `user` signed in from this browser before, and has verified that `address` is theirs; `false` for nobody, by
/// the same statement.
///
/// # Errors
/// Storage faults.
pub async fn knows_client(
    db: &mut InstanceConnection<'_>,
    user: Option<&UserId>,
    client: &ClientId,
    address: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from known_clients k
               join identifications i on i.instance_id = $1 and i.user_id = k.user_id and i.kind = 'email_address'
                   and i.value_key = $4 and i.status = 'verified'
               where k.instance_id = $1 and k.user_id = $2 and k.client_id = $3) as "knows!""#,
        db.instance().as_str(),
        user.map(UserId::as_str),
        client.as_str(),
        address,
    )
    .fetch_one(db)
    .await
}

/// Takes a try back that was right, and with it the lock that its reservation may have set; whether there was one.
///
/// # Errors
/// Storage faults.
pub async fn release(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    client: &ClientId,
    budget: Budget,
) -> sqlx::Result<bool> {
    let was_locked = match budget {
        Budget::Strangers => {
            sqlx::query_scalar!(
                r#"update users u set failed_attempts = greatest(u.failed_attempts - 1, 0), locked_at = null,
                       locked_until = null, lock_reason = null
                   from (select id, locked_at is not null and (locked_until is null or locked_until > now() + $3) as was_locked
                       from users where instance_id = $1 and id = $2 for no key update) before
                   where u.instance_id = $1 and u.id = before.id and u.lock_reason is distinct from 'admin'
                   returning before.was_locked as "was_locked!""#,
                db.instance().as_str(),
                user.as_str(),
                db.offset(),
            )
            .fetch_optional(db)
            .await?
        }
        Budget::KnownClient => {
            sqlx::query_scalar!(
                r#"update known_clients k set failed_attempts = greatest(k.failed_attempts - 1, 0), locked_until = null
                   from (select client_id, coalesce(locked_until > now() + $4, false) as was_locked
                       from known_clients where instance_id = $1 and user_id = $2 and client_id = $3 for update) before
                   where k.instance_id = $1 and k.user_id = $2 and k.client_id = before.client_id
                   returning before.was_locked as "was_locked!""#,
                db.instance().as_str(),
                user.as_str(),
                client.as_str(),
                db.offset(),
            )
            .fetch_optional(db)
            .await?
        }
    };
    Ok(was_locked.unwrap_or(false))
}

/// A duration as the database takes it.
pub(super) fn interval(time: Option<time::Duration>) -> Option<PgInterval> {
    let microseconds = time.map(|time| i64::try_from(time.whole_microseconds()).unwrap_or(i64::MAX));
    microseconds.map(|microseconds| PgInterval { months: 0, days: 0, microseconds })
}

/// Locks an account on an operator's order, for `duration` or until somebody unlocks it; `false` if there is no such
/// user.
///
/// # Errors
/// Storage faults.
pub async fn lock(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    duration: Option<time::Duration>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update users set locked_at = now() + $4, locked_until = now() + $4 + $3::interval, lock_reason = 'admin',
               updated_at = now() + $4, version = version + 1
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        user.as_str(),
        interval(duration),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Opens an account and forgets its failures, those of known clients too; `false` if there is no such user.
///
/// # Errors
/// Storage faults.
pub async fn unlock(db: &mut InstanceConnection<'_>, user: &UserId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"with known as (
               update known_clients set failed_attempts = 0, locked_until = null
               where instance_id = $1 and user_id = $2 and (failed_attempts > 0 or locked_until is not null)
           )
           update users set locked_at = null, locked_until = null, lock_reason = null, failed_attempts = 0,
               updated_at = now() + $3, version = version + 1
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
