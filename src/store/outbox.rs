//! Side effects waiting to be done, written in the transaction of the change that causes them.

use serde_json::Value;

use super::InstanceConnection;
use crate::crypto::SealedAt;
use crate::model::id::OutboxId;
use crate::model::text_enum::text_enum;

text_enum! {
    /// What kind of side effect.
    pub enum Kind {
        /// Something happened that subscribers may want to know.
        Event = "event",
        /// A mail to be delivered.
        Mail = "mail",
        /// Tokens that a provider is to revoke.
        ProviderRevoke = "provider_revoke",
    }
}

/// Puts a side effect into the outbox; its id is its idempotency key.
///
/// # Errors
/// Storage faults.
pub async fn put(db: &mut InstanceConnection<'_>, id: &OutboxId, kind: Kind, payload: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into outbox (instance_id, id, kind, payload, run_at, created_at)
           values ($1, $2, $3, $4, now(), now())"#,
        db.instance().as_str(),
        id.as_str(),
        kind as Kind,
        payload,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether what is asked for happens, or only takes as long as if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// It happens.
    Real,
    /// Nothing is written: the same work for somebody whom we do not know.
    Pretended,
}

/// Puts a side effect into the outbox whose payload holds something secret.
///
/// # Errors
/// Storage faults.
pub async fn put_sealed(
    db: &mut InstanceConnection<'_>,
    id: &OutboxId,
    kind: Kind,
    payload: &[u8],
    effort: Effort,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into outbox (instance_id, id, kind, payload_sealed, run_at, created_at)
           select $1, $2, $3, $4, now(), now() where $5"#,
        db.instance().as_str(),
        id.as_str(),
        kind as Kind,
        payload,
        effort == Effort::Real,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Where a payload is sealed to.
pub fn payload_at<'a>(instance: &'a str, id: &'a str) -> SealedAt<'a> {
    SealedAt { table: "outbox", column: "payload_sealed", row: id, instance }
}

/// A side effect taken by a worker.
#[derive(Clone, Debug)]
pub struct ClaimedEffect {
    /// The instance it belongs to.
    pub instance: String,
    /// Its id.
    pub id: String,
    /// Its kind; or the text that stands there, where a later version wrote one that this one does not know. That is its
    /// own failure, not that of the others which are taken with it.
    pub kind: Result<Kind, String>,
    /// How often it was taken, this time included.
    pub attempts: i16,
    /// What it needs to know, where that is secret.
    pub payload_sealed: Option<Vec<u8>>,
}

/// Takes up to `count` side effects that are due, the oldest first, for 60 s. Two workers never take the same one, and
/// what a dead worker took is due again when its lease ends.
///
/// # Errors
/// Storage faults.
pub async fn take(db: &super::pool::PgPool, worker: &str, count: i64) -> sqlx::Result<Vec<ClaimedEffect>> {
    let rows = sqlx::query!(
        r#"update outbox o
           set leased_by = $1, leased_until = now() + interval '60 s', attempts = o.attempts + 1
           from (select instance_id, id from outbox
                 where done_at is null and failed_at is null and run_at <= now()
                   and (leased_until is null or leased_until < now())
                 order by run_at limit $2 for update skip locked) due
           where o.instance_id = due.instance_id and o.id = due.id
           returning o.instance_id as instance, o.id, o.kind, o.attempts, o.payload_sealed"#,
        worker,
        count
    )
    .fetch_all(db)
    .await?;
    let claimed = rows.into_iter().map(|row| ClaimedEffect {
        kind: Kind::parse(&row.kind).ok_or(row.kind),
        instance: row.instance,
        id: row.id,
        attempts: row.attempts,
        payload_sealed: row.payload_sealed,
    });
    Ok(claimed.collect())
}

/// Marks a side effect as done, unless another worker has it by now.
///
/// # Errors
/// Storage faults.
pub async fn finish(db: &super::pool::PgPool, worker: &str, taken: &ClaimedEffect) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update outbox set done_at = now(), last_error = null, leased_by = null, leased_until = null
           where instance_id = $1 and id = $2 and leased_by = $3"#,
        taken.instance,
        taken.id,
        worker
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts a side effect back, to be tried again after `wait`; `None` gives it up.
///
/// # Errors
/// Storage faults.
pub async fn put_back(
    db: &super::pool::PgPool,
    worker: &str,
    taken: &ClaimedEffect,
    error: &str,
    wait: Option<std::time::Duration>,
) -> sqlx::Result<()> {
    let seconds = wait.map(|wait| wait.as_secs_f64());
    sqlx::query!(
        r#"update outbox set last_error = $4, leased_by = null, leased_until = null,
               run_at = now() + make_interval(secs => coalesce($5::float8, 0)),
               failed_at = case when $5::float8 is null then now() end
           where instance_id = $1 and id = $2 and leased_by = $3"#,
        taken.instance,
        taken.id,
        worker,
        error,
        seconds
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Frees what `worker` has taken and not finished, so that others need not wait for its leases to end.
///
/// # Errors
/// Storage faults.
pub async fn release(db: &super::pool::PgPool, worker: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update outbox set leased_by = null, leased_until = null
           where leased_by = $1 and done_at is null and failed_at is null"#,
        worker
    )
    .execute(db)
    .await?;
    Ok(())
}
