//! Limits of time: of one wait, of all waits of a request; and doubt about connections after one did not answer.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

tokio::task_local! {
    static BUDGET: Budget;
}

/// What is left to a request.
struct Budget {
    /// For waiting for connections.
    wait: Cell<Duration>,
    /// For waiting for the database in all.
    all: Cell<Duration>,
}

/// Runs a request with a budget of its own.
pub(super) async fn limited<F: Future>(wait: Duration, all: Duration, request: F) -> F::Output {
    BUDGET.scope(Budget { wait: Cell::new(wait), all: Cell::new(all) }, request).await
}

/// Waits for a connection.
pub(super) async fn waiting<T>(limit: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let left = BUDGET.try_with(|budget| budget.wait.get().min(budget.all.get())).unwrap_or(limit);
    let begun = Instant::now();
    let outcome = timeout(limit.min(left), work).await;
    spend(begun.elapsed(), |budget| &budget.wait);
    outcome.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Waits for the answer to a statement. The outer error says that none came in time.
pub(super) async fn answering<T>(limit: Duration, work: impl Future<Output = T>) -> sqlx::Result<T> {
    let left = BUDGET.try_with(|budget| budget.all.get()).unwrap_or(limit);
    let begun = Instant::now();
    let outcome = timeout(limit.min(left), work).await;
    spend(begun.elapsed(), |budget| &budget.all);
    outcome.map_err(|_| unanswered())
}

/// True if the request has no time left for another statement.
pub(super) fn is_spent() -> bool {
    BUDGET.try_with(|budget| budget.all.get().is_zero()).unwrap_or(false)
}

fn spend(took: Duration, from: impl FnOnce(&Budget) -> &Cell<Duration>) {
    let _ = BUDGET.try_with(|budget| {
        let part = from(budget);
        part.set(part.get().saturating_sub(took));
        if !std::ptr::eq(part, &raw const budget.all) {
            budget.all.set(budget.all.get().saturating_sub(took));
        }
    });
}

/// The database did not answer in time: passes by itself.
pub(super) fn unanswered() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"))
}

/// Since when resting connections may be dead.
#[derive(Debug, Default)]
pub(super) struct Doubt(Mutex<Option<Instant>>);

impl Doubt {
    /// Doubts every connection that rests now.
    pub(super) fn raise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection that has rested so long was not heard of since.
    pub(super) fn covers(&self, rested: Duration) -> bool {
        let raised = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raised.is_some_and(|at| at.elapsed() <= rested)
    }
}
