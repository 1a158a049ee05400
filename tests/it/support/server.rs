//! The throw-away PostgreSQL of this machine and user, shared by all test processes. It starts with the first test and
//! ends by itself when no test has touched its heartbeat for two minutes. `TEST_DATABASE_URL` takes its place.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use vestibule::embedded::{self, Account, FetchPolicy, Options, Programs, Step, VersionWanted};

/// Nothing here outlives a crash, and all of it is a copy.
const FAST: [&str; 6] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_wal_size=4GB",
    "max_connections=300",
];

/// Runs its arguments after the first as a child; ends it when the file named first was not touched for two minutes. A
/// `find` that says nothing, because there is no memory or no process left for it, says nothing about the file.
const WATCHDOG: &str = r#"heartbeat=$1; shift
"$@" </dev/null & pg=$!
trap 'kill -INT $pg 2>/dev/null' INT TERM HUP
while kill -0 $pg 2>/dev/null; do
    sleep 2
    [ -e "$heartbeat" ] && [ -z "$(find "$heartbeat" -mmin +2 2>/dev/null)" ] || kill -INT $pg 2>/dev/null
done"#;

/// `migrate` gives the role the limits of requests; cloning a template on a busy machine may take longer.
const PATIENT: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "0")];

const HEARTBEAT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server that lives may stay silent: on a busy machine its queue of connections is full for a while.
const BUSY: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(10);

/// A server on which tests make and drop databases.
pub struct TestServer {
    /// As the account that may create databases, on a database that stays.
    pub admin: PgConnectOptions,
    /// The same as a URL.
    pub url: url::Url,
    /// Whether it is ours alone (not `TEST_DATABASE_URL`).
    pub is_private: bool,
}

impl TestServer {
    /// The server of this process, running.
    pub async fn get() -> &'static Self {
        static SERVER: OnceCell<TestServer> = OnceCell::const_new();
        SERVER.get_or_init(Self::reach).await
    }

    async fn reach() -> Self {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            let admin = PgConnectOptions::from_str(&url).expect("TEST_DATABASE_URL is a URL of a PostgreSQL server");
            return Self { admin: admin.options(PATIENT), url: url::Url::parse(&url).unwrap(), is_private: false };
        }
        let home = Home::choose().await;
        home.keep_alive();
        home.ensure_running().await;
        let run = home.run.to_str().unwrap();
        let mut url = url::Url::parse("postgres://vestibule@localhost:5432/postgres?sslmode=disable").unwrap();
        url.query_pairs_mut().append_pair("host", run);
        Self { admin: home.admin().options(PATIENT), url, is_private: true }
    }
}

/// The server's folder.
struct Home {
    folder: PathBuf,
    data: PathBuf,
    run: PathBuf,
    account: Account,
    options: Options,
}

impl Home {
    /// In the scratch folder, under a name that all test processes of this user find.
    async fn choose() -> Self {
        let bin = std::env::var_os("VESTIBULE_PG_BIN").map(PathBuf::from);
        let is_never = std::env::var("VESTIBULE_PG_FETCH").is_ok_and(|policy| policy == "never");
        let fetch = if is_never { FetchPolicy::Never } else { FetchPolicy::Allowed };
        let account = Account::current().unwrap();
        let mut name = format!("vestibule-test-{}", rustix::process::geteuid().as_raw());
        if let Some(bin) = &bin {
            // A version matrix runs its versions side by side.
            let programs = Programs::probe(bin, &account).expect("VESTIBULE_PG_BIN holds PostgreSQL programs");
            name = format!("{name}-{}", programs.major);
        }
        let folder = scratch().join(name);
        make_folder(&folder, 0o711);
        let run = folder.join("run");
        make_folder(&run, 0o700);
        account.own(&run).unwrap();
        let options = Options { data_dir: folder.clone(), explicit_data_dir: true, bin, fetch };
        Self { data: folder.join("data"), run, folder, account, options }
    }

