//! Why a transaction did not commit: somebody else was first, or an error.

use crate::model::problem::{Error, Problem};
use crate::store::{is_interrupted, violates};

/// How often a lost race is decided again.
pub const TRIES: u8 = 3;

/// What two requests at once can both want; the loser decides again by what is true then.
const RACES: [&str; 5] = [
    "external_accounts_identity_key",
    "identifications_claimed_key",
    "client_tokens_generation_key",
    "users_username_key",
    // The address that an account was to be linked by went to somebody else.
    "external_accounts_email_identification_fkey",
];

/// Why a transaction did not commit.
pub enum Aborted {
    /// Somebody else took the identity, the address or the name first, or the database ended this transaction for
    /// another's sake: roll back and decide again, [`TRIES`] times.
    Conflict,
    /// A refusal or fault.
    Error(Error),
}

impl From<sqlx::Error> for Aborted {
    fn from(error: sqlx::Error) -> Self {
        if is_race(&error) { Self::Conflict } else { Self::Error(error.into()) }
    }
}

/// A deadlock was ended at the cost of this transaction, or somebody was first.
fn is_race(error: &sqlx::Error) -> bool {
    is_interrupted(error) || RACES.iter().any(|key| violates(error, key))
}

impl From<Error> for Aborted {
    fn from(error: Error) -> Self {
        match &error {
            // What has no answer of its own for a lost race passes it on as a fault.
            Error::Fault(fault) if fault.source.downcast_ref().is_some_and(is_interrupted) => Self::Conflict,
            _ => Self::Error(error),
        }
    }
}

impl From<Problem> for Aborted {
    fn from(problem: Problem) -> Self {
        Self::Error(problem.into())
    }
}
