//! Backend secret keys: stored as lookup hashes, kept after revocation so that the audit can name them.

use super::InstanceConnection;
use super::pool::PgPool;
use crate::crypto::LookupHash;
use crate::model::id::SecretKeyId;
use crate::model::time::Timestamp;

/// A key to store.
#[derive(Clone, Debug)]
pub struct NewSecretKey<'a> {
    /// Its id.
    pub id: &'a SecretKeyId,
    /// The operator's name for it.
    pub name: &'a str,
    /// The keyed hash of its text.
    pub hash: &'a LookupHash,
    /// The ring key that made the hash.
    pub hash_key_id: &'a str,
    /// Prefix and last four characters, for people.
    pub hint: &'a str,
    /// When it was made.
    pub at: Timestamp,
}

/// Stores a new key.
///
/// # Errors
/// Storage faults; `secret_keys_hash_key` if some instance has this very key.
pub async fn insert(db: &mut InstanceConnection<'_>, key: &NewSecretKey<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into secret_keys (instance_id, id, name, hash, hash_key_id, hint, created_at)
           values ($1, $2, $3, $4, $5, $6, $7)"#,
        db.instance().as_str(),
        key.id.as_str(),
        key.name,
        key.hash.as_bytes().as_slice(),
        key.hash_key_id,
        key.hint,
        key.at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Brings a key that was found under an older ring key under the one that writes, so that the older one can go.
///
/// # Errors
/// Storage faults.
pub async fn rehash(db: &PgPool, older: &LookupHash, newest: &LookupHash, ring_key: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update secret_keys set hash = $2, hash_key_id = $3 where hash = $1",
        older.as_bytes().as_slice(),
        newest.as_bytes().as_slice(),
        ring_key
    )
    .execute(db)
    .await?;
    Ok(())
}
