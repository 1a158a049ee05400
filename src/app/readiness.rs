//! Whether this replica can serve. Asked by anybody, so the database is asked at most once a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store;
use crate::store::pool::PgPool;

/// How long an answer is good for; the promise is "within the last 2 s".
const FRESH: Duration = Duration::from_secs(1);
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The server was asked to stop.
    Draining,
    /// No connection was usable.
    Database,
    /// Migrations are missing.
    Schema,
}

impl Lacking {
    /// As `/readyz` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Database => "database",
            Self::Schema => "schema",
        }
    }
}

/// The last look at the database.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Result<(), Lacking>)>>);

impl Readiness {
    pub(super) async fn look(&self, db: &PgPool) -> Result<(), Lacking> {
        if let Some((at, verdict)) = self.last()
            && at.elapsed() < FRESH
        {
            return verdict;
        }
        let verdict = match tokio::time::timeout(PATIENCE, store::schema::is_current(db)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Lacking::Schema),
            Ok(Err(_)) | Err(_) => Err(Lacking::Database),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), verdict));
        verdict
    }

    fn last(&self) -> Option<(Instant, Result<(), Lacking>)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
