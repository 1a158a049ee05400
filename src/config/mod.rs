//! The server's configuration, typed: what the operator can set about this server. Instances, providers, applications
//! and users are not here; they live in the database.
//!
//! [`load`] reads file < environment < flags and reports every mistake at once;
//! [`keys`] is the list of settings, `config/vestibule.toml` their commented reference. May name `crypto` (key ring
//! entries) and `outbound` (its settings). Knows nothing of who uses a setting.

pub mod keys;
pub mod limits;
mod load;
pub mod proxies;
mod reader;
mod retention;
mod sources;
pub mod value;

use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::password::Cost;
use crate::crypto::{RingEntry, Secret};
use crate::outbound::mail::MailConfig;
use crate::outbound::{AllowEntry, OutboundConfig};
use proxies::Proxies;

pub use limits::Limits;
pub use load::{ConfigError, Loaded, load};
pub use retention::Retention;
pub use sources::Sources;
pub use value::{Listen, Rate};

/// All settings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `server.*`.
    pub server: Server,
    /// `database.*`.
    pub database: Database,
    /// `keys`: the key ring's entries, the writing one first.
    pub keys: Vec<RingEntry>,
    /// `log.*`.
    pub log: Log,
    /// `outbound.*`.
    pub outbound: OutboundConfig,
    /// `email.*`; `None` = production instances send no mail, development instances keep it on their inbox page.
    pub email: Option<MailConfig>,
    /// `limits.*`.
    pub limits: Limits,
    /// `passwords.*`: what hashing one costs.
    pub passwords: Cost,
    /// `retention.*`.
    pub retention: Retention,
    /// `jobs.*`.
    pub jobs: Jobs,
    /// `dev.*`.
    pub dev: Dev,
}

impl Config {
    /// The defaults of `vestibule dev`.
    pub fn dev() -> Self {
        let mut config = Self::default();
        config.database.migrate_on_start = true;
        // No load balancer has to notice that the server is going away.
        config.server.drain = Duration::ZERO;
        config.limits.relaxed = true;
        config.dev.pages = true;
        // The simulated providers are reached over real HTTP, at our own address.
        config.outbound.allow = vec![AllowEntry::Loopback];
        config
    }
}

/// Listeners and how long things may take.
#[derive(Clone, Debug)]
pub struct Server {
    /// `server.listen`: the public listeners.
    pub listen: Vec<Listen>,
    /// `server.internal_listen`: health, later metrics and the console; `None` = off.
    pub internal_listen: Option<Listen>,
    /// `server.trusted_proxies`, `server.client_ip_header`.
    pub proxies: Proxies,
    /// `server.shutdown.drain`: how long a stopping server still accepts, so that load balancers see it is not ready.
    pub drain: Duration,
    /// `server.shutdown.grace`: how long requests in flight may take after that.
    pub grace: Duration,
    /// `server.request_timeout`: how long a handler may take.
    pub request_timeout: Duration,
    /// `server.send_timeout`: how long a client may take nothing, or next to nothing, of an answer.
    pub send_timeout: Duration,
    /// `server.http2_control_frames`: frames of one HTTP/2 connection that are neither requests nor bodies.
    pub http2_control_frames: Rate,
    /// `server.max_connections`, in all.
    pub max_connections: usize,
    /// `server.max_connections_per_address`; 0 = no limit. Loopback addresses and trusted proxies have none.
    pub max_connections_per_address: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![Listen::Localhost(8484)],
            internal_listen: Some(Listen::Localhost(8485)),
            proxies: Proxies::default(),
            drain: Duration::from_secs(5),
            grace: Duration::from_secs(25),
            request_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            http2_control_frames: Rate { count: 1000, window: Duration::from_secs(10) },
            max_connections: 10_000,
            max_connections_per_address: 256,
        }
    }
}

/// The database.
#[derive(Clone, Debug)]
pub struct Database {
    /// `database.url`.
    pub url: Option<Secret>,
    /// `database.direct_url`: past a pooler, for migrations and `LISTEN`; `None` = the same.
    pub direct_url: Option<Secret>,
    /// `database.connect_timeout`: how long a start waits for the server.
    pub connect_timeout: Duration,
    /// `database.max_connections`, per replica.
    pub max_connections: u32,
    /// `database.min_connections`.
    pub min_connections: u32,
    /// `database.acquire_timeout`: how long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// How long the database may take for one statement, counted on our side, and for all statements of a request; not a
    /// setting. The role has the same limit on the server (`migrate`).
    pub statement_timeout: Duration,
    /// `database.migrate_on_start`.
    pub migrate_on_start: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            direct_url: None,
            connect_timeout: Duration::from_secs(10),
            max_connections: 16,
            min_connections: 2,
            acquire_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(5),
            migrate_on_start: false,
        }
    }
}

/// Logging.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// `log.format`; `None` = text on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// `log.level`.
    pub level: LogLevel,
    /// `log.filter` (or `VESTIBULE_LOG`): levels per module, like `info,vestibule::http=debug`.
    pub filter: Option<String>,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// From which severity on lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Background work.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// `jobs.workers`: side effects delivered at the same time by this replica; 0 = this replica only serves.
    pub workers: usize,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { workers: 4 }
    }
}

/// Development features.
#[derive(Clone, Debug)]
pub struct Dev {
    /// `dev.pages`: serve the development pages and the simulated providers.
    pub pages: bool,
    /// `dev.data_dir`: the private database, the key ring, `dev.env`.
    pub data_dir: PathBuf,
    /// Whether somebody chose `data_dir`; the default may move.
    pub is_data_dir_chosen: bool,
}

impl Default for Dev {
    fn default() -> Self {
        Self { pages: false, data_dir: PathBuf::from(".vestibule"), is_data_dir_chosen: false }
    }
}
