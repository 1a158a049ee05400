//! What the database knows of the key ring: a check value per key id and how often it sealed, never a key.

use sqlx::{PgConnection, PgPool};

/// A key id as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: String,
    /// A keyed hash of a constant under its secret.
    pub check: Vec<u8>,
}

/// Locks the list until the transaction ends, so that two first starts with different rings do not both win.
///
/// # Errors
/// Storage faults.
pub async fn lock(db: &mut PgConnection) -> sqlx::Result<()> {
    // A transaction's lock, which a transaction-pooling proxy bears.
    sqlx::query!(r#"select pg_advisory_xact_lock(hashtext('vestibule.ring_keys')) as "locked!: ()""#)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Every key id that was ever used with this database.
///
/// # Errors
/// Storage faults.
pub async fn known(db: &mut PgConnection) -> sqlx::Result<Vec<KnownKey>> {
    sqlx::query_as!(KnownKey, "select key_id as id, check_hash as check from ring_keys order by first_used_at, key_id")
        .fetch_all(db)
        .await
}

/// Remembers a key id and its check value.
///
/// # Errors
/// Storage faults; a unique violation if the id is known.
pub async fn remember(db: &mut PgConnection, id: &str, check: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("insert into ring_keys (key_id, check_hash, first_used_at) values ($1, $2, now())", id, check)
        .execute(db)
        .await?;
    Ok(())
}

/// Adds to the counts of values sealed (security.md section 7: a warning at 2^31).
///
/// # Errors
/// Storage faults.
pub async fn add_seals(db: &PgPool, counts: &[(String, u64)]) -> sqlx::Result<()> {
    let ids: Vec<String> = counts.iter().map(|(id, _)| id.clone()).collect();
    let seals: Vec<i64> = counts.iter().map(|(_, seals)| i64::try_from(*seals).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        r#"update ring_keys k set seals = k.seals + n.seals, last_used_at = now()
           from unnest($1::text[], $2::bigint[]) as n (id, seals) where k.key_id = n.id"#,
        &ids,
        &seals
    )
    .execute(db)
    .await?;
    Ok(())
}
