//! `vestibule serve`, and the part of running a server that `dev` shares with it.

use std::sync::Arc;

use clap::Args;

use super::Global;
use super::database::Database;
use super::failure::{Exit, Failure};
use super::open;
use super::signals::Signals;
use crate::actions::provider_token;
use crate::app::App;
use crate::config::{Config, Loaded, Sources, load};
use crate::http::router;
use crate::jobs::{self, Jobs};
use crate::model::instance::Environment;
use crate::server::{Bound, Caps, Server, bind};
use crate::store::instances;
use crate::telemetry::{self, Output};

/// How long an ending server waits for its last notes of flows.
const NOTES: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs the server.
#[derive(Debug, Args)]
pub struct Options {
    /// Serve only: leave side effects and periodic tasks to other replicas
    #[arg(long)]
    no_jobs: bool,
    /// Run missing migrations first
    #[arg(long)]
    migrate: bool,
}

/// Runs the command until a signal ends it.
pub async fn run(global: &Global, options: Options) -> Result<(), Failure> {
    let mut sources = Sources::of_this_process(global.config.clone());
    if options.no_jobs {
        sources = sources.with_flag("jobs.workers", "0".to_owned(), "--no-jobs");
    }
    if options.migrate {
        sources = sources.with_flag("database.migrate_on_start", "true".to_owned(), "--migrate");
    }
    let Loaded { config, warnings } = load(&sources, Config::default())?;
    let _logs = telemetry::init(&config.log, Output::Stdout);
    for warning in warnings {
        tracing::warn!(warning, "configuration");
    }
    let mut signals = Signals::listen().map_err(|error| Failure::failed(error.to_string()))?;
    tokio::select! {
        started = start(config) => started?.until_asked(&mut signals).await,
        () = signals.asked() => Err(Failure::new(Exit::Aborted, "")),
    }
}

/// From a configuration to a server that answers.
async fn start(config: Config) -> Result<Running, Failure> {
    let ring = open::ring(&config, None)?;
    let listeners = Listeners::bind(&config).await?;
    let Some(database) = Database::configured(&config).await? else {
        let message = "no database: set database.url or DATABASE_URL (`vestibule dev` brings its own)";
        return Err(Failure::new(Exit::Configuration, message));
    };
    if config.database.migrate_on_start {
        let ran = database.migrate().await?.ran;
        tracing::info!(ran, "migrated");
    }
    let app = open::build(config, &database, ring).await?;
    refuse_development(&app).await?;
    Ok(Running::start(app, database, listeners))
}

/// Simulated providers beside real users would let anybody in.
async fn refuse_development(app: &App) -> Result<(), Failure> {
    if !app.config.dev.pages {
        return Ok(());
    }
    let all = instances::list(&app.db).await?;
    match all.iter().find(|instance| instance.environment_type == Environment::Production) {
        None => Ok(()),
        Some(found) => {
            let message = format!("dev.pages is on, but the database has the production instance \"{}\"", found.name);
            Err(Failure::new(Exit::Configuration, message))
        }
    }
}

/// Listeners that are bound and not yet served.
pub struct Listeners {
    /// The public ones.
    pub public: Bound,
    internal: Option<Bound>,
}

impl Listeners {
    /// Binds what the configuration names. A busy port is reported with the process that has it.
    pub async fn bind(config: &Config) -> Result<Self, Failure> {
        let busy = |error: crate::server::BindError| {
            let owner = if error.is_busy() { super::port::owner(error.address.port()) } else { None };
            let owner = owner.map(|pid| format!(" (process {pid} has it)")).unwrap_or_default();
            Failure::failed(format!("{error}{owner}"))
        };
        let public = bind(&config.server.listen).await.map_err(busy)?;
        let internal = match &config.server.internal_listen {
            Some(listen) => Some(bind(std::slice::from_ref(listen)).await.map_err(busy)?),
            None => None,
        };
        Ok(Self { public, internal })
    }
}

/// A server that answers.
pub struct Running {
    app: Arc<App>,
    database: Database,
    servers: Vec<Server>,
    jobs: Jobs,
}

impl Running {
    /// Starts to answer and to work.
    pub fn start(app: Arc<App>, database: Database, listeners: Listeners) -> Self {
        let caps = Caps::from(&app.config.server);
        let mut servers = vec![Server::start(listeners.public, router::service(Arc::clone(&app)), caps.clone())];
        if let Some(bound) = listeners.internal {
            servers.push(Server::start(bound, router::internal(Arc::clone(&app)), caps));
        }
        let jobs = jobs::start(&app, database.direct.clone());
        for server in &servers {
            for address in server.addresses() {
                tracing::info!(%address, "listening");
            }
        }
        Self { app, database, servers, jobs }
    }

    /// Serves until a signal asks to end, then ends in order: not ready, no new connections, requests in flight, jobs,
    /// database. A second signal does not wait.
    pub async fn until_asked(self, signals: &mut Signals) -> Result<(), Failure> {
        signals.asked().await;
        tracing::info!("stopping");
        tokio::select! {
            () = self.stop() => Ok(()),
            () = signals.asked() => Err(Failure::new(Exit::Aborted, "")),
        }
    }

    async fn stop(self) {
        self.app.drain();
        self.servers.iter().for_each(Server::drain);
        let config = &self.app.config.server;
        tokio::time::sleep(config.drain).await;
        let asked = tokio::time::Instant::now();
        let stopping = self.servers.into_iter().map(|server| server.stop(config.grace));
        let cut: usize = futures_util::future::join_all(stopping).await.into_iter().sum();
        if cut > 0 {
            tracing::warn!(cut, "connections were cut");
        }
        // Most refreshes ended with their requests; those whose caller went away get what is left.
        provider_token::release_all(&self.app, config.grace.saturating_sub(asked.elapsed())).await;
        self.jobs.stop().await;
        // Notes of flows are worth a moment, not more.
        let _ = tokio::time::timeout(NOTES, self.app.recorder.flush()).await;
        self.app.db.close().await;
        self.database.close().await;
        tracing::info!("stopped");
    }
}
