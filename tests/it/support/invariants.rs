//! What must hold in the database after every test: `tests/invariants.sql`, and that every sealed value opens.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use vestibule::crypto::{KeyRing, RingEntry, SealedAt};

/// The queries; each gives a line of text per offending row.
const QUERIES: &str = include_str!("../../invariants.sql");

/// Every sealed column, with the SQL expression of the row's name in it.
const SEALED: &[(&str, &str, &str)] = &[
    ("signing_keys", "private_key_sealed", "kid"),
    ("provider_configs", "client_secret_sealed", "provider"),
    ("provider_configs", "parameters_sealed", "provider"),
    ("provider_tokens", "access_token_sealed", "external_account_id"),
    ("provider_tokens", "refresh_token_sealed", "external_account_id"),
    ("provider_tokens", "id_token_sealed", "external_account_id"),
    ("handshakes", "directives_sealed", "encode(hash, 'hex')"),
    ("verifications", "external_url_sealed", "id"),
    ("social_flows", "callback_sealed", "id"),
    ("social_flows", "pkce_verifier_sealed", "id"),
    ("social_flows", "tokens_sealed", "id"),
    ("outbox", "payload_sealed", "id"),
    ("simulator_providers", "signing_key_sealed", "provider"),
    ("flows", "decision_sealed", "id"),
    ("inbox_messages", "content_sealed", "id"),
];

/// The offending rows in words; empty when all is well.
pub async fn broken(options: &PgConnectOptions, ring: &RingEntry) -> Vec<String> {
    let mut db = options.connect().await.expect("the test's database");
    let rows = sqlx::raw_sql(QUERIES).fetch_all(&mut db).await.expect("tests/invariants.sql runs");
    let mut broken: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let ring = KeyRing::from_entries(std::slice::from_ref(ring)).unwrap();
    broken.extend(unopened(&mut db, &ring).await);
    let _ = db.close().await;
    broken
}

/// Sealed values that do not open, in one round trip over all columns.
async fn unopened(db: &mut PgConnection, ring: &KeyRing) -> Vec<String> {
    let parts: Vec<String> = SEALED
        .iter()
        .enumerate()
        .map(|(index, (table, column, row))| {
            format!("select {index}::int, instance_id::text, ({row})::text, {column} from {table} where {column} is not null")
        })
        .collect();
    let rows = sqlx::query(AssertSqlSafe(parts.join(" union all "))).fetch_all(db).await.unwrap();
    let mut broken = Vec::new();
    for found in rows {
        let (table, column, _) = SEALED[usize::try_from(found.get::<i32, _>(0)).unwrap()];
        let (instance, row): (String, String) = (found.get(1), found.get(2));
        let at = SealedAt { table, column, row: &row, instance: &instance };
        if let Err(error) = ring.open(&at, &found.get::<Vec<u8>, _>(3)) {
            broken.push(format!("{table}.{column} of {row}: {error}"));
        }
    }
    broken
}

/// The list above is complete.
#[tokio::test]
async fn every_sealed_column_is_checked() {
    let db = super::TestDb::new().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns
         where table_schema = 'vestibule' and column_name like '%\\_sealed' order by 1, 2",
    )
    .fetch_all(&db.pool().await)
    .await
    .unwrap();
    let mut listed: Vec<(String, String)> =
        SEALED.iter().map(|(table, column, _)| ((*table).to_owned(), (*column).to_owned())).collect();
    listed.sort();
    assert_eq!(columns, listed);
}
