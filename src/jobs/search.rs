//! Computes what searches for users find them by, where another version or a hand at the database wrote their names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stop;
use crate::app::App;
use crate::store::user_search;

/// How often rows that wait are looked for.
const LOOK: Duration = Duration::from_secs(60);
/// Rows at a time: each is written into the index some fifty times.
const BATCH: i64 = 500;

/// Every replica takes part: rows that another one works on are passed over.
pub(super) async fn run(app: Arc<App>, mut stop: Stop) {
    loop {
        let begun = Instant::now();
        let wait = match user_search::fill(&app.db, BATCH).await {
            // As long as a batch took, requests have the database for themselves.
            Ok(filled) if filled >= BATCH.unsigned_abs() => begun.elapsed(),
            Ok(_) => LOOK,
            Err(error) => {
                tracing::warn!(%error, "what searches find users by could not be computed");
                LOOK
            }
        };
        if stop.within(wait).await {
            return;
        }
    }
}
