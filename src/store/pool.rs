//! The connection pool. Its types have the names of sqlx's and take their place: here every statement, every wait for a
//! connection and every return of one has a limit of time on our side, and no statement can be sent past it.
//!
//! The limits of the server (`statement_timeout`) do not help when its answers no longer arrive: a path that dies
//! silently (a failover, a firewall that forgets, a frozen host) leaves connections that swallow everything. A
//! connection that did not answer in time, or whose statement was given up, is closed and never used again; the others
//! are then tried before their next use. sqlx opens the sockets itself and offers no way to set TCP keepalive or
//! `TCP_USER_TIMEOUT` on them, so these limits do all the work.

mod connection;
mod limit;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use futures_util::{FutureExt, TryFutureExt};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection, Describe, Either, Execute, Executor, Postgres, SqlStr};

pub use connection::{PgConnection, PoolConnection, Transaction};
use limit::{Doubt, limited};

use crate::config;

/// Statements kept prepared per connection: all of fixed text and the built lists in common use; of the others the one
/// used least recently goes first.
const STATEMENTS: usize = 512;
/// How long a connection in doubt may take to show that it lives.
const TRIAL: Duration = Duration::from_secs(1);

/// A pool that opens its connections when they are needed.
///
/// Time limits of statements, locks and idle transactions on the server and the `search_path` are the role's (set by
/// `migrate`): as start-up parameters a transaction-pooling proxy would refuse them.
pub fn open(options: PgConnectOptions, config: &config::Database) -> PgPool {
    let doubt = Arc::new(Doubt::default());
    let doubted = Arc::clone(&doubt);
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        // Its own upkeep opens connections without a limit of time; see `keep_warm`.
        .min_connections(0)
        .acquire_timeout(config.acquire_timeout)
        // A ping before each use would cost a round trip on every request.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let is_doubted = doubted.covers(meta.idle_for);
            async move {
                Ok(!is_doubted || tokio::time::timeout(TRIAL, connection.ping()).await.is_ok_and(|pong| pong.is_ok()))
            }
            .boxed()
        })
        .connect_lazy_with(options.application_name("vestibule").statement_cache_capacity(STATEMENTS));
    PgPool {
        pool,
        doubt,
        wait: config.acquire_timeout,
        limit: config.statement_timeout,
        min_connections: config.min_connections.min(config.max_connections),
        conflicts: Arc::default(),
    }
}

/// A pool of connections, each statement on which has a limit of time.
#[derive(Clone, Debug)]
pub struct PgPool {
    pool: sqlx::PgPool,
    doubt: Arc<Doubt>,
    /// How long waiting for a connection may take.
    wait: Duration,
    /// How long a statement, or the return of a connection, may take.
    limit: Duration,
    min_connections: u32,
    /// Conflicts of transactions so far, by the transaction's name.
    conflicts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl PgPool {
    /// A connection, once one is free.
    ///
    /// # Errors
    /// `PoolTimedOut`, and what connecting says.
    pub async fn acquire(&self) -> sqlx::Result<PoolConnection> {
        let connection = limit::waiting(self.wait, self.pool.acquire()).await?;
        Ok(PoolConnection::new(connection, self.limit, Arc::clone(&self.doubt)))
    }

    /// A transaction on a connection of its own.
    ///
    /// # Errors
    /// Those of [`Self::acquire`], storage faults.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static>> {
        Transaction::begin_on(self.acquire().await?).await
    }

    /// Lets `work` (a request) wait for connections no longer than one wait may take in all, and for the database no
    /// longer than one statement may take in all: however many statements it has, its answer is not late.
    pub async fn within_budget<F: Future>(&self, work: F) -> F::Output {
        limited(self.wait, self.limit, work).await
    }

    /// From now on a connection that rests in the pool is tried before its next use.
    pub fn doubt(&self) {
        self.doubt.raise();
    }

    /// Counts a conflict of the transaction `name`.
    pub(super) fn count_conflict(&self, name: &'static str) {
        *self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    /// How often each transaction met a conflict and was rolled back, since this process began.
    pub fn conflicts(&self) -> BTreeMap<&'static str, u64> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens connections until there are as many as are to be kept ready, unless the pool is busy or the database away.
    pub async fn keep_warm(&self) {
        if self.pool.size() >= self.min_connections {
            return;
        }
        // Those that rest are handed out first, so all are taken, and given back together.
        let opened = (0..self.min_connections).map(|_| self.pool.acquire());
        let opened = futures_util::future::join_all(opened).await;
        for connection in opened.into_iter().flatten() {
            drop(PoolConnection::new(connection, self.limit, Arc::clone(&self.doubt)));
        }
    }

    /// Connections that are open, in use or not.
    pub fn size(&self) -> u32 {
        self.pool.size()
    }

    /// Connections that rest.
    pub fn num_idle(&self) -> usize {
        self.pool.num_idle()
    }

    /// Closes every connection, waiting for those in use no longer than a statement may take.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(self.limit, self.pool.close()).await;
    }
}

/// One statement on any connection. Rows are handed out once all have arrived, so that the connection is held no longer
/// than the database takes.
impl<'c> Executor<'c> for &PgPool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move {
            let mut connection = pool.acquire().await?;
            Ok(futures_util::stream::iter(connection.fetch_many(query).collect::<Vec<_>>().await))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        let pool = self.clone();
        async move { pool.acquire().await?.describe(sql).await }.boxed()
    }
}
