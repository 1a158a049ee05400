//! Delivers side effects: at least once, in no promised order, several at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Stop;
use crate::actions::provider_auth::revoke_at_provider;
use crate::actions::verification::delivery;
use crate::app::App;
use crate::model::problem::{Error, Result};
use crate::store::outbox::{self, ClaimedEffect, Kind};

/// How often the outbox is looked at while it is empty: notifications can be lost.
const POLL: Duration = Duration::from_secs(2);
/// Attempts before a side effect is given up.
const ATTEMPTS: i16 = 10;

pub(super) async fn run(app: Arc<App>, worker: String, mut stop: Stop) {
    let size = i64::try_from(app.config.jobs.workers).unwrap_or(1);
    loop {
        let taken = match outbox::take(&app.db, &worker, size).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::debug!(%error, "the outbox could not be read");
                Vec::new()
            }
        };
        let was_full = i64::try_from(taken.len()).is_ok_and(|count| count == size);
        deliver_all(&app, &worker, taken).await;
        let wait = if was_full { Duration::ZERO } else { POLL };
        if stop.within(wait).await {
            break;
        }
    }
    let _ = outbox::release(&app.db, &worker).await;
}

async fn deliver_all(app: &Arc<App>, worker: &str, taken: Vec<ClaimedEffect>) {
    let mut tasks = JoinSet::new();
    for effect in taken {
        let (app, worker) = (Arc::clone(app), worker.to_owned());
        tasks.spawn(async move {
            let delivered = deliver(&app, &effect).await;
            if let Err(error) = note(&app, &worker, &effect, delivered).await {
                // Its lease ends, and somebody delivers it once more.
                tracing::warn!(%error, id = effect.id, "a delivery could not be noted");
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Does what one side effect is about.
async fn deliver(app: &Arc<App>, effect: &ClaimedEffect) -> Result<()> {
    match &effect.kind {
        // Nobody can subscribe yet; the row itself is what later subscribers will read.
        Ok(Kind::Event) => Ok(()),
        Ok(Kind::Mail) => delivery::deliver(app, effect).await,
        Ok(Kind::ProviderRevoke) => revoke_at_provider::deliver(app, effect).await,
        Err(other) => Err(Error::internal(format!("this version does not know side effects of kind {other}"))),
    }
}

async fn note(app: &App, worker: &str, effect: &ClaimedEffect, delivered: Result<()>) -> sqlx::Result<()> {
    let Err(error) = delivered else { return outbox::finish(&app.db, worker, effect).await };
    let wait = (effect.attempts < ATTEMPTS).then(|| pause(effect.attempts));
    tracing::warn!(%error, id = effect.id, attempts = effect.attempts, "a side effect failed");
    outbox::put_back(&app.db, worker, effect, &error.to_string(), wait).await
}

/// 5 s, 20 s, 80 s … at most an hour.
fn pause(attempts: i16) -> Duration {
    let doubled = u32::try_from(attempts.clamp(1, 6)).unwrap_or(1);
    Duration::from_secs(5 * 4_u64.pow(doubled - 1)).min(Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<u64> = (1..=10).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(seconds, [5, 20, 80, 320, 1280, 3600, 3600, 3600, 3600, 3600]);
    }
}
