//! The private PostgreSQL of `dev`: it is found, started, joined, ended and never replaced by an empty one.

use crate::support::scratch;
use sqlx::{Connection, PgConnection};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vestibule::embedded::{self, Account, Cluster, EmbeddedError, FetchPolicy, Options, Step};

/// Set in the child process that plays the owner who is killed: its data folder.
const OWNER: &str = "VESTIBULE_TEST_OWNER";

/// A folder that the database account can pass: as root that is another one.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir_in(scratch()).unwrap()
}

fn options(data_dir: impl Into<PathBuf>) -> Options {
    Options { data_dir: data_dir.into(), explicit_data_dir: true, bin: None, fetch: FetchPolicy::Allowed }
}

async fn start(options: &Options) -> Result<(Cluster, Vec<Step>), EmbeddedError> {
    let steps = Mutex::new(Vec::new());
    let cluster = embedded::start(options, &|step, _| steps.lock().unwrap().push(step)).await?;
    Ok((cluster, steps.into_inner().unwrap()))
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect_with(&cluster.connect_options()).await.unwrap()
}

fn postmaster(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(data_dir.join("pg/data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

fn is_gone(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_second_start_reuses_the_data() {
    let folder = folder();
    let options = options(folder.path().join("mine, and \"odd\""));
    let (cluster, steps) = start(&options).await.unwrap();
    assert!(matches!(steps[..], [Step::Found { .. }, Step::InitDb, Step::Started]), "{steps:?}");
    assert!(!cluster.is_guest());
    assert!(cluster.psql_hint().starts_with("psql -h '"), "{}", cluster.psql_hint());
    let mut connection = connect(&cluster).await;
    sqlx::raw_sql("create table kept (n int); insert into kept values (7)").execute(&mut connection).await.unwrap();
    let pid = postmaster(&options.data_dir);
    cluster.stop().await;
    assert!(is_gone(pid), "stop() returns when the server has ended");

    let (cluster, steps) = start(&options).await.unwrap();
    assert!(matches!(steps[..], [Step::Found { .. }, Step::Started]), "{steps:?}");
    let mut connection = connect(&cluster).await;
    let n: i32 = sqlx::query_scalar("select n from kept").fetch_one(&mut connection).await.unwrap();
    let addresses: String = sqlx::query_scalar("show listen_addresses").fetch_one(&mut connection).await.unwrap();
    assert_eq!((n, addresses.as_str()), (7, ""));

    // Dropped without stop(): the next start waits for the end of the server and is not its guest.
    drop(cluster);
    let (cluster, _) = start(&options).await.unwrap();
    assert!(!cluster.is_guest());
    cluster.stop().await;
}

#[tokio::test]
async fn others_join_the_running_server_and_leave_it_running() {
    let folder = folder();
    let options = options(folder.path().join("data"));
    let absent = embedded::join_or_start(&options, &|_, _| ()).await.unwrap_err();
    assert!(matches!(absent, EmbeddedError::NoCluster { .. }), "{absent}");
    assert_eq!(absent.exit_code(), 3);
    assert!(!options.data_dir.exists(), "nothing is made by a command that only joins");

    // Both at once: the second waits until the first has made the database.
    let ((owner, _), guest) =
        tokio::try_join!(start(&options), async { embedded::start(&options, &|_, _| ()).await }).unwrap();
    assert!(owner.is_guest() != guest.is_guest());
    let (owner, guest) = if owner.is_guest() { (guest, owner) } else { (owner, guest) };
    connect(&guest).await;
    guest.stop().await;
    let joined = embedded::join_or_start(&options, &|_, _| ()).await.unwrap();
    assert!(joined.is_guest());
    drop(joined);
    connect(&owner).await;

    let refusal = embedded::reset(&options).await.unwrap_err();
    assert!(matches!(refusal, EmbeddedError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{refusal}");
    owner.stop().await;
    let own = embedded::join_or_start(&options, &|_, _| ()).await.unwrap();
    assert!(!own.is_guest(), "it exists, so it is started for the command's duration");
    own.stop().await;

    embedded::reset(&options).await.unwrap();
    assert!(!options.data_dir.join("pg/data").exists());
    let (cluster, steps) = start(&options).await.unwrap();
    assert!(steps.contains(&Step::InitDb), "{steps:?}");
    cluster.stop().await;
}

/// Starts the database in `data_dir` and inserts forever, saying each number once it is committed.
fn own_and_insert(data_dir: &str) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (cluster, _) = start(&options(data_dir)).await.unwrap();
        let mut connection = connect(&cluster).await;
        sqlx::raw_sql("create table if not exists acknowledged (n bigserial)").execute(&mut connection).await.unwrap();
        loop {
            let insert = "insert into acknowledged default values returning n";
            let n: i64 = sqlx::query_scalar(insert).fetch_one(&mut connection).await.unwrap();
            println!("acknowledged {n}");
        }
    })
}

/// This test's binary again, as the owner of the database in `data_dir`.
fn owner(test: &str, data_dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(OWNER, data_dir).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads what the owner says: `count` numbers, then `at_that_point`, then the rest.
fn acknowledged(child: &mut Child, count: usize, at_that_point: impl FnOnce(&mut Child)) -> Vec<i64> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut numbers =
        stdout.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let mut all: Vec<i64> = numbers.by_ref().take(count).collect();
    assert_eq!(all.len(), count, "the owner ended by itself");
    at_that_point(child);
    all.extend(numbers);
    child.wait().unwrap();
    all
}

#[tokio::test]
async fn kill_9_of_the_owner_leaves_no_server_and_loses_no_row() {
    if let Ok(data_dir) = std::env::var(OWNER) {
        std::thread::spawn(move || own_and_insert(&data_dir)).join().unwrap();
    }
    let folder = folder();
    let data_dir = folder.path().join("data");
    let test = "embedded::kill_9_of_the_owner_leaves_no_server_and_loses_no_row";
    let mut child = owner(test, &data_dir);
    let mut server = 0;
    let numbers = acknowledged(&mut child, 50, |child| {
        server = postmaster(&data_dir);
        child.kill().unwrap();
    });
    eventually("the server has ended", || is_gone(server));

    let (cluster, steps) = start(&options(&data_dir)).await.unwrap();
    assert_eq!(steps.last(), Some(&Step::Started), "the dead owner's lock does not count");
    let mut connection = connect(&cluster).await;
    let found: Vec<i64> = sqlx::query_scalar("select n from acknowledged").fetch_all(&mut connection).await.unwrap();
    let lost: Vec<_> = numbers.iter().filter(|n| !found.contains(n)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    cluster.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_lost_owner_and_watchdog_is_joined() {
    if let Ok(data_dir) = std::env::var(OWNER) {
        std::thread::spawn(move || own_and_insert(&data_dir)).join().unwrap();
    }
    let folder = folder();
    let data_dir = folder.path().join("data");
    let mut child = owner("embedded::a_server_that_lost_owner_and_watchdog_is_joined", &data_dir);
    let mut server = 0;
    acknowledged(&mut child, 1, |child| {
        server = postmaster(&data_dir);
        for watchdog in shells_around(server) {
            signal(watchdog, rustix::process::Signal::KILL);
        }
        child.kill().unwrap();
    });

    let (cluster, steps) = start(&options(&data_dir)).await.unwrap();
    assert_eq!(steps, [Step::Joined]);
    connect(&cluster).await;
    let refusal = embedded::reset(&options(&data_dir)).await.unwrap_err();
    assert!(matches!(refusal, EmbeddedError::InUse { .. }), "{refusal}");
    cluster.stop().await;
    assert!(!is_gone(server), "a guest stops nothing");
    signal(server, rustix::process::Signal::INT);
    let (cluster, steps) = start(&options(&data_dir)).await.unwrap();
    assert_eq!(steps.last(), Some(&Step::Started));
    cluster.stop().await;
}

#[cfg(target_os = "linux")]
fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The watchdog of `server`: both shells are in its process group.
#[cfg(target_os = "linux")]
fn shells_around(server: i32) -> Vec<i32> {
    // pid (name) state ppid pgrp …
    let stat = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = text.rsplit_once(") ")?;
        let group: i32 = rest.split(' ').nth(2)?.parse().ok()?;
        Some((head.split_once(" (")?.1.to_owned(), group))
    };
    let (_, group) = stat(&server.to_string()).unwrap();
    let shells: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|pid| stat(pid).is_some_and(|(name, found)| found == group && name != "postgres"))
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(shells.len(), 2, "the watchdog and its listener");
    shells
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stale_pid_file_is_removed() {
    let folder = folder();
    let options = options(folder.path());
    let account = Account::current().unwrap();
    let (cluster, _) = start(&options).await.unwrap();
    let file = folder.path().join("pg/data/postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    cluster.stop().await;
    let (_, rest) = text.split_once('\n').unwrap();

    // The number was given to another process of the same account.
    let mut other = account.command("sleep").arg("60").current_dir("/").spawn().unwrap();
    fs::write(&file, format!("{}\n{rest}", other.id())).unwrap();
    let (cluster, steps) = start(&options).await.unwrap();
    assert_eq!(steps.last(), Some(&Step::Started));
    cluster.stop().await;

    // The old server is a zombie that nobody reaps.
    other.kill().unwrap();
    let status = format!("/proc/{}/status", other.id());
    eventually("it is a zombie", || fs::read_to_string(&status).unwrap().contains("State:\tZ"));
    fs::write(&file, format!("{}\n{rest}", other.id())).unwrap();
    let (cluster, steps) = start(&options).await.unwrap();
    assert_eq!(steps.last(), Some(&Step::Started));
    cluster.stop().await;
    other.wait().unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_refused_and_left_alone() {
    let folder = folder();
    let data = folder.path().join("pg/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "13\n").unwrap();
    let refusal = start(&options(folder.path())).await.unwrap_err();
    assert!(matches!(refusal, EmbeddedError::WrongMajor { major: 13, .. }), "{refusal}");
    assert_eq!(refusal.exit_code(), 4);
    let names = |folder: &Path| -> Vec<_> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&data), ["PG_VERSION"]);
    assert_eq!(names(&folder.path().join("pg")), ["data", "lock"], "no second database");
}

#[tokio::test]
async fn folder_without_programs_is_refused_with_remedies() {
    let folder = folder();
    let options = Options { bin: Some(folder.path().to_owned()), fetch: FetchPolicy::Never, ..options(folder.path()) };
    let refusal = start(&options).await.unwrap_err();
    assert_eq!(refusal.exit_code(), 4);
    let message = refusal.to_string();
    for part in ["VESTIBULE_PG_BIN", "apt-get install postgresql", "docker compose up", "DATABASE_URL"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!folder.path().join("pg/data").exists());
}

#[tokio::test]
async fn a_long_path_moves_the_socket_only() {
    let folder = folder();
    let options = options(folder.path().join("a".repeat(60)).join("b".repeat(60)));
    let (cluster, _) = start(&options).await.unwrap();
    connect(&cluster).await;
    let hint = cluster.psql_hint();
    let run = PathBuf::from(hint.split(' ').nth(2).unwrap());
    assert!(hint.starts_with("psql -h /tmp/vst-"), "{hint}");
    assert!(cluster.data_dir().join("pg/data/PG_VERSION").exists());
    cluster.stop().await;

    // Who opens that folder to others opens the database to them: trust is its only lock.
    fs::set_permissions(&run, Permissions::from_mode(0o777)).unwrap();
    let refusal = start(&options).await.unwrap_err();
    assert!(matches!(refusal, EmbeddedError::UnfitFolder { .. }), "{refusal}");
    fs::remove_dir(&run).unwrap();
}

#[tokio::test]
async fn folders_are_open_to_the_database_account_alone() {
    let folder = folder();
    let options = options(folder.path().join("data"));
    let (cluster, _) = start(&options).await.unwrap();
    let is_root = Account::current().unwrap().is_other();
    let mode = |path: &str| fs::metadata(options.data_dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), if is_root { 0o711 } else { 0o700 });
    for path in ["pg/data", "pg/run"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    cluster.stop().await;
    if !is_root {
        return;
    }
    // A closed parent: the account that runs PostgreSQL for root cannot get to the data.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let refusal = start(&options).await.unwrap_err();
    assert!(matches!(refusal, EmbeddedError::UnfitFolder { .. }), "{refusal}");
    assert_eq!(refusal.exit_code(), 3);
}
