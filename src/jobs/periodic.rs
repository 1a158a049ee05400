//! Tasks that some replica does from time to time.

use std::sync::Arc;
use std::time::Duration;

use super::Stop;
use crate::app::App;
use crate::flows::inspector::KEPT;
use crate::store::{connections, flows, inbox, jobs, leftovers, outbox, rate_limits, social_flows};

/// How often due tasks are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// How long a task may take before another replica may take it.
const LEASE: Duration = Duration::from_secs(600);
/// Rows removed at once.
const BATCH: i64 = 1_000;

/// A periodic task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Removes side effects done long ago.
    RemoveOldOutbox,
    /// Removes logs of rate limits that nobody has written into for long.
    RemoveOldRateLimits,
    /// Removes messages of development inboxes.
    EmptyInboxes,
    /// Removes flows from the inspector's record.
    RemoveOldFlows,
    /// Removes accounts that nobody came back to connect.
    RemoveStaleConnections,
    /// Empties trips to providers that nobody can go on from, and removes old ones.
    ForgetAbandonedTrips,
    /// Removes attempts that are over, and proofs that newer ones superseded.
    RemoveOldAttempts,
}

impl Task {
    const ALL: &[Self] = &[
        Self::RemoveOldOutbox,
        Self::RemoveOldRateLimits,
        Self::EmptyInboxes,
        Self::RemoveOldFlows,
        Self::RemoveStaleConnections,
        Self::ForgetAbandonedTrips,
        Self::RemoveOldAttempts,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::RemoveOldOutbox => "remove_old_outbox",
            Self::RemoveOldRateLimits => "remove_old_rate_limits",
            Self::EmptyInboxes => "empty_inboxes",
            Self::RemoveOldFlows => "remove_old_flows",
            Self::RemoveStaleConnections => "remove_stale_connections",
            Self::ForgetAbandonedTrips => "forget_abandoned_trips",
            Self::RemoveOldAttempts => "remove_old_attempts",
        }
    }

    fn period(self) -> Duration {
        match self {
            Self::RemoveOldOutbox
            | Self::RemoveOldRateLimits
            | Self::EmptyInboxes
            | Self::RemoveOldFlows
            | Self::RemoveOldAttempts => Duration::from_secs(3600),
            Self::RemoveStaleConnections | Self::ForgetAbandonedTrips => Duration::from_secs(600),
        }
    }

    async fn run(self, app: &App) -> sqlx::Result<()> {
        match self {
            Self::RemoveOldOutbox => while outbox::remove_old(&app.db, BATCH).await? == BATCH.unsigned_abs() {},
            Self::RemoveOldRateLimits => {
                while rate_limits::remove_old(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
            }
            Self::EmptyInboxes => while inbox::remove_old(&app.db, BATCH).await? == BATCH.unsigned_abs() {},
            Self::RemoveOldFlows => {
                while flows::remove_old(&app.db, app.clock.now(), KEPT, BATCH).await? >= BATCH.unsigned_abs() {}
            }
            Self::RemoveStaleConnections => {
                while connections::remove_stale(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
            }
            Self::ForgetAbandonedTrips => {
                while social_flows::forget_abandoned(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
                while social_flows::remove_old(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
            }
            Self::RemoveOldAttempts => {
                while leftovers::remove_sign_ins(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
                while leftovers::remove_sign_ups(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
                while leftovers::remove_superseded(&app.db, BATCH).await? == BATCH.unsigned_abs() {}
            }
        }
        Ok(())
    }
}

pub(super) async fn run(app: Arc<App>, worker: String, mut stop: Stop) {
    loop {
        for task in Task::ALL {
            if let Err(error) = run_if_due(&app, &worker, *task).await {
                tracing::debug!(%error, task = task.name(), "a periodic task could not be looked at");
            }
        }
        if stop.within(LOOK).await {
            return;
        }
    }
}

async fn run_if_due(app: &App, worker: &str, task: Task) -> sqlx::Result<()> {
    if !jobs::take(&app.db, task.name(), worker, LEASE).await? {
        return Ok(());
    }
    let outcome = task.run(app).await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, task = task.name(), "a periodic task failed");
    }
    let error = outcome.err().map(|error| error.to_string());
    jobs::give_back(&app.db, task.name(), worker, task.period(), error.as_deref()).await
}
