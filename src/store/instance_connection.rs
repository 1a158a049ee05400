//! The database as the statements of one instance see it: on which connection, whose rows, and what time it is there.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, Postgres, SqlStr};

use super::interval;
use super::pool::{PgConnection, PgPool, Transaction};
use crate::model::id::InstanceId;

/// First argument of every statement about an instance's rows.
#[derive(Debug)]
pub struct InstanceConnection<'c> {
    on: On<'c>,
    instance: &'c InstanceId,
    clock_offset: time::Duration,
}

#[derive(Debug)]
enum On<'c> {
    /// Each statement takes a connection of its own and gives it back.
    Pool(&'c PgPool),
    Connection(&'c mut PgConnection),
}

impl<'c> InstanceConnection<'c> {
    /// For statements that need not see each other's transaction. `clock_offset` is how far the instance's clock is
    /// moved.
    pub fn of_pool(pool: &'c PgPool, instance: &'c InstanceId, clock_offset: time::Duration) -> Self {
        Self { on: On::Pool(pool), instance, clock_offset }
    }

    /// The same on a connection, or in the transaction that is open there.
    pub fn on(connection: &'c mut PgConnection, instance: &'c InstanceId, clock_offset: time::Duration) -> Self {
        Self { on: On::Connection(connection), instance, clock_offset }
    }

    /// Whose rows.
    pub fn instance(&self) -> &'c InstanceId {
        self.instance
    }

    /// `now() + $offset` is the instance's time: what a user can see expire is compared with it.
    pub fn offset(&self) -> PgInterval {
        interval::of(self.clock_offset)
    }

    /// A transaction, or a savepoint in the one under way. Rolled back unless it is committed.
    ///
    /// # Errors
    /// No connection, storage faults.
    pub async fn begin(&mut self) -> sqlx::Result<InstanceTransaction<'_>> {
        let transaction = match &mut self.on {
            On::Pool(pool) => pool.begin().await?,
            On::Connection(connection) => connection.begin().await?,
        };
        Ok(InstanceTransaction { transaction, instance: self.instance, clock_offset: self.clock_offset })
    }
}

impl InstanceConnection<'_> {
    /// Counts a conflict of the transaction `name`.
    pub(super) fn count_conflict(&self, name: &'static str) {
        if let On::Pool(pool) = &self.on {
            pool.count_conflict(name);
        }
    }
}

/// A transaction about one instance. Rolled back when it is dropped.
#[derive(Debug)]
pub struct InstanceTransaction<'c> {
    transaction: Transaction<'c>,
    instance: &'c InstanceId,
    clock_offset: time::Duration,
}

impl InstanceTransaction<'_> {
    /// For statements in it.
    pub fn connection(&mut self) -> InstanceConnection<'_> {
        InstanceConnection::on(&mut self.transaction, self.instance, self.clock_offset)
    }

    /// Makes it last.
    ///
    /// # Errors
    /// Those of [`Transaction::commit`].
    pub async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await
    }

    /// Takes it back.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}

impl<'t> Executor<'t> for &'t mut InstanceConnection<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match &mut self.on {
            On::Pool(pool) => pool.fetch_many(query),
            On::Connection(connection) => connection.fetch_many(query),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match &mut self.on {
            On::Pool(pool) => pool.fetch_optional(query),
            On::Connection(connection) => connection.fetch_optional(query),
        }
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        't: 'e,
    {
        match &mut self.on {
            On::Pool(pool) => pool.prepare_with(sql, parameters),
            On::Connection(connection) => connection.prepare_with(sql, parameters),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        't: 'e,
    {
        match &mut self.on {
            On::Pool(pool) => pool.describe(sql),
            On::Connection(connection) => connection.describe(sql),
        }
    }
}
