//! What the database knows of the key ring: a check value per key id and how often it sealed, never a key.

use super::pool::{PgConnection, PgPool};
use crate::model::time::Timestamp;

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

/// Adds to the counts of values sealed (a warning at 2^31).
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

/// What the database knows of a key id, and how much still depends on it beside sealed values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// Its id.
    pub id: String,
    /// Values ever sealed under it, as far as servers have reported.
    pub seals: i64,
    /// When it came into use.
    pub first_used_at: Timestamp,
    /// Live secret keys, client secrets, refresh families, and sessions' client tokens that are looked up under it.
    pub lookups: i64,
}

/// Every key id that was ever used with this database, the oldest first.
///
/// # Errors
/// Storage faults.
pub async fn used(db: &PgPool) -> sqlx::Result<Vec<UsedKey>> {
    sqlx::query_as!(
        UsedKey,
        r#"with lookups as (
               select hash_key_id as key_id from secret_keys where revoked_at is null
               union all
               select hash_key_id from oauth_applications where hash_key_id is not null
               union all
               select refresh_key_id from oauth_grants
               where refresh_key_id is not null and revoked_at is null and refresh_expires_at > now()
               union all
               select t.hash_key_id from client_tokens t
               where t.superseded_at is null and exists (
                   select from sessions s where s.instance_id = t.instance_id and s.client_id = t.client_id
                       and s.status in ('pending', 'active') and s.expire_at > now())
           )
           select k.key_id as id, k.seals, k.first_used_at,
               (select count(*) from lookups l where l.key_id = k.key_id) as "lookups!"
           from ring_keys k order by k.first_used_at, k.key_id"#
    )
    .fetch_all(db)
    .await
}
