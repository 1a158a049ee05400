//! The schema's version: migrating, and whether this binary fits what it finds.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Postgres};

use super::{MIGRATOR, pool};

/// What the role gets, so that every connection has it without start-up parameters, which poolers refuse.
const ROLE_SETTINGS: [(&str, &str); 4] = [
    ("search_path", "vestibule, public"),
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s"),
];
/// Held while migrating, across versions of this program: "vestibul" in ASCII.
const LOCK: i64 = 0x7665_7374_6962_756c;
/// How often somebody who waits for the lock asks for it.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a migration is begun again that could not lock a busy table within 2 s.
const ATTEMPTS: u32 = 10;

/// What migrating did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// How many migrations ran.
    pub ran: usize,
    /// Statements that the role may not run itself; somebody with more rights must.
    pub manual: Vec<String>,
}

/// Brings the database to this binary's schema: makes the schema `vestibule`, runs what is missing, one process at a
/// time, and gives the role its settings.
///
/// # Errors
/// What the database or the migrator says.
pub async fn migrate(options: &PgConnectOptions) -> Result<Migrated, MigrateError> {
    // The role's own limits are for requests: waiting for another process that migrates takes longer.
    let limits = [("search_path", "vestibule,public"), ("statement_timeout", "0"), ("lock_timeout", "0")];
    // Migrations take as long as they take: nobody has to hear of slow statements.
    let mut connection = options.clone().options(limits).disable_statement_logging().connect().await?;
    lock(&mut connection).await?;
    connection.execute("create schema if not exists vestibule").await?;
    // A migration that waits for a lock holds up everybody behind it: better to step back and try again.
    connection.execute("set lock_timeout = '2s'").await?;
    let before = applied(&mut connection).await?;
    run(&mut connection).await?;
    let after = applied(&mut connection).await?;
    connection.execute("set lock_timeout = 0").await?;
    let manual = set_up_role(&mut connection).await?;
    // Ends the session, and with it the lock.
    connection.close().await?;
    Ok(Migrated { ran: after.saturating_sub(before), manual })
}

/// Waits until nobody else migrates. Asks again and again: a statement that waits for the lock would be waited for by an
/// index that its holder makes concurrently, and neither would ever end.
async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    loop {
        let locked = sqlx::query_scalar::<Postgres, bool>("select pg_try_advisory_lock($1)").bind(LOCK);
        if locked.fetch_one(&mut *connection).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes what an index that could not be finished has left: a concurrent one is made outside a transaction.
async fn drop_unfinished_indexes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let unfinished = sqlx::query_scalar::<Postgres, String>(
        "select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid
         where not i.indisvalid and c.relnamespace = 'vestibule'::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await?;
    for name in unfinished {
        // The server quotes the name where it must be.
        connection.execute(AssertSqlSafe(format!("drop index if exists {name}"))).await?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection) -> Result<(), MigrateError> {
    // A newer version may have migrated already: it promises to have left us what we need.
    let migrator =
        Migrator { migrations: Cow::Borrowed(&MIGRATOR.migrations), ignore_missing: true, ..Migrator::DEFAULT };
    for attempt in 1.. {
        let ran = match drop_unfinished_indexes(&mut *connection).await {
            Ok(()) => migrator.run(&mut *connection).await,
            Err(error) => Err(error.into()),
        };
        match ran {
            Err(error) if is_lock_timeout(&error) && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(200) * attempt).await;
            }
            other => return other,
        }
    }
    Ok(())
}

/// SQLSTATE 55P03: somebody else had the table.
fn is_lock_timeout(error: &MigrateError) -> bool {
    let database = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.as_database_error(),
        _ => None,
    };
    database.and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}

/// Sets what is not yet set. Returns the statements that were refused.
async fn set_up_role(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let (role, known): (String, Vec<String>) = sqlx::query_as::<Postgres, _>(
        "select quote_ident(current_user), coalesce(rolconfig, '{}') from pg_roles where rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut manual = Vec::new();
    for (name, value) in ROLE_SETTINGS {
        if known.iter().any(|entry| *entry == format!("{name}={value}")) {
            continue;
        }
        let statement = format!("alter role {role} set {name} = {value}", value = quoted(name, value));
        // The name is quoted by the server, the rest is ours.
        if connection.execute(AssertSqlSafe(statement.clone())).await.is_err() {
            manual.push(statement);
        }
    }
    Ok(manual)
}

/// A list of schemas is not a text.
fn quoted(name: &str, value: &str) -> String {
    if name == "search_path" { value.to_owned() } else { format!("'{value}'") }
}

async fn applied(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
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

/// A migration and whether it has been applied.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Step {
    /// Its number.
    pub version: i64,
    /// What it is about.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Every migration of this binary, and those of later ones that the database has.
///
/// # Errors
/// Storage faults.
pub async fn status(options: &PgConnectOptions) -> Result<Vec<Step>, sqlx::Error> {
    let mut connection = options.clone().options([("search_path", "vestibule,public")]).connect().await?;
    let mut known: Vec<(i64, String)> = Vec::new();
    if applied(&mut connection).await? > 0 {
        known = sqlx::query_as::<Postgres, _>(
            "select version, description from _sqlx_migrations where success order by version",
        )
        .fetch_all(&mut connection)
        .await?;
    }
    connection.close().await?;
    let is_known = |version| known.iter().any(|(number, _)| *number == version);
    let ours = MIGRATOR.iter().map(|migration| Step {
        version: migration.version,
        description: migration.description.to_string(),
        applied: is_known(migration.version),
    });
    let mut steps: Vec<Step> = ours.collect();
    let newest = steps.iter().map(|step| step.version).max().unwrap_or(0);
    let later = known.into_iter().filter(|(version, _)| *version > newest);
    steps.extend(later.map(|(version, description)| Step { version, description, applied: true }));
    Ok(steps)
}

/// True if every migration of this binary has been applied (later ones may have been, too: a newer replica runs).
///
/// # Errors
/// Storage faults.
pub async fn is_current(db: &pool::PgPool) -> Result<bool, sqlx::Error> {
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
pub async fn clock(db: &mut pool::PgConnection) -> sqlx::Result<crate::model::time::Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(db).await
}
