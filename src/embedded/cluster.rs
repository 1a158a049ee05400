//! The private cluster: claim it, start or join it, wait until it answers, end it.

use super::directories::Directories;
use super::server::{Server, init_db};
use super::stale::{self, StaleState};
use super::{Account, EmbeddedError, Programs};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// How often a state is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(10);
/// How long the owner of the lock may take until its server answers, before a guest gives up.
const OWNER_STARTS: Duration = Duration::from_secs(15);
/// How long a server that lost its owner may go on accepting before we believe that its watchdog is gone too.
const ORPHAN_ENDS: Duration = Duration::from_secs(1);
/// How long `postgres` may take to listen, or an old one to end.
const LISTENS: Duration = Duration::from_secs(30);
/// How long crash recovery may take.
const RECOVERS: Duration = Duration::from_secs(600);

/// The private PostgreSQL, running. Dropping it stops the server if it is ours, without waiting for its end;
/// [`Cluster::stop`] waits.
#[derive(Debug)]
pub struct Cluster {
    layout: Directories,
    // Before the lock: fields are dropped in this order, and the server goes first.
    server: Option<Server>,
    /// Held while it is ours; a guest on an orphaned server holds it too, so that nobody resets under it.
    _lock: Option<File>,
}

impl Cluster {
    /// How to connect, as the account that owns everything in it.
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(&self.layout, "vestibule")
    }

    /// True if another process started the server: it is not stopped with us.
    pub fn is_guest(&self) -> bool {
        self.server.is_none()
    }

    /// The folder that holds the cluster: `dev.data_dir`, or where it moved to (dependencies 1.3).
    pub fn data_dir(&self) -> &std::path::Path {
        &self.layout.data_dir
    }

    /// The command that opens `psql` on it.
    pub fn psql_hint(&self) -> String {
        let run = self.layout.run.to_string_lossy();
        let plain = run.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
        let folder = if plain { run.into_owned() } else { format!("'{}'", run.replace('\'', r"'\''")) };
        format!("psql -h {folder} -U vestibule vestibule")
    }

    /// Stops the server if it is ours (fast shutdown, 20 ms), and returns when it has ended.
    pub async fn stop(mut self) {
        let Some(server) = self.server.take() else { return };
        let _ = tokio::task::spawn_blocking(move || server.stop()).await;
    }

    pub(super) fn guest(layout: Directories, lock: Option<File>) -> Self {
        Self { layout, server: None, _lock: lock }
    }

    /// Starts the server on data that is there, and makes the database if it is missing.
    pub(super) async fn start(
        layout: Directories,
        lock: File,
        programs: &Programs,
        account: &Account,
    ) -> Result<Self, EmbeddedError> {
        remove_stale_files(&layout, account).await?;
        layout.make_run(account)?;
        let mut server = Server::spawn(programs, account, &layout)?;
        until_ready(&mut server, &layout).await?;
        let mut connection = connect_options(&layout, "postgres").connect().await?;
        make_database(&mut connection).await?;
        connection.close().await?;
        Ok(Self { layout, server: Some(server), _lock: Some(lock) })
    }
}

/// `initdb` where there is no data yet; true if it was run. Blocking.
pub(super) fn init_if_missing(
    layout: &Directories,
    programs: &Programs,
    account: &Account,
) -> Result<bool, EmbeddedError> {
    if layout.has_data() {
        return Ok(false);
    }
    init_db(programs, account, &layout.data, &[])?;
    Ok(true)
}

/// Whose the cluster is.
pub(super) enum Claim {
    /// Ours; no server runs.
    Ours(File),
    /// A server runs that another process started; the lock, if its owner is gone.
    Running(Option<File>),
}

