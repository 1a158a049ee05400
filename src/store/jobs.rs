//! Periodic tasks: each runs on one replica at a time.

use std::time::Duration;

use serde_json::Value;

use super::pool::PgPool;
use crate::model::time::Timestamp;

/// When a task may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When it is due.
    Due,
    /// At once: somebody asked for it.
    Now,
}

/// Takes the task `name` for `lease` if nobody has it; the first time it is due at once. Returns where it stopped the last
/// time, `{}` if at its end; `None` if it was not taken.
///
/// # Errors
/// Storage faults.
pub async fn take(
    db: &PgPool,
    name: &str,
    worker: &str,
    lease: Duration,
    when: Trigger,
) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar!(
        r#"insert into jobs as j (name, next_run_at, leased_by, leased_until)
           values ($1, now(), $2, now() + make_interval(secs => $3))
           on conflict (name) do update set leased_by = excluded.leased_by, leased_until = excluded.leased_until
           where (j.next_run_at <= now() or $4) and (j.leased_until is null or j.leased_until < now())
           returning position"#,
        name,
        worker,
        lease.as_secs_f64(),
        when == Trigger::Now,
    )
    .fetch_optional(db)
    .await
}

/// Writes down how far the task has come; `false` if somebody else has it by now.
///
/// # Errors
/// Storage faults.
pub async fn note_position(db: &PgPool, name: &str, worker: &str, position: &Value) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        "update jobs set position = $3 where name = $1 and leased_by = $2 and leased_until > now()",
        name,
        worker,
        position
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Gives the task back: it is due again after `wait`.
///
/// # Errors
/// Storage faults.
pub async fn give_back(db: &PgPool, name: &str, worker: &str, wait: Duration, error: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update jobs set last_run_at = now(), next_run_at = now() + make_interval(secs => $3), last_error = $4,
               leased_by = null, leased_until = null
           where name = $1 and leased_by = $2"#,
        name,
        worker,
        wait.as_secs_f64(),
        error
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets tasks that this version does not have.
///
/// # Errors
/// Storage faults.
pub async fn forget(db: &PgPool, names: &[&str]) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from jobs where name = any($1) and (leased_until is null or leased_until < now())",
        names as &[&str]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How a task stands.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// When it ended the last time.
    pub last_run_at: Option<Timestamp>,
    /// What went wrong then.
    pub last_error: Option<String>,
}

/// How every task stands that has ever run.
///
/// # Errors
/// Storage faults.
pub async fn all(db: &PgPool) -> sqlx::Result<Vec<JobStatus>> {
    sqlx::query_as!(JobStatus, "select name, last_run_at, last_error from jobs order by name").fetch_all(db).await
}
