//! The one way to run a transaction: begun, run, committed, and run once more after a conflict with somebody else's.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use scoped_futures::ScopedBoxFuture;
pub use scoped_futures::ScopedFutureExt;

use super::{InstanceConnection, is_interrupted, violates};
use crate::model::problem::{Code, Error, Problem, code};

/// How often a transaction is run before its caller is refused.
const RUNS: u32 = 3;

/// The longest wait before the second run, in milliseconds; before the third it is twice as long.
const JITTER: u64 = 20;

/// Keys that two requests at once can both want; the second decides again by what is true then.
const CONTESTED: [&str; 5] = [
    "external_accounts_identity_key",
    "identifications_claimed_key",
    "client_tokens_generation_key",
    "users_username_key",
    // The address that an account was to be linked by went to somebody else.
    "external_accounts_email_identification_fkey",
];

/// Why nothing of a transaction lasts.
pub enum Aborted<E = Error> {
    /// Somebody else took the identity, the address or the name first, or the database ended this transaction for
    /// another's sake (class 40): [`transact`] runs it again.
    Conflict,
    /// A refusal or fault.
    Error(E),
}

impl<E> Aborted<E> {
    /// Because of `error`: for `map_err` where a `?` cannot know which error is meant.
    pub fn by(error: impl Into<E>) -> Self {
        Self::Error(error.into())
    }
}

fn is_conflict(error: &sqlx::Error) -> bool {
    is_interrupted(error) || CONTESTED.iter().any(|key| violates(error, key))
}

impl<E: From<Error>> From<sqlx::Error> for Aborted<E> {
    fn from(error: sqlx::Error) -> Self {
        if is_conflict(&error) { Self::Conflict } else { Self::Error(Error::from(error).into()) }
    }
}

impl From<Error> for Aborted {
    fn from(error: Error) -> Self {
        match &error {
            // A function that returns `Error` wraps what the database said in a fault: it is the same conflict.
            Error::Fault(fault) if fault.source.downcast_ref().is_some_and(is_conflict) => Self::Conflict,
            _ => Self::Error(error),
        }
    }
}

impl From<Code> for Aborted {
    fn from(code: Code) -> Self {
        Self::Error(code.into())
    }
}

impl From<Problem> for Aborted {
    fn from(problem: Problem) -> Self {
        Self::Error(problem.into())
    }
}

/// What a transaction that lasts came to.
#[must_use]
pub enum Committed<T> {
    /// What was asked for.
    Done(T),
    /// A refusal that leaves something behind: a guess is counted, an attempt says why it failed.
    Refused(Problem),
}

impl<T> Committed<T> {
    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Committed<U> {
        match self {
            Self::Done(value) => Committed::Done(change(value)),
            Self::Refused(problem) => Committed::Refused(problem),
        }
    }
}

/// Runs `run` in a transaction and commits what it did; an error takes all of it back. After a conflict it runs again,
/// so it must have no effect but on the database; steps of the flow log are the exception, and stand there once per run.
/// `name` is what conflicts are logged and counted by.
///
/// A statement that failed has ended the transaction, and PostgreSQL does not say so at the commit: a `run` that goes on
/// after an error, and returns [`Committed`], commits nothing. Such an error is caught in a savepoint
/// ([`InstanceConnection::begin`]).
///
/// # Errors
/// Those of `run`; what it was [`Committed::Refused`] with; `resource_locked` after a conflict in each run; storage faults.
pub async fn transact<'a, T: Send + 'a, E: From<Error> + Send + 'a>(
    mut db: InstanceConnection<'a>,
    name: &'static str,
    mut run: impl for<'c> FnMut(&'c mut InstanceConnection<'c>) -> ScopedBoxFuture<'a, 'c, Result<Committed<T>, Aborted<E>>>
    + Send,
) -> Result<T, E> {
    for number in 1..=RUNS {
        let mut tx = db.begin().await.map_err(Error::from)?;
        let outcome = match run(&mut tx.connection()).await {
            Ok(committed) => tx.commit().await.map(|()| committed).map_err(Aborted::from),
            Err(aborted) => {
                // Rolled back off the request's path, and before any wait: others want its locks.
                drop(tx);
                Err(aborted)
            }
        };
        match outcome {
            Ok(Committed::Done(value)) => return Ok(value),
            Ok(Committed::Refused(problem)) => return Err(Error::from(problem).into()),
            Err(Aborted::Error(error)) => return Err(error),
            Err(Aborted::Conflict) => {
                tracing::info!(transaction = name, run = number, "conflict");
                db.count_conflict(name);
                if number < RUNS {
                    tokio::time::sleep(jitter(number)).await;
                }
            }
        }
    }
    Err(Error::from(code::RESOURCE_LOCKED).into())
}

/// A random wait, so that two that met do not meet again.
fn jitter(number: u32) -> Duration {
    let random = RandomState::new().hash_one(number);
    Duration::from_millis(random % (JITTER * u64::from(number)))
}
