//! How many rows every table holds.

use std::collections::BTreeMap;

use super::TestApp;

/// The tables of the schema, whoever made them, but for the list of migrations.
pub async fn tables(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = current_schema() and table_type = 'BASE TABLE' and table_name <> '_sqlx_migrations'
         order by 1",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap()
}

/// The rows of every table; what requests left to be recorded is written before.
pub async fn rows(app: &TestApp) -> BTreeMap<String, i64> {
    for replica in &app.apps {
        replica.recorder.flush().await;
    }
    let mut counts = BTreeMap::new();
    for table in tables(app).await {
        let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let count = sqlx::query_scalar(statement).fetch_one(&app.app().db).await.unwrap();
        counts.insert(table, count);
    }
    counts
}

/// The tables that have more rows than `before`, and how many more.
pub async fn more_than(app: &TestApp, before: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let now = rows(app).await.into_iter();
    let more = now.map(|(table, count)| (before.get(&table).map_or(count, |before| count - before), table));
    more.filter(|(count, _)| *count > 0).map(|(count, table)| (table, count)).collect()
}
