//! Why a transaction did not settle: somebody else was first, or an error.

use crate::model::problem::{Error, Problem};
use crate::store::violates;

/// How often a lost race is decided again.
pub const TRIES: u8 = 3;

/// What two requests at once can both want; the loser decides again by what is true then.
const RACES: [&str; 4] = [
    "external_accounts_identity_key",
    "identifications_claimed_key",
    "client_tokens_generation_key",
    "users_username_key",
];

/// Why a transaction did not settle.
pub enum Interrupted {
    /// Somebody else took the identity, the address or the name first: roll back and decide again, [`TRIES`] times.
    Lost,
    /// A refusal or fault.
    Error(Error),
}

impl From<sqlx::Error> for Interrupted {
    fn from(error: sqlx::Error) -> Self {
        if RACES.iter().any(|key| violates(&error, key)) { Self::Lost } else { Self::Error(error.into()) }
    }
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Problem> for Interrupted {
    fn from(problem: Problem) -> Self {
        Self::Error(problem.into())
    }
}
