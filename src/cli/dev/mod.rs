//! `vestibule dev`: everything for development by one command: the private database, a key
//! ring and an instance of its own in `.vestibule/`, simulated providers, and the lines an app needs.
//!
//! One file per part of it; they call `embedded` and the same `actions` as the other commands. Never touches a database
//! with a production instance, and never removes anything unasked.

pub mod environment;

mod announce;
mod instance;
mod progress;
mod reset;
mod seed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::Global;
use super::database::{Database, private_options};
use super::failure::{Exit, Failure};
use super::home::Home;
use super::open;
use super::serve::{Listeners, Running};
use super::signals::Signals;
use crate::app::App;
use crate::config::{Config, Listen, Loaded, LogLevel, Sources, load};
use crate::crypto::{KeyRing, SystemRng};
use crate::embedded;
use crate::model::instance::Environment;
use crate::store::instances;
use crate::telemetry::{self, Output};
use announce::Announcement;
use environment::Existing;
use instance::{Ownership, Simulate};
use progress::Progress;
use reset::Consent;

/// Runs everything for development.
#[derive(Debug, Args)]
pub struct Options {
    /// Public port [default: 8484]; 0 = any free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Begin again with an empty database
    #[arg(long)]
    reset: bool,
    /// Do not ask before removing anything
    #[arg(long, requires = "reset")]
    yes: bool,
    /// Also write the environment lines into this file
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Replace other values in that file
    #[arg(long, requires = "env_file")]
    force: bool,
    /// Simulated providers: all, none, or a list [default: leave them as they are]
    #[arg(long, value_name = "all|none|LIST")]
    simulate: Option<Simulate>,
    /// Listen although others than this machine can reach it
    #[arg(long)]
    listen_anyway: bool,
}

/// Runs the command until a signal ends it.
pub async fn run(global: &Global, options: Options) -> Result<(), Failure> {
    let mut sources = Sources::of_this_process(global.config.clone());
    if let Some(port) = options.port {
        sources = sources.with_flag("server.listen", format!("localhost:{port}"), "--port").with_flag(
            "server.internal_listen",
            "localhost:0".to_owned(),
            "--port",
        );
    }
    let Loaded { mut config, warnings } = load(&sources, Config::dev())?;
    config.log.level = config.log.level.max(by_verbosity(global.verbose));
    let _logs = telemetry::init(&config.log, Output::Stderr);
    for warning in warnings {
        tracing::warn!(warning, "configuration");
    }
    let open: Vec<String> =
        config.server.listen.iter().filter(|listen| !listen.is_loopback()).map(Listen::to_string).collect();
    if !open.is_empty() && !options.listen_anyway {
        let message = format!(
            "`dev` lets anybody in who reaches it, and {} can be reached by others than this machine: say --listen-anyway to mean it",
            open.join(", ")
        );
        return Err(Failure::new(Exit::Configuration, message));
    }
    let mut signals = Signals::listen().map_err(|error| Failure::failed(error.to_string()))?;
    tokio::select! {
        started = start(global, options, config) => started?.until_asked(&mut signals).await,
        () = signals.asked() => Err(Failure::new(Exit::Aborted, "")),
    }
}

/// `-v` says more than the configuration.
fn by_verbosity(count: u8) -> LogLevel {
    match count {
        0 => LogLevel::Error,
        1 => LogLevel::Info,
        2 => LogLevel::Debug,
        _ => LogLevel::Trace,
    }
}

async fn start(global: &Global, options: Options, config: Config) -> Result<Running, Failure> {
    let progress = Progress::begin(global.quiet);
    // Before anything is made: a busy port is the most frequent reason to stop here.
    let listeners = Listeners::bind(&config).await?;
    if options.reset {
        let consent = if options.yes { Consent::Given } else { Consent::ToBeAsked };
        reset::run(&config, consent).await?;
    }
    let database = match Database::configured(&config).await? {
        Some(database) => database,
        None => {
            let tell = |step, took| progress.database(&step, took);
            Database::private(embedded::start(&private_options(&config), &tell).await?)
        }
    };
    let prepared = async {
        let (app, announcement) = prepare(&options, config, &database, listeners.public.port(), &progress).await?;
        write_environment(global, &options, &announcement)?;
        Ok((app, announcement))
    };
    let (app, announcement) = match prepared.await {
        Ok(started) => started,
        Err(failure) => {
            database.close().await;
            return Err(failure);
        }
    };
    let running = Running::start(app, database, listeners);
    progress.ready();
    announcement.print(global)?;
    Ok(running)
}

/// Schema, key ring, instance: everything between a database and a server.
async fn prepare(
    options: &Options,
    config: Config,
    database: &Database,
    port: u16,
    progress: &Progress,
) -> Result<(Arc<App>, Announcement), Failure> {
    let data_dir = database.cluster.as_ref().map_or(config.dev.data_dir.as_path(), |cluster| cluster.data_dir());
    let home = Home::open(data_dir)?;
    if config.database.migrate_on_start {
        let begun = Instant::now();
        let ran = database.migrate().await?.ran;
        let what = if ran == 0 { "schema up to date".to_owned() } else { format!("schema migrated ({ran})") };
        progress.step(&what, begun.elapsed());
    }
    let ring = if config.keys.is_empty() {
        let entries = home.keys(&SystemRng)?;
        KeyRing::from_entries(&entries).map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?
    } else {
        open::ring(&config, None)?
    };
    let app = open::build(config, database, ring).await?;
    refuse_production(&app).await?;
    let begun = Instant::now();
    let ownership = if database.is_own() { Ownership::Owner } else { Ownership::Unknown };
    let dev = instance::ensure(&app, &home, port, ownership).await?;
    if dev.is_new {
        progress.step("development instance made", begun.elapsed());
    }
    if let Some(simulate) = &options.simulate {
        instance::simulate(&app, &dev.instance, simulate).await?;
    }
    let announcement = Announcement::new(dev, &home, port);
    Ok((app, announcement))
}

/// Writes what an app needs into the file that `--env-file` names.
fn write_environment(global: &Global, options: &Options, announcement: &Announcement) -> Result<(), Failure> {
    if let Some(file) = &options.env_file {
        let existing = if options.force { Existing::Replace } else { Existing::Keep };
        environment::write_into(file, announcement.environment(), existing)?;
        if !global.quiet {
            eprintln!("          environment written to {}", file.display());
        }
    }
    Ok(())
}

/// Anybody can sign in as anybody here.
async fn refuse_production(app: &App) -> Result<(), Failure> {
    let all = instances::list(&app.db).await?;
    match all.iter().find(|instance| instance.environment_type == Environment::Production) {
        None => Ok(()),
        Some(found) => {
            let message = format!(
                "the database has the production instance \"{}\": `dev` does not run beside real users (use `vestibule serve`)",
                found.name
            );
            Err(Failure::new(Exit::Configuration, message))
        }
    }
}
