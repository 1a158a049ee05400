//! The sealed columns of the schema as one list, what they are sealed under, and their renewal when the key ring was
//! rotated. Deployment-wide, like the ring: the only statements beside the directory that look at every instance.

use super::pool::PgPool;
use sqlx::Row;

/// A `_sealed` column. Its statements are put together at compile time: table and column names cannot be parameters.
#[derive(Clone, Copy, Debug)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The SQL expression of the row's name in the sealed value ([`SealedAt::row`](crate::crypto::SealedAt)).
    pub row: &'static str,
    counts: &'static str,
    batch: &'static str,
    renew: &'static str,
}

macro_rules! columns {
    ($(($table:literal, $column:literal, $row:literal),)*) => {
        /// Every sealed column.
        pub const COLUMNS: &[SealedColumn] = &[$(SealedColumn {
            table: $table,
            column: $column,
            row: $row,
            // The layout of `crypto::seal`: version, length of the key id, key id.
            counts: concat!(
                "select case when octet_length(", $column, ") > 2 then encode(substr(", $column, ", 3, get_byte(",
                $column, ", 1)), 'escape') else '' end as key_id, count(*) as sealed from ", $table,
                " where ", $column, " is not null group by 1"
            ),
            batch: concat!(
                "select instance_id::text, (", $row, ")::text, ", $column, " from ", $table, " where ", $column,
                " is not null and substr(", $column, ", 1, octet_length($1)) <> $1 and (instance_id, ", $row,
                ") > ($2, $3) order by instance_id, ", $row, " limit $4"
            ),
            renew: concat!(
                "update ", $table, " t set ", $column, " = n.fresh from unnest($1::text[], $2::text[], $3::bytea[], ",
                "$4::bytea[]) as n (of_instance, of_row, stale, fresh) where t.instance_id = n.of_instance and ",
                $row, " = n.of_row and t.", $column, " = n.stale"
            ),
        }),*];
    };
}

columns! {
    ("signing_keys", "private_key_sealed", "kid"),
    ("provider_configs", "client_secret_sealed", "provider"),
    ("provider_configs", "parameters_sealed", "provider"),
    ("provider_tokens", "access_token_sealed", "external_account_id"),
    ("provider_tokens", "refresh_token_sealed", "external_account_id"),
    ("provider_tokens", "id_token_sealed", "external_account_id"),
    ("handshakes", "directives_sealed", "encode(hash, 'hex')"),
    ("verifications", "external_url_sealed", "id"),
    ("provider_authorizations", "callback_sealed", "id"),
    ("provider_authorizations", "pkce_verifier_sealed", "id"),
    ("provider_authorizations", "tokens_sealed", "id"),
    ("outbox", "payload_sealed", "id"),
    ("simulator_providers", "signing_key_sealed", "provider"),
    ("flows", "decision_sealed", "id"),
    ("inbox_messages", "content_sealed", "id"),
}

/// A sealed value and where it lies.
#[derive(Debug)]
pub struct SealedValue {
    /// The instance.
    pub instance: String,
    /// The row's name.
    pub row: String,
    /// The value as stored.
    pub sealed: Vec<u8>,
}

/// A value sealed anew.
#[derive(Debug)]
pub struct Renewed {
    /// What it replaces; a row that holds something else by now is left alone.
    pub stale: SealedValue,
    /// The new value.
    pub fresh: Vec<u8>,
}

/// How many values of a column are sealed under each key id; an empty id stands for what is no sealed value.
///
/// # Errors
/// Storage faults.
pub async fn counts(db: &PgPool, column: &SealedColumn) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query(column.counts).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("key_id")?, row.try_get("sealed")?))).collect()
}

/// The next values, in the order of instance and row, that do not begin with `header` (the key's that writes).
///
/// # Errors
/// Storage faults.
pub async fn batch(
    db: &PgPool,
    column: &SealedColumn,
    header: &[u8],
    after: (&str, &str),
    size: i64,
) -> sqlx::Result<Vec<SealedValue>> {
    let rows = sqlx::query(column.batch).bind(header).bind(after.0).bind(after.1).bind(size).fetch_all(db).await?;
    let value = |row: &sqlx::postgres::PgRow| {
        Ok(SealedValue { instance: row.try_get(0)?, row: row.try_get(1)?, sealed: row.try_get(2)? })
    };
    rows.iter().map(value).collect()
}

/// Stores values sealed anew, each only where the old one still stands; gives how many did.
///
/// # Errors
/// Storage faults.
pub async fn renew(db: &PgPool, column: &SealedColumn, renewed: &[Renewed]) -> sqlx::Result<u64> {
    let instances: Vec<&str> = renewed.iter().map(|one| one.stale.instance.as_str()).collect();
    let rows: Vec<&str> = renewed.iter().map(|one| one.stale.row.as_str()).collect();
    let stale: Vec<&[u8]> = renewed.iter().map(|one| one.stale.sealed.as_slice()).collect();
    let fresh: Vec<&[u8]> = renewed.iter().map(|one| one.fresh.as_slice()).collect();
    let query = sqlx::query(column.renew).bind(instances).bind(rows).bind(stale).bind(fresh);
    Ok(query.execute(db).await?.rows_affected())
}
