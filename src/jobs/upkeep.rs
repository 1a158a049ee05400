//! What each replica does for itself, whether or not it works on the outbox.

use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::app::App;
use crate::store::ring_keys;

/// How often the database's clock is looked at.
const CLOCK: Duration = Duration::from_secs(30);
/// From which offset on somebody should look at the machine's clock.
const SKEW: time::Duration = time::Duration::seconds(2);

/// Every half minute: clock, counts of sealed values, connections that are to be ready.
pub(super) async fn run(app: Arc<App>, mut stop: Stop) {
    while !stop.within(CLOCK).await {
        measure(&app).await;
        count_seals(&app).await;
        app.db.keep_warm().await;
    }
    count_seals(&app).await;
}

async fn measure(app: &App) {
    match app.clock.measure(&app.db).await {
        Ok(offset) if offset.abs() > SKEW => {
            let seconds = offset.as_seconds_f64();
            tracing::warn!(seconds, "this machine's clock differs from the database's");
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "the database's clock could not be read"),
    }
}

/// Adds to the counts that warn before a key has sealed too often.
async fn count_seals(app: &App) {
    let counts = app.ring.take_seals();
    if counts.is_empty() {
        return;
    }
    if let Err(error) = ring_keys::add_seals(&app.db, &counts).await {
        tracing::debug!(%error, "counts of sealed values were lost");
    }
}
