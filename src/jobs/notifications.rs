//! Hears of changes to instances, keys and providers, and forgets what is cached; hears of refreshed provider tokens,
//! and wakes who waits for them. Notifications are lost with their connection, so losing it has everything read again,
//! too (public documents stay as they were until that works); cached entries end by themselves within 30 s at worst.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::Stop;
use crate::app::App;
use crate::store::channel::Channel;

/// How long to wait before the next attempt, at first and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

pub(super) async fn run(app: Arc<App>, direct: PgConnectOptions, mut stop: Stop) {
    let mut wait = WAIT.0;
    loop {
        let outcome = tokio::select! {
            outcome = hear(&app, &direct, &mut wait) => outcome,
            () = stop.requested() => return,
        };
        // What happens meanwhile is not known; and connections that rest in the pool may have died with this one.
        app.read_directory_again();
        app.db.doubt();
        if let Err(error) = outcome {
            tracing::warn!(%error, "not listening for changes");
        }
        if stop.within(wait).await {
            return;
        }
        wait = (wait * 2).min(WAIT.1);
    }
}

/// Listens until the connection is lost, or no longer answers.
async fn hear(app: &App, direct: &PgConnectOptions, wait: &mut Duration) -> sqlx::Result<()> {
    let limit = app.config.database.statement_timeout;
    let mut listener = answered(limit, connect(direct, limit)).await?;
    // Changes between the last look and now went unheard.
    app.read_directory_again();
    app.single_flight.notify_all();
    *wait = WAIT.0;
    tracing::debug!("listening for changes");
    loop {
        let Ok(news) = tokio::time::timeout(limit, listener.try_recv()).await else {
            // A path that died silently sounds like no news.
            answered(limit, sqlx::query("select 1").execute(&mut listener)).await?;
            continue;
        };
        let Some(news) = news? else { return Ok(()) };
        match Channel::parse(news.channel()) {
            Some(Channel::ProviderToken) => app.single_flight.notify(news.payload()),
            Some(Channel::Directory) => app.forget_directory(),
            None => return Err(sqlx::Error::Protocol(format!("news on the channel {:?}", news.channel()))),
        }
    }
}

/// A connection that listens. It has a pool of its own, for it is kept for good, may have to go another way than
/// requests do, and must not wait for a dead one before it.
async fn connect(direct: &PgConnectOptions, limit: Duration) -> sqlx::Result<PgListener> {
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(limit).connect_lazy_with(direct.clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen_all(Channel::ALL.iter().map(|channel| channel.as_str())).await?;
    Ok(listener)
}

async fn answered<T>(limit: Duration, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