    fn admin(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.run)
            .port(5432)
            .username("vestibule")
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
    }

    /// Touches the heartbeat now and for as long as this process lives.
    fn keep_alive(&self) {
        let file = self.folder.join("heartbeat");
        fs::write(&file, "alive").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(HEARTBEAT);
                let _ = fs::write(&file, "alive");
            }
        });
    }

    /// Starts the server unless it answers; one process at a time looks.
    async fn ensure_running(&self) {
        let path = self.folder.join("lock");
        let lock = tokio::task::spawn_blocking(move || {
            let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.lock().unwrap();
            file
        });
        let _lock: File = lock.await.unwrap();
        if self.settles().await {
            return;
        }
        self.prepare_data().await;
        // One that lives after all has the directory, and is waited for.
        if self.start().await || self.settles().await {
            return;
        }
        // It held copies only: a directory that does not start is made anew, unless somebody works in it.
        assert!(!self.lives(), "a server that does not answer has {}", self.data.display());
        fs::remove_dir_all(&self.data).unwrap();
        self.prepare_data().await;
        assert!(self.start().await, "the test server does not start: see {}", self.log().display());
    }

    /// Whether the process lives that has the data directory.
    fn lives(&self) -> bool {
        fs::read_to_string(self.data.join("postmaster.pid")).is_ok_and(|file| is_postgres_alive(&file))
    }

    /// Waits out a start or a shutdown that is under way, and a server that is too busy to answer; true if it answers.
    async fn settles(&self) -> bool {
        let begun = Instant::now();
        loop {
            match self.admin().connect().await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return true;
                }
                Err(sqlx::Error::Io(_)) if !self.data.join("postmaster.pid").exists() => return false,
                Err(_) if self.lives() && begun.elapsed() < BUSY => tokio::time::sleep(POLL).await,
                // A pid file without its process: it was killed and left the file, or a new one is about to write its own.
                Err(sqlx::Error::Io(_)) if begun.elapsed() > Duration::from_secs(5) => return false,
                Err(_) if begun.elapsed() > PATIENCE => return false,
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// A data directory for the programs at hand; sessions left from earlier are not in it.
    async fn prepare_data(&self) {
        // No data directory is named: any version will do, data of another version is thrown away.
        let any = self.folder.join("none");
        let progress = |step, took: Duration| report(&step, took);
        let programs = embedded::programs(&self.options, &any, &self.account, &progress)
            .await
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        if self.data.exists() && VersionWanted::by(&self.data) != VersionWanted::Major(programs.major) {
            assert!(!self.lives(), "a server of another version has {}", self.data.display());
            fs::remove_dir_all(&self.data).unwrap();
        }
        if !self.data.exists() {
            embedded::init_db(&programs, &self.account, &self.data, &["--no-sync"]).unwrap();
        }
        fs::write(self.folder.join("programs"), programs.bin.to_str().unwrap()).unwrap();
    }

    /// Spawns the server under its watchdog; false if it ends instead of answering.
    #[expect(clippy::zombie_processes, reason = "the server outlives this process")]
    async fn start(&self) -> bool {
        let programs = PathBuf::from(fs::read_to_string(self.folder.join("programs")).unwrap());
        let log = File::create(self.log()).unwrap();
        let mut watchdog = self
            .account
            .command("/bin/sh")
            .args(["-c", WATCHDOG, "vestibule-test-postgres"])
            .arg(self.folder.join("heartbeat"))
            .arg(programs.join("postgres"))
            .args(embedded::settings(&self.data, &self.run))
            .args(FAST.into_iter().flat_map(|setting| ["-c", setting]))
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(connection) = self.admin().connect().await {
                let _ = connection.close().await;
                return true;
            }
            if watchdog.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }
}

/// Whether the process lives that a `postmaster.pid` names in its first line. Another program may have its number by now.
fn is_postgres_alive(file: &str) -> bool {
    let Some(pid) = file.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return false };
    let Some(process) = rustix::process::Pid::from_raw(pid) else { return false };
    let is_there = match rustix::process::test_kill_process(process) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    };
    // Where there is no such file, the number has to do.
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    is_there && name.map_or(!Path::new("/proc/self/comm").exists(), |name| name.trim().starts_with("postgres"))
}

#[test]
fn a_directory_belongs_to_the_process_that_its_pid_file_names() {
    let own = std::process::id();
    assert!(!is_postgres_alive(""), "half written");
    assert!(!is_postgres_alive("no number\n"));
    assert!(!is_postgres_alive("999999999\n/data\n"), "nobody has that number");
    let is_checked = Path::new("/proc/self/comm").exists();
    assert_eq!(is_postgres_alive(&format!("{own}\n/data\n")), !is_checked, "another program has the number");
}

#[tokio::test]
async fn the_running_server_is_alive() {
    let server = TestServer::get().await;
    if server.is_private {
        assert!(Home::choose().await.lives());
    }
}

fn report(step: &Step, took: Duration) {
    match step {
        Step::Found { version, path } => eprintln!("tests: PostgreSQL {version} from {}", path.display()),
        Step::Fetching { what, bytes } => eprintln!("tests: fetching {what}, {} MB", bytes / 1_000_000),
        Step::Fetched => eprintln!("tests: fetched in {:.1} s", took.as_secs_f32()),
        _ => {}
    }
}

/// Where tests put what need not last: in memory where there is room.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if has_room(memory) { memory.to_owned() } else { std::env::temp_dir() }
}

/// At least 1 GiB free, in memory (Docker gives 64 MB there).
fn has_room(memory: &Path) -> bool {
    rustix::fs::statvfs(memory).is_ok_and(|found| found.f_bavail * found.f_frsize >= 1 << 30)
}

/// A folder of ours with `mode`. Someone else's under a name that can be guessed is not ours to use.
fn make_folder(folder: &Path, mode: u32) {
    if fs::create_dir(folder).is_ok() {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let found = fs::symlink_metadata(folder).unwrap();
    let own = [rustix::process::geteuid().as_raw(), Account::current().unwrap().uid()];
    assert!(found.is_dir() && own.contains(&found.uid()), "{} belongs to someone else", folder.display());
}
