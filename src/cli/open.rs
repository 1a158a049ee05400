//! What most commands begin with: configuration, database, schema, key ring, and the parts that flows need.

use std::path::Path;
use std::sync::Arc;

use super::Global;
use super::database::{Database, private_options};
use super::failure::{Exit, Failure};
use super::home;
use crate::actions::signing_keys;
use crate::app::App;
use crate::config::{Config, Loaded, LogLevel, Sources, load};
use crate::context::Ctx;
use crate::crypto::KeyRing;
use crate::embedded;
use crate::model::id::{InstanceId, RequestId};
use crate::model::instance::Instance;
use crate::model::request::Origin;
use crate::store::audit::Actor;
use crate::store::{directory, instances, pool, schema};
use crate::telemetry::{self, Flush, Output};

/// How to make a key ring, at the end of messages about a missing one.
const MAKE_A_RING: &str = "make one with: echo \"VESTIBULE_KEYS=k1:$(openssl rand -base64 32)\"";

/// An open deployment.
pub struct Open {
    /// The shared parts.
    pub app: Arc<App>,
    /// The database.
    pub database: Database,
    /// Writes the last log lines when dropped.
    _logs: Flush,
}

impl Open {
    /// Opens the deployment of a command that changes or shows data: the configured database, or the private one that
    /// exists here.
    pub async fn for_command(global: &Global) -> Result<Self, Failure> {
        let sources = Sources::of_this_process(global.config.clone());
        let mut config = quieter(load(&sources, Config::default())?, global);
        let database = match Database::configured(&config).await? {
            Some(database) => database,
            None => {
                config = quieter(load(&sources, Config::dev())?, global);
                let cluster = embedded::join_or_start(&private_options(&config), &|_, _| {}).await?;
                Database::private(cluster)
            }
        };
        let logs = telemetry::init(&config.log, Output::Stderr);
        if database.is_own() {
            database.migrate().await?;
        }
        let data_dir = database.cluster.as_ref().map_or(config.dev.data_dir.as_path(), |cluster| cluster.data_dir());
        let ring = ring(&config, Some(data_dir))?;
        let app = build(config, &database, ring).await?;
        Ok(Self { app, database, _logs: logs })
    }

    /// The instance that the command is about: the one named, or the only one.
    pub async fn instance(&self, global: &Global) -> Result<Instance, Failure> {
        let db = &self.app.db;
        if let Some(name) = &global.instance {
            let found = match InstanceId::parse(name) {
                Some(id) => directory::by_id(db, &id).await?,
                None => directory::by_name(db, name).await?,
            };
            return found.ok_or_else(|| Failure::failed(format!("there is no instance \"{name}\"")));
        }
        let all = instances::list(db).await?;
        let [only] = all.as_slice() else {
            let names: Vec<&str> = all.iter().map(|instance| instance.name.as_str()).collect();
            let message = match names.as_slice() {
                [] => "there is no instance yet; make one with: vestibule instance create".to_owned(),
                names => format!("which instance? Say -i NAME with one of: {}", names.join(", ")),
            };
            return Err(Failure::new(Exit::Usage, message));
        };
        let found = directory::by_name(db, &only.name).await?;
        found.ok_or_else(|| Failure::failed(format!("the instance \"{}\" has just gone", only.name)))
    }

    /// A context for flows on the command's instance.
    pub async fn ctx(&self, global: &Global) -> Result<Ctx, Failure> {
        let instance = self.instance(global).await?;
        Ok(ctx(&self.app, instance))
    }

    /// Closes the deployment.
    pub async fn close(self) {
        self.app.db.close().await;
        self.database.close().await;
    }
}

/// A context for flows that no request asked for.
pub fn ctx(app: &Arc<App>, instance: Instance) -> Ctx {
    let request_id = RequestId::new(app.clock.now(), app.rng.as_ref());
    let from = Origin { request_id, ip: None, user_agent: None, origin: None };
    Ctx::new(Arc::clone(app), Arc::new(instance), from)
}

/// The parts over a database whose schema fits, with every instance's keys.
pub async fn build(config: Config, database: &Database, ring: KeyRing) -> Result<Arc<App>, Failure> {
    let db = pool::open(database.options.clone(), &config.database);
    match schema::is_current(&db).await {
        Ok(true) => {}
        Ok(false) => return Err(too_old("is older than this version of vestibule")),
        // The table is missing, or lies outside the search path.
        Err(error) if error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01") => {
            return Err(too_old("is missing"));
        }
        Err(error) => return Err(error.into()),
    }
    let app = App::build(config, db, ring).await?;
    signing_keys::add_missing(&app).await?;
    Ok(app)
}

fn too_old(what: &str) -> Failure {
    Failure::new(Exit::Schema, format!("the database's schema {what}: run `vestibule migrate`"))
}

/// The configured key ring, else the one that `dev` keeps in its folder.
pub fn ring(config: &Config, data_dir: Option<&Path>) -> Result<KeyRing, Failure> {
    let wrong = |error: crate::crypto::RingError| Failure::new(Exit::Configuration, error.to_string());
    if !config.keys.is_empty() {
        return KeyRing::from_entries(&config.keys).map_err(wrong);
    }
    let stored = data_dir.map(home::read_keys).transpose()?.flatten();
    let Some(entries) = stored else {
        return Err(Failure::new(
            Exit::Configuration,
            format!("there is no key ring (keys, VESTIBULE_KEYS): {MAKE_A_RING}"),
        ));
    };
    KeyRing::from_entries(&entries).map_err(wrong)
}

/// Who acts when a command changes something: the operating system's user, here.
pub fn actor() -> Actor {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("uid{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Actor::Cli(format!("{user}@{host}"))
}

/// A command's own logs are for people who asked for them; `-v` asks.
fn quieter(loaded: Loaded, global: &Global) -> Config {
    for warning in &loaded.warnings {
        eprintln!("vestibule: {warning}");
    }
    let mut config = loaded.config;
    config.log.level = match global.verbose {
        0 => LogLevel::Error,
        1 => LogLevel::Info,
        2 => LogLevel::Debug,
        _ => LogLevel::Trace,
    };
    config.database.min_connections = 0;
    config.database.max_connections = config.database.max_connections.min(4);
    config
}
