//! What must hold in the database after every test: `tests/invariants.sql`, and that every sealed value opens.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use vestibule::crypto::{KeyRing, RingEntry, SealedAt};
use vestibule::store::sealed::{COLUMNS, SealedColumn};

/// The queries; each gives a line of text per offending row.
const QUERIES: &str = include_str!("../../invariants.sql");

/// The offending rows in words; empty when all is well.
pub async fn broken(options: &PgConnectOptions, ring: &[RingEntry]) -> Vec<String> {
    let mut db = options.connect().await.expect("the test's database");
    let rows = sqlx::raw_sql(QUERIES).fetch_all(&mut db).await.expect("tests/invariants.sql runs");
    let mut broken: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let ring = KeyRing::from_entries(ring).unwrap();
    broken.extend(unopened(&mut db, &ring).await);
    let _ = db.close().await;
    broken
}

/// Sealed values that do not open, in one round trip over all columns.
async fn unopened(db: &mut PgConnection, ring: &KeyRing) -> Vec<String> {
    let parts: Vec<String> = COLUMNS
        .iter()
        .enumerate()
        .map(|(index, SealedColumn { table, column, row, .. })| {
            format!("select {index}::int, instance_id::text, ({row})::text, {column} from {table} where {column} is not null")
        })
        .collect();
    let rows = sqlx::query(AssertSqlSafe(parts.join(" union all "))).fetch_all(db).await.unwrap();
    let mut broken = Vec::new();
    for found in rows {
        let SealedColumn { table, column, .. } = COLUMNS[usize::try_from(found.get::<i32, _>(0)).unwrap()];
        let (instance, row): (String, String) = (found.get(1), found.get(2));
        let at = SealedAt { table, column, row: &row, instance: &instance };
        if let Err(error) = ring.open(&at, &found.get::<Vec<u8>, _>(3)) {
            broken.push(format!("{table}.{column} of {row}: {error}"));
        }
    }
    broken
}

/// The list of sealed columns is complete.
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
        COLUMNS.iter().map(|one| (one.table.to_owned(), one.column.to_owned())).collect();
    listed.sort();
    assert_eq!(columns, listed);
}
