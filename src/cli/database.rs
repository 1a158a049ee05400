//! Reaching the database: the configured one, or the private one of `dev`.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::failure::{Exit, Failure};
use crate::config::Config;
use crate::crypto::{ExposeSecret, Secret};
use crate::embedded::{Cluster, FetchPolicy, Options};
use crate::store::schema::{self, Migrated};

/// A database that answers.
pub struct Database {
    /// How to connect.
    pub options: PgConnectOptions,
    /// The same past a pooler.
    pub direct: PgConnectOptions,
    /// The private server, where it is one.
    pub cluster: Option<Cluster>,
}

impl Database {
    /// The configured database, once it answers; `None` if none is configured.
    pub async fn configured(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(url) = &config.database.url else { return Ok(None) };
        let options = parse(url)?;
        let direct = config.database.direct_url.as_ref().map(parse).transpose()?.unwrap_or_else(|| options.clone());
        reach(&options, config.database.connect_timeout).await?;
        Ok(Some(Self { options, direct, cluster: None }))
    }

    /// The private server.
    pub fn private(cluster: Cluster) -> Self {
        let options = cluster.connect_options();
        Self { direct: options.clone(), options, cluster: Some(cluster) }
    }

    /// True if this process runs the database's server.
    pub fn is_own(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| !cluster.is_guest())
    }

    /// Runs missing migrations, and says what somebody with more rights must do.
    pub async fn migrate(&self) -> Result<Migrated, Failure> {
        let migrated = schema::migrate(&self.direct).await;
        let migrated = migrated.map_err(|error| Failure::failed(format!("the migration failed: {error}")))?;
        if !migrated.manual.is_empty() {
            eprintln!("This role may not change its own settings. Let somebody with the right to do so run:");
            for statement in &migrated.manual {
                eprintln!("  {statement};");
            }
        }
        Ok(migrated)
    }

    /// Ends the private server, if it is ours.
    pub async fn close(self) {
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

/// Where the private server is, by configuration and environment.
pub fn private_options(config: &Config) -> Options {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_never = variable("VESTIBULE_PG_FETCH").is_some_and(|policy| policy == "never");
    Options {
        data_dir: config.dev.data_dir.clone(),
        explicit_data_dir: config.dev.is_data_dir_chosen,
        bin: variable("VESTIBULE_PG_BIN").map(Into::into),
        fetch: if is_never { FetchPolicy::Never } else { FetchPolicy::Allowed },
    }
}

fn parse(url: &Secret) -> Result<PgConnectOptions, Failure> {
    // The parser's message may repeat parts of the URL.
    let invalid = |_| Failure::new(Exit::Configuration, "database.url is not a URL of a PostgreSQL server");
    let options: PgConnectOptions = url.expose_secret().parse().map_err(invalid)?;
    Ok(options.application_name("vestibule"))
}

/// Waits until the server answers; what waiting cannot change fails at once.
async fn reach(options: &PgConnectOptions, patience: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut wait = Duration::from_millis(50);
    loop {
        let attempt = tokio::time::timeout(patience.max(Duration::from_secs(1)), options.connect()).await;
        let error = match attempt {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if !may_pass(&error) || begun.elapsed() + wait > patience {
            return Err(unreachable(options, &error));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}

/// True for what a starting server says: nobody listens, or "starting up" (57P03).
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code == "57P03" || code == "53300"),
        _ => false,
    }
}

fn unreachable(options: &PgConnectOptions, error: &sqlx::Error) -> Failure {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let reason = match error {
        sqlx::Error::PoolTimedOut => "no answer".to_owned(),
        sqlx::Error::Database(refusal) => refusal.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    Failure::new(Exit::Database, format!("cannot reach the database at {place}: {reason}"))
}
