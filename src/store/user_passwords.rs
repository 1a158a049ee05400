//! Users' passwords, as digests.

use super::InstanceConnection;
use crate::model::id::UserId;

/// The digest of a user's password; `None` if they have none, or is nobody, by the same statement.
///
/// # Errors
/// Storage faults.
pub async fn digest(db: &mut InstanceConnection<'_>, user: Option<&UserId>) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "select digest from user_passwords where instance_id = $1 and user_id = $2",
        db.instance().as_str(),
        user.map(UserId::as_str),
    )
    .fetch_optional(db)
    .await
}

/// True if the user chose their password after the sign-in `attempt` went as far as it has: what was verified there was
/// about the one before.
///
/// # Errors
/// Storage faults.
pub async fn is_newer_than(db: &mut InstanceConnection<'_>, user: &UserId, attempt: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from user_passwords p join sign_ins s on s.instance_id = $1 and s.id = $3
               where p.instance_id = $1 and p.user_id = $2 and p.updated_at > s.updated_at) as "is_newer!""#,
        db.instance().as_str(),
        user.as_str(),
        attempt,
    )
    .fetch_one(db)
    .await
}

/// Sets or replaces a user's password.
///
/// # Errors
/// Storage faults.
pub async fn set(db: &mut InstanceConnection<'_>, user: &UserId, digest: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into user_passwords (instance_id, user_id, digest, hasher, created_at, updated_at)
           values ($1, $2, $3, 'argon2id', now() + $4, now() + $4)
           on conflict (instance_id, user_id) do update
               set digest = $3, hasher = 'argon2id', compromised_at = null, updated_at = now() + $4"#,
        db.instance().as_str(),
        user.as_str(),
        digest,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}
