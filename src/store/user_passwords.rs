//! Users' passwords, as digests.

use sqlx::PgExecutor;
use sqlx::postgres::types::PgInterval;

use crate::model::id::{InstanceId, UserId};

/// The digest of a user's password; `None` if he has none.
///
/// # Errors
/// Storage faults.
pub async fn digest(db: impl PgExecutor<'_>, instance: &InstanceId, user: &UserId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select digest from user_passwords where instance_id = $1 and user_id = $2",
        instance.as_str(),
        user.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// Sets or replaces a user's password.
///
/// # Errors
/// Storage faults.
pub async fn set(
    db: impl PgExecutor<'_>,
    instance: &InstanceId,
    user: &UserId,
    digest: &str,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into user_passwords (instance_id, user_id, digest, hasher, created_at, updated_at)
           values ($1, $2, $3, 'argon2id', now() + $4, now() + $4)
           on conflict (instance_id, user_id) do update
               set digest = $3, hasher = 'argon2id', compromised_at = null, updated_at = now() + $4"#,
        instance.as_str(),
        user.as_str(),
        digest,
        offset,
    )
    .execute(db)
    .await?;
    Ok(())
}
