//! Handshake answers waiting behind a nonce.

use super::InstanceConnection;
use crate::crypto::LookupHash;

/// Keeps sealed directives for a minute.
///
/// # Errors
/// Storage faults.
pub async fn put(db: &mut InstanceConnection<'_>, nonce: &LookupHash, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into handshakes (instance_id, hash, directives_sealed, expires_at)
           values ($1, $2, $3, now() + $4 + interval '60 s')"#,
        db.instance().as_str(),
        nonce.as_bytes(),
        sealed,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The directives behind a nonce that has not ended.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut InstanceConnection<'_>, nonce: &LookupHash) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "select directives_sealed from handshakes where instance_id = $1 and hash = $2 and expires_at > now() + $3",
        db.instance().as_str(),
        nonce.as_bytes(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}
