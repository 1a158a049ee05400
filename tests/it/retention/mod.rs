//! What is over is removed, and nothing else is; whatever the size of the table.

mod boundaries;
mod plans;
mod runs;

use std::collections::BTreeSet;

use sqlx::Row;
use vestibule::store::retention::{REMOVERS, WITHOUT_REMOVER};

use crate::support::TestDb;

#[tokio::test]
async fn every_table_has_a_remover_or_a_reason_why_not() {
    let db = TestDb::new().await;
    let rows = sqlx::query(
        "select table_name::text from information_schema.tables
         where table_schema = 'vestibule' and table_type = 'BASE TABLE'",
    )
    .fetch_all(&db.pool().await)
    .await
    .unwrap();
    let tables: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let removed: BTreeSet<String> = REMOVERS.iter().map(|remover| remover.table().to_owned()).collect();
    let staying: BTreeSet<String> = WITHOUT_REMOVER.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert!(removed.is_disjoint(&staying), "{:?}", removed.intersection(&staying));
    let named: BTreeSet<String> = removed.union(&staying).cloned().collect();
    let missing: Vec<&String> = tables.symmetric_difference(&named).collect();
    assert!(missing.is_empty(), "in src/store/retention or in the database alone: {missing:?}");
    assert!(WITHOUT_REMOVER.iter().all(|(_, reason)| !reason.is_empty()));
}
