//! The connection pool.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config;

/// Statements kept prepared per connection: more than the program has.
const STATEMENTS: usize = 512;

/// A pool that opens its connections when they are needed.
///
/// Time limits of statements, locks and idle transactions and the `search_path` are the role's (set by `migrate`): as
/// start-up parameters a transaction-pooling proxy would refuse them.
pub fn open(options: PgConnectOptions, config: &config::Database) -> PgPool {
    PgPoolOptions::new()
        .max_connections(config.max_connections)
        .min_connections(config.min_connections.min(config.max_connections))
        .acquire_timeout(config.acquire_timeout)
        // A ping before each use would cost a round trip on every request.
        .test_before_acquire(false)
        .connect_lazy_with(options.application_name("vestibule").statement_cache_capacity(STATEMENTS))
}

/// Closes the connections that rest in the pool: after an outage they are dead, and each would fail one request.
/// Returns how many there were.
pub async fn forget_idle(db: &PgPool) -> usize {
    let mut closed = 0;
    while let Some(connection) = db.try_acquire() {
        drop(connection.detach());
        closed += 1;
        if closed > db.options().get_max_connections() as usize {
            break;
        }
    }
    closed
}
