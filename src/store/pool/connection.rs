//! A connection whose statements have a limit of time, and transactions on it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, TryFutureExt};
use futures_util::stream::{BoxStream, StreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Either, Execute, Executor, Postgres, SqlStr};

use super::limit::{self, Doubt};

/// A connection of the pool, which goes back there when it is dropped.
#[derive(Debug)]
pub struct PgConnection {
    /// `None` once it went back.
    pooled: Option<sqlx::pool::PoolConnection<Postgres>>,
    limit: Duration,
    doubt: Arc<Doubt>,
    /// A statement was sent whose answer has not come: whatever comes next may belong to it.
    is_unanswered: bool,
    /// How deep in transactions the caller is.
    depth: usize,
    /// To which depth the server still has to roll back before it does anything else.
    owed: Option<usize>,
}

impl PgConnection {
    /// A transaction, or a savepoint in the one under way. Rolled back unless it is committed.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn begin(&mut self) -> sqlx::Result<Transaction<'_>> {
        self.enter().await?;
        Ok(Transaction { connection: Held::Lent(self), is_open: true })
    }

    /// The raw connection, for one statement: until it is answered nothing else may be sent. Rolls back first what is
    /// owed.
    async fn send(&mut self) -> sqlx::Result<&mut sqlx::PgConnection> {
        if self.is_unanswered || limit::is_spent() {
            return Err(limit::unanswered());
        }
        let Some(raw) = self.pooled.as_deref_mut() else { return Err(sqlx::Error::PoolClosed) };
        // Stays true if this future, or that of the statement, is given up.
        self.is_unanswered = true;
        if let Some(depth) = self.owed {
            limit::answering(self.limit, raw.execute(rollback_to(depth))).await??;
            self.owed = None;
        }
        Ok(raw)
    }

    async fn enter(&mut self) -> sqlx::Result<()> {
        let statement = match self.depth {
            0 => "begin".to_owned(),
            depth => format!("savepoint s{depth}"),
        };
        self.execute_control(statement).await?;
        self.depth += 1;
        Ok(())
    }

    /// Sends one of our own statements about transactions.
    async fn execute_control(&mut self, statement: String) -> sqlx::Result<()> {
        let limit = self.limit;
        let answer = limit::answering(limit, self.send().await?.execute(AssertSqlSafe(statement))).await?;
        self.is_unanswered = false;
        answer.map(drop)
    }
}

fn rollback_to(depth: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(match depth {
        0 => "rollback".to_owned(),
        depth => format!("rollback to savepoint s{depth}"),
    })
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        let Some(mut pooled) = self.pooled.take() else { return };
        if self.is_unanswered {
            // Its request was given up, or the path is dead: then the others may be, too.
            self.doubt.raise();
            pooled.close_on_drop();
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // Nobody is left to talk to the database: not awaited, this closes the socket.
            return drop(pooled.return_to_pool());
        };
        runtime.spawn(give_back(pooled, self.owed, self.limit, Arc::clone(&self.doubt)));
    }
}

/// Rolls back what is owed and puts the connection into the pool, or closes it if the database does not answer.
async fn give_back(
    mut pooled: sqlx::pool::PoolConnection<Postgres>,
    owed: Option<usize>,
    limit: Duration,
    doubt: Arc<Doubt>,
) {
    if let Some(depth) = owed
        && !matches!(tokio::time::timeout(limit, pooled.execute(rollback_to(depth))).await, Ok(Ok(_)))
    {
        doubt.raise();
        pooled.close_on_drop();
        return;
    }
    // Given up, this closes the connection; what sqlx does when a connection is dropped waits without limit.
    if tokio::time::timeout(limit, pooled.return_to_pool()).await.is_err() {
        doubt.raise();
        tracing::warn!("closed a connection on which the database did not answer");
    }
}

impl<'c> Executor<'c> for &'c mut PgConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let limit = self.limit;
            let rows = self.send().await?.fetch_many(query).collect::<Vec<_>>();
            let rows = limit::answering(limit, rows).await?;
            self.is_unanswered = false;
            Ok(futures_util::stream::iter(rows))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let limit = self.limit;
            let answer = limit::answering(limit, self.send().await?.fetch_optional(query)).await?;
            self.is_unanswered = false;
            answer
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        async move {
            let limit = self.limit;
            let answer = limit::answering(limit, self.send().await?.prepare_with(sql, parameters)).await?;
            self.is_unanswered = false;
            answer
        }
        .boxed()
    }
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        async move {
            let limit = self.limit;
            let answer = limit::answering(limit, self.send().await?.describe(sql)).await?;
            self.is_unanswered = false;
            answer
        }
        .boxed()
    }
}

/// A connection that belongs to its holder.
#[derive(Debug)]
pub struct PoolConnection(PgConnection);

impl PoolConnection {
    pub(super) fn new(pooled: sqlx::pool::PoolConnection<Postgres>, limit: Duration, doubt: Arc<Doubt>) -> Self {
        Self(PgConnection { pooled: Some(pooled), limit, doubt, is_unanswered: false, depth: 0, owed: None })
    }
}

impl Deref for PoolConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for PoolConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// A transaction, or a savepoint in one. Rolled back when it is dropped.
#[derive(Debug)]
pub struct Transaction<'c> {
    connection: Held<'c>,
    is_open: bool,
}

#[derive(Debug)]
enum Held<'c> {
    Own(PoolConnection),
    Lent(&'c mut PgConnection),
}

impl Transaction<'static> {
    pub(super) async fn begin_on(mut connection: PoolConnection) -> sqlx::Result<Self> {
        connection.enter().await?;
        Ok(Self { connection: Held::Own(connection), is_open: true })
    }
}

impl Transaction<'_> {
    /// Makes it last.
    ///
    /// # Errors
    /// Storage faults. If no answer came, nobody knows whether it lasts.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        let level = self.level();
        let statement = match level {
            0 => "commit".to_owned(),
            level => format!("release savepoint s{level}"),
        };
        let outcome = self.execute_control(statement).await;
        // A commit that the server refuses has ended the transaction, too.
        if outcome.is_ok() || (level == 0 && matches!(outcome, Err(sqlx::Error::Database(_)))) {
            self.end();
        }
        outcome
    }

    /// Takes it back.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        let AssertSqlSafe(statement) = rollback_to(self.level());
        self.execute_control(statement).await?;
        self.end();
        Ok(())
    }

    /// How many others it is in.
    fn level(&self) -> usize {
        self.depth.saturating_sub(1)
    }

    fn end(&mut self) {
        self.depth = self.level();
        self.is_open = false;
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.end();
            self.owed = Some(self.depth);
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.connection {
            Held::Own(connection) => connection,
            Held::Lent(connection) => connection,
        }
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.connection {
            Held::Own(connection) => connection,
            Held::Lent(connection) => connection,
        }
    }
}