/// Takes the lock, or finds the server of the process that has it.
pub(super) async fn claim(layout: &Directories) -> Result<Claim, EmbeddedError> {
    let begun = Instant::now();
    loop {
        if let Some(lock) = try_lock(layout)? {
            return if ends_soon(layout).await { Ok(Claim::Ours(lock)) } else { Ok(Claim::Running(Some(lock))) };
        }
        if answer(layout, "vestibule").await == Answer::Accepts {
            return Ok(Claim::Running(None));
        }
        if begun.elapsed() > OWNER_STARTS {
            return Err(EmbeddedError::Busy { lock: layout.lock.clone(), pid: lock_owner(layout) });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The lock, with our process id in it for those who wait; `None` while another process has it.
pub(super) fn try_lock(layout: &Directories) -> Result<Option<File>, EmbeddedError> {
    let path = &layout.lock;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(EmbeddedError::io("cannot open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("cannot lock", path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(EmbeddedError::io("cannot write", path))?;
    Ok(Some(file))
}

/// The process that has the lock, as it says itself.
pub(super) fn lock_owner(layout: &Directories) -> Option<u32> {
    let mut text = String::new();
    File::open(&layout.lock).ok()?.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Waits while a server whose owner was just killed shuts down; false if it goes on accepting, because its watchdog
/// was killed with the owner.
async fn ends_soon(layout: &Directories) -> bool {
    let begun = Instant::now();
    let mut accepts_since = None;
    while begun.elapsed() < LISTENS {
        match answer(layout, "postgres").await {
            Answer::Nobody => return true,
            Answer::NotNow => accepts_since = None,
            Answer::Accepts => {
                let since = *accepts_since.get_or_insert_with(Instant::now);
                if since.elapsed() > ORPHAN_ENDS {
                    return false;
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

/// Waits until no old server has the data directory, and removes its stale `postmaster.pid`.
async fn remove_stale_files(layout: &Directories, account: &Account) -> Result<(), EmbeddedError> {
    let begun = Instant::now();
    loop {
        let StaleState::Server(pid) = stale::clear(layout, account)? else { return Ok(()) };
        if begun.elapsed() > LISTENS {
            return Err(EmbeddedError::ForeignServer { data: layout.data.clone(), pid });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until a dying server has ended; an error if one goes on running.
pub(super) async fn ended(layout: &Directories, account: &Account) -> Result<(), EmbeddedError> {
    if !ends_soon(layout).await {
        return Err(EmbeddedError::InUse { pg: layout.pg.clone(), pid: None });
    }
    remove_stale_files(layout, account).await
}

async fn until_ready(server: &mut Server, layout: &Directories) -> Result<(), EmbeddedError> {
    let begun = Instant::now();
    loop {
        if let Some(status) = server.ended() {
            return Err(server.failure(layout, format!("it ended with {status}")));
        }
        let limit = match answer(layout, "postgres").await {
            Answer::Accepts => return Ok(()),
            Answer::NotNow => RECOVERS,
            Answer::Nobody => LISTENS,
        };
        if begun.elapsed() > limit {
            return Err(server.failure(layout, format!("it did not answer in {} s", limit.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// A session can be opened.
    Accepts,
    /// A server is there that is starting, recovering or shutting down, or has no such database yet.
    NotNow,
    /// Nobody listens.
    Nobody,
}

async fn answer(layout: &Directories, database: &str) -> Answer {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match connect_options(layout, database).connect().await {
        Ok(connection) => {
            let _ = connection.close().await;
            Answer::Accepts
        }
        // 57P03: starting up or shutting down. 3D000: its owner is just making the database.
        Err(sqlx::Error::Database(refusal)) if !matches!(refusal.code().as_deref(), Some("57P03" | "3D000")) => {
            Answer::Accepts
        }
        Err(sqlx::Error::Io(error)) if matches!(error.kind(), NotFound | ConnectionRefused) => Answer::Nobody,
        Err(_) => Answer::NotNow,
    }
}

/// Never through PGHOST, .pgpass and their like: they mean other servers.
fn connect_options(layout: &Directories, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(&layout.run)
        .port(5432)
        .username("vestibule")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .application_name("vestibule")
}

async fn make_database(connection: &mut PgConnection) -> sqlx::Result<()> {
    let known: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = 'vestibule'")
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_none() {
        connection.execute("create database vestibule").await?;
    }
    Ok(())
}
