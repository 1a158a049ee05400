//! Background work: what this replica does for itself (listening for notifications, measuring the clock), the
//! worker over the outbox, and periodic tasks that run on one replica at a time.
//!
//! May name `actions`, `store`, `outbound`, `crypto`, `model`. Never answers a request, and no request waits for it.

mod notifications;
pub mod retention;
mod search;
mod token_access_log;
mod upkeep;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::model::id::RequestId;

/// How long stopping waits for work in hand; leases end by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sent to every task when it shall end.
#[derive(Clone)]
struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the tasks shall end.
    async fn requested(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Waits `time`; true if the tasks shall end.
    async fn within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.requested()).await.is_ok()
    }
}

/// The running tasks. Dropping them ends them at once.
pub struct Jobs {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Starts the tasks. `direct` reaches the database past a transaction-pooling proxy, which `LISTEN` does not survive.
pub fn start(app: &Arc<App>, direct: PgConnectOptions) -> Jobs {
    let (stop, receiver) = watch::channel(false);
    let mut jobs = Jobs { tasks: JoinSet::new(), stop };
    let stop = Stop(receiver);
    jobs.add(notifications::run(Arc::clone(app), direct, stop.clone()));
    jobs.add(upkeep::run(Arc::clone(app), stop.clone()));
    jobs.add(token_access_log::run(Arc::clone(app), stop.clone()));
    if app.config.jobs.workers > 0 {
        let name = worker_name(app);
        jobs.add(worker::run(Arc::clone(app), name.clone(), stop.clone()));
        jobs.add(search::run(Arc::clone(app), stop.clone()));
        jobs.add(retention::run(Arc::clone(app), name, stop));
    }
    jobs
}

/// Names this process in leases.
pub fn worker_name(app: &App) -> String {
    let id = RequestId::new(app.clock.now(), app.rng.as_ref());
    format!("{}:{id}", std::process::id())
}

impl Jobs {
    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Ends the tasks after what they have in hand.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("background work was cut off");
        }
    }
}
