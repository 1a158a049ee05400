//! Every SQL statement of the program, one file per aggregate. Functions are named for what they mean to an action;
//! each statement names the instance it is about, and what may happen once is one statement.
//!
//! Knows rows and keys; decides nothing and waits for nothing but the database. May name `crypto` and `model`.
//! Transactions are opened by actions and passed in; statements of fixed text are checked at compile time against the
//! schema in `migrations/` (`.sqlx/`).

pub mod addresses;
pub mod attempts;
pub mod audit;
pub mod bans;
pub mod channel;
pub mod clients;
pub mod connections;
pub mod directory;
pub mod erase;
pub mod external_accounts;
pub mod flows;
pub mod handshakes;
pub mod inbox;
mod instance_connection;
pub mod instances;
pub mod interval;
pub mod jobs;
pub mod lockouts;
pub mod nonces;
pub mod oauth_applications;
pub mod oauth_codes;
pub mod oauth_families;
pub mod oauth_grants;
pub mod oauth_tokens;
pub mod outbox;
pub mod password_sign_ins;
pub mod pool;
pub mod provider_authorizations;
pub mod provider_configs;
pub mod provider_tokens;
pub mod rate_limits;
pub mod redirect_urls;
pub mod retention;
pub mod ring_keys;
pub mod schema;
pub mod sealed;
pub mod secret_keys;
pub mod sessions;
pub mod sign_ins;
pub mod sign_ups;
pub mod signing_keys;
pub mod simulator;
pub mod simulator_switches;
pub mod transact;
pub mod user_lists;
pub mod user_passwords;
pub mod user_search;
pub mod users;
pub mod verifications;

pub use instance_connection::{InstanceConnection, InstanceTransaction};

use crate::model::problem::Error;

/// The migrations, compiled in. Forward only.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl From<sqlx::Error> for Error {
    /// Storage that is away or busy passes by itself; everything else is a bug.
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::unavailable(error) } else { Self::internal(error) }
    }
}

/// True for failures that say "not now": no connection, a full pool, a shutdown, a lock or statement timeout, a full
/// disk, a server that only reads at the moment, a lost race between serialized transactions.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
                || matches!(code.as_ref(), "25006" | "55P03")
        }),
        _ => false,
    }
}

/// True if the database rolled a transaction back for another's sake (class 40: a deadlock, a conflict of serialized
/// transactions): tried again as a whole, it may well succeed.
pub fn is_interrupted(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("40"))
}

/// True if `error` is a violation of the constraint or unique index `name`.
pub fn violates(error: &sqlx::Error, name: &str) -> bool {
    error.as_database_error().is_some_and(|database| database.constraint() == Some(name))
}
