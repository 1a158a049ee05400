//! Removes what is over: each remover on one replica at a time, a page at a time, for a while; then the next has its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Stop;
use crate::app::App;
use crate::store::jobs::{self, Trigger};
use crate::store::retention::{Mode, Position, REMOVERS, Remover, Waiting, Walk};

/// How often due removers are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// How long a remover goes on while others wait for their turn.
const TURN: Duration = Duration::from_secs(20);
/// How long a remover rests at most after a failure: an outage must not let rows pile up for a period of hours.
const AFTER_FAILURE: Duration = Duration::from_secs(600);
/// How long one may have it before another replica may take it: a turn, a statement that takes as long as it may, and the
/// count of what is left.
const LEASE: Duration = Duration::from_secs(60);
/// Pages that are counted to tell what waits.
const COUNTED: usize = 10;

/// Tasks of releases before, which nobody runs any more. Their rows go when a server starts; one of such a release, in an
/// upgrade of one replica after the other, would write them again.
const RETIRED: &[&str] = &[
    "empty_inboxes",
    "forget_abandoned_trips",
    "remove_old_attempts",
    "remove_old_flows",
    "remove_old_outbox",
    "remove_old_rate_limits",
    "remove_stale_connections",
];

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Another replica has it, or it is not due.
    NotTaken,
    /// Nothing is left.
    Finished,
    /// It goes on the next time.
    Unfinished,
}

pub(super) async fn run(app: Arc<App>, worker: String, mut stop: Stop) {
    if let Err(error) = jobs::forget(&app.db, RETIRED).await {
        tracing::debug!(%error, "tasks of releases before could not be forgotten");
    }
    loop {
        let mut is_unfinished = false;
        for remover in REMOVERS {
            if stop.within(Duration::ZERO).await {
                return;
            }
            match run_remover(&app, &worker, *remover, Trigger::Due, &mut stop).await {
                Ok(turn) => is_unfinished |= turn == RunOutcome::Unfinished,
                Err(error) => tracing::debug!(%error, task = remover.job(), "a periodic task could not be looked at"),
            }
        }
        // Whoever has more to do waits for the others, not for the next look.
        let wait = if is_unfinished { Duration::from_millis(100) } else { LOOK };
        if stop.within(wait).await {
            return;
        }
    }
}

/// Lets a remover work for a while if nobody else does. Then it is due again: at once if something is left, soon after a
/// failure, which is written down, and else after its period.
async fn run_remover(
    app: &App,
    worker: &str,
    remover: Remover,
    when: Trigger,
    stop: &mut Stop,
) -> sqlx::Result<RunOutcome> {
    let job = remover.job();
    let Some(position) = jobs::take(&app.db, &job, worker, LEASE, when).await? else { return Ok(RunOutcome::NotTaken) };
    let outcome = remove(app, worker, remover, position, stop).await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, task = job, "a periodic task failed");
    }
    let wait = match outcome {
        Ok(RunOutcome::Unfinished) => Duration::ZERO,
        Ok(RunOutcome::Finished | RunOutcome::NotTaken) => remover.period(),
        Err(_) => remover.period().min(AFTER_FAILURE),
    };
    let error = outcome.as_ref().err().map(ToString::to_string);
    jobs::give_back(&app.db, &job, worker, wait, error.as_deref()).await?;
    Ok(outcome.unwrap_or(RunOutcome::Finished))
}

async fn remove(
    app: &App,
    worker: &str,
    remover: Remover,
    position: Value,
    stop: &mut Stop,
) -> sqlx::Result<RunOutcome> {
    let position: Option<Position> = serde_json::from_value(position).ok();
    let went_on = position.is_some();
    let mut walk = Walk::begin(&app.db, remover, &app.config.retention, position).await?;
    let (begun, mut pages, mut removed) = (Instant::now(), 0_u64, 0);
    loop {
        let page_begun = Instant::now();
        removed += walk.next(&app.db, Mode::Remove).await?.removed;
        if walk.is_finished() && !went_on && pages == 0 {
            return Ok(RunOutcome::Finished);
        }
        let position = walk.position().map_or_else(|| json!({}), |position| json!(position));
        let is_ours = jobs::note_position(&app.db, &remover.job(), worker, &position).await?;
        if walk.is_finished() {
            return Ok(RunOutcome::Finished);
        }
        pages += 1;
        // As long as a page took, requests have the database for themselves.
        if !is_ours || begun.elapsed() > TURN || stop.within(page_begun.elapsed()).await {
            warn_of_backlog(app, remover, &walk, removed).await?;
            return Ok(RunOutcome::Unfinished);
        }
    }
}

async fn warn_of_backlog(app: &App, remover: Remover, walk: &Walk, removed: i64) -> sqlx::Result<()> {
    let waiting = walk.clone().waiting(&app.db, COUNTED).await?;
    if waiting.rows > 0 {
        let (table, at_least, overdue_seconds) = (remover.table(), waiting.rows, waiting.overdue.as_secs());
        tracing::warn!(table, removed, at_least, overdue_seconds, "rows that are over wait to be removed");
    }
    Ok(())
}

/// Removes now all that `remover` finds, whether or not it is due; `false` if another process does it at the moment.
///
/// # Errors
/// Storage faults.
pub async fn remove_now(app: &App, worker: &str, remover: Remover) -> sqlx::Result<bool> {
    let (_running, receiver) = tokio::sync::watch::channel(false);
    let mut stop = Stop(receiver);
    loop {
        match run_remover(app, worker, remover, Trigger::Now, &mut stop).await? {
            RunOutcome::NotTaken => return Ok(false),
            RunOutcome::Finished => return Ok(true),
            RunOutcome::Unfinished => {}
        }
    }
}

/// What waits for `remover`, as far as ten pages tell.
///
/// # Errors
/// Storage faults.
pub async fn waiting(app: &App, remover: Remover) -> sqlx::Result<Waiting> {
    Walk::begin(&app.db, remover, &app.config.retention, None).await?.waiting(&app.db, COUNTED).await
}
