//! Periodic tasks: each runs on one replica at a time.

use std::time::Duration;

use sqlx::PgPool;

/// Takes the task `name` for `lease` if it is due and nobody has it; the first time it is due at once. True if it was
/// taken.
///
/// # Errors
/// Storage faults.
pub async fn take(db: &PgPool, name: &str, worker: &str, lease: Duration) -> sqlx::Result<bool> {
    let taken = sqlx::query!(
        r#"insert into jobs as j (name, next_run_at, leased_by, leased_until)
           values ($1, now(), $2, now() + make_interval(secs => $3))
           on conflict (name) do update set leased_by = excluded.leased_by, leased_until = excluded.leased_until
           where j.next_run_at <= now() and (j.leased_until is null or j.leased_until < now())
           returning name"#,
        name,
        worker,
        lease.as_secs_f64()
    )
    .fetch_optional(db)
    .await?;
    Ok(taken.is_some())
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
