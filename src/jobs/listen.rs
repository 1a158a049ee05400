//! Hears of changes to instances, keys and providers, and forgets what is cached; hears of refreshed provider tokens,
//! and wakes who waits for them. Notifications are lost with their
//! connection, so losing it forgets everything, too; cached entries end by themselves within 30 s at worst.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use super::Stop;
use crate::app::App;
use crate::store::{directory, pool, provider_tokens};

/// How long to wait before the next attempt, at first and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

pub(super) async fn run(app: Arc<App>, direct: PgConnectOptions, mut stop: Stop) {
    // A pool of its own: the connection is kept for good, and may have to go another way than requests do.
    let own = PgPoolOptions::new().max_connections(1).min_connections(0).connect_lazy_with(direct);
    let mut wait = WAIT.0;
    loop {
        let outcome = tokio::select! {
            outcome = hear(&app, &own, &mut wait) => outcome,
            () = stop.requested() => return,
        };
        // What happened meanwhile is not known; and connections that rest in the pool died with this one.
        app.forget_directory();
        let closed = pool::forget_idle(&app.db).await;
        if let Err(error) = outcome {
            tracing::warn!(%error, closed, "not listening for changes");
        }
        if stop.within(wait).await {
            return;
        }
        wait = (wait * 2).min(WAIT.1);
    }
}

/// Listens until the connection is lost.
async fn hear(app: &App, own: &sqlx::PgPool, wait: &mut Duration) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(own).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen_all([directory::CHANNEL, provider_tokens::CHANNEL]).await?;
    // Changes between the last look and now went unheard.
    app.forget_directory();
    app.flights.tell_all();
    *wait = WAIT.0;
    tracing::debug!("listening for changes");
    while let Some(news) = listener.try_recv().await? {
        match news.channel() {
            provider_tokens::CHANNEL => app.flights.tell(news.payload()),
            _ => app.forget_directory(),
        }
    }
    Ok(())
}
