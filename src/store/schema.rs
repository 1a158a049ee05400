//! The schema's version: migrating, and whether this binary fits what it finds.

use sqlx::{PgPool, Postgres};

use super::MIGRATOR;

/// Brings the database to this binary's schema: makes the schema `vestibule`, points the role's `search_path` to it,
/// and runs what is missing under the migrator's lock. Returns how many migrations ran.
///
/// # Errors
/// What the database or the migrator says.
pub async fn migrate(options: &sqlx::postgres::PgConnectOptions) -> Result<usize, sqlx::migrate::MigrateError> {
    use sqlx::{ConnectOptions, Connection, Executor};
    let mut connection = options.clone().options([("search_path", "vestibule,public")]).connect().await?;
    connection.execute("create schema if not exists vestibule").await?;
    let before = applied(&mut connection).await?;
    MIGRATOR.run(&mut connection).await?;
    let after = applied(&mut connection).await?;
    connection.close().await?;
    Ok(after.saturating_sub(before))
}

async fn applied(connection: &mut sqlx::PgConnection) -> Result<usize, sqlx::Error> {
    let known: bool =
        sqlx::query_scalar::<Postgres, bool>("select to_regclass('vestibule._sqlx_migrations') is not null")
            .fetch_one(&mut *connection)
            .await?;
    if !known {
        return Ok(0);
    }
    let count = sqlx::query_scalar::<Postgres, i64>("select count(*) from _sqlx_migrations where success")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// True if every migration of this binary has been applied (later ones may have been, too: a newer replica runs).
///
/// # Errors
/// Storage faults.
pub async fn is_current(db: &PgPool) -> Result<bool, sqlx::Error> {
    let newest = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = sqlx::query_scalar::<Postgres, Option<i64>>("select max(version) from _sqlx_migrations where success")
        .fetch_one(db)
        .await?;
    Ok(found.is_some_and(|version| version >= newest))
}

/// The database's present moment.
///
/// # Errors
/// Storage faults.
pub async fn clock(db: &mut sqlx::PgConnection) -> sqlx::Result<crate::model::time::Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(db).await
}
