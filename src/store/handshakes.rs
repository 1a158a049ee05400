//! Handshake answers waiting behind a nonce.

use sqlx::postgres::types::PgInterval;

use crate::crypto::LookupHash;
use crate::model::id::InstanceId;

/// Keeps sealed directives for a minute.
///
/// # Errors
/// Storage faults.
pub async fn put(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    nonce: &LookupHash,
    sealed: &[u8],
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into handshakes (instance_id, hash, directives_sealed, expires_at)
           values ($1, $2, $3, now() + $4 + interval '60 s')"#,
        instance.as_str(),
        nonce.as_bytes(),
        sealed,
        offset,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The directives behind a nonce that has not ended.
///
/// # Errors
/// Storage faults.
pub async fn get(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    nonce: &LookupHash,
    offset: PgInterval,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "select directives_sealed from handshakes where instance_id = $1 and hash = $2 and expires_at > now() + $3",
        instance.as_str(),
        nonce.as_bytes(),
        offset,
    )
    .fetch_optional(db)
    .await
}
