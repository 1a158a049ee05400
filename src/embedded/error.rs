//! Why there is no private database, said so that the reader knows the next step.

use std::path::{Path, PathBuf};

/// What anyone without PostgreSQL programs can do; ends every message about missing ones.
const WAYS_OUT: &str = "Ways out: install PostgreSQL (`apt-get install postgresql` or `brew install postgresql@18`); or \
                        start everything with `docker compose up`; or set DATABASE_URL to a server you have";

/// Why the private PostgreSQL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Nothing installed, nothing cached, and fetching was forbidden or failed.
    #[error("no PostgreSQL programs (versions 14 to 18): {reason}. {WAYS_OUT}")]
    NoPrograms {
        /// What was tried last.
        reason: String,
    },
    /// `VESTIBULE_PG_BIN` is the only candidate when it is set, and it is none.
    #[error(
        "VESTIBULE_PG_BIN names {}, which is not usable: {reason}. Point it at a folder with `postgres` and `initdb` \
         of version 14 or later, or unset it. {WAYS_OUT}", .path.display()
    )]
    BadBin {
        /// The folder named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data directory belongs to a major version whose programs are not here.
    #[error(
        "{} was made by PostgreSQL {major}, whose programs are not here (found: {found}). Install version {major} (or name \
         its folder in VESTIBULE_PG_BIN); or dump the data with {major} and restore it into a new directory; or set \
         DATABASE_URL. Nothing was changed", .data.display()
    )]
    WrongMajor {
        /// The data directory.
        data: PathBuf,
        /// The major version in its `PG_VERSION`.
        major: u32,
        /// The versions found, or "none".
        found: String,
    },
    /// Another process holds the lock but no server answers.
    #[error(
        "{} is in use by another vestibule process{}, whose database does not answer. Wait until it has started, or \
         end it", .lock.display(), owner(.pid)
    )]
    Busy {
        /// The lock file.
        lock: PathBuf,
        /// The process that wrote its number into the lock file.
        pid: Option<u32>,
    },
    /// `--reset` while someone uses the data.
    #[error("{} is in use by another process{}. End it, then reset", .pg.display(), owner(.pid))]
    InUse {
        /// The cluster's folder.
        pg: PathBuf,
        /// The process that uses it, where known.
        pid: Option<u32>,
    },
    /// A server we did not start runs on the data directory and cannot be reached.
    #[error(
        "a PostgreSQL server (process {pid}) runs on {} but does not answer on our socket. End it: `kill -INT {pid}`",
        .data.display()
    )]
    ForeignServer {
        /// The data directory.
        data: PathBuf,
        /// The postmaster's process id.
        pid: i32,
    },
    /// Nothing to join, and nothing that could be started.
    #[error(
        "no database: DATABASE_URL is not set and {} holds no private database. Start `vestibule dev` once, or set \
         DATABASE_URL", .data_dir.display()
    )]
    NoCluster {
        /// The folder looked into.
        data_dir: PathBuf,
    },
    /// The data folder cannot be used by the database account.
    #[error("{} cannot hold the private database: {reason}. Choose another folder with VESTIBULE_DEV__DATA_DIR", .path.display())]
    UnfitFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Running as root without an account to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody` to run it as. Run \
         vestibule as another user, or set DATABASE_URL"
    )]
    NoAccount,
    /// `initdb` failed.
    #[error("initdb failed in {}:\n{output}\nRemedy what it names and start again", .data.display())]
    InitDb {
        /// The directory that was to be made.
        data: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The server ended while starting, or took too long.
    #[error("PostgreSQL did not start: {reason}. The last lines of {}:\n{tail}", .log.display())]
    StartFailed {
        /// Exit status or time.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server runs but refuses us.
    #[error("the private database refuses the connection: {0}. See postgres.log beside its data")]
    Refused(#[from] sqlx::Error),
    /// A file or process operation failed.
    #[error("{doing} {}: {source}", .path.display())]
    Io {
        /// What was being done: "cannot open".
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A blocking task ended without an answer (the runtime is going down).
    #[error("interrupted while starting the private database")]
    Aborted,
}

impl EmbeddedError {
    /// The process's exit code: 4 where the database cannot be reached or has no programs, 3 where
    /// the configuration names no usable one, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCluster { .. } | Self::UnfitFolder { .. } => 3,
            Self::InUse { .. } | Self::Io { .. } => 1,
            Self::Aborted => 130,
            _ => 4,
        }
    }

    /// For `map_err`: what was being done to `path`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// " (process 12)", or nothing.
fn owner(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}
