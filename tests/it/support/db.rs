//! One database per test, cloned from a template that has the whole schema.

use super::forwarder::Forwarder;
use super::server::TestServer;
use aws_lc_rs::digest;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;
use vestibule::store::{MIGRATOR, schema};

/// The advisory lock around making and dropping what is shared: "vestib" in ASCII.
const LOCK: i64 = 0x7665_7374_6962;
/// How many databases of failed tests stay for a look into them.
const RETAINED: i64 = 20;
/// What `migrate` gives the role, for a role that is shared by tests of several branches.
const SEARCH_PATH: &str = "vestibule,public";

/// An empty database with the current schema. It is dropped with this value; a test that panics keeps it for a while.
pub struct TestDb {
    name: String,
    /// The port through which servers reach it, if they are not to go straight.
    by_way_of: Option<u16>,
    server: &'static TestServer,
}

impl TestDb {
    /// Clones the template.
    pub async fn new() -> Self {
        static READY: OnceCell<()> = OnceCell::const_new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = TestServer::get().await;
        let mut admin = server.admin.connect().await.expect("the test server answers");
        READY.get_or_init(|| prepare(server)).await;
        let name = format!("{}_{}_{}", prefix(server), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        if let Err(error) = clone(&mut admin, &name).await {
            // Another branch's tests may have dropped a template that nobody used for a day.
            assert!(
                error.as_database_error().and_then(|refusal| refusal.code()).as_deref() == Some("3D000"),
                "{error}"
            );
            prepare(server).await;
            clone(&mut admin, &name).await.expect("the template was just made");
        }
        admin.close().await.unwrap();
        Self { name, by_way_of: None, server }
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.url()).unwrap()
    }

    /// How servers under test connect to it.
    pub fn route(&self) -> PgConnectOptions {
        let Some(port) = self.by_way_of else { return self.options() };
        let straight = url::Url::parse(&self.url()).unwrap();
        let mut url = straight.clone();
        // As a parameter it would name the folder of a socket.
        url.query_pairs_mut().clear().extend_pairs(straight.query_pairs().filter(|(name, _)| name != "host"));
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(port)).unwrap();
        PgConnectOptions::from_str(url.as_str()).unwrap()
    }

    /// Lets servers under test reach it through `forwarder`.
    pub fn by_way_of(mut self, forwarder: &Forwarder) -> Self {
        self.by_way_of = Some(forwarder.port());
        self
    }

    /// The same for a child process, as DATABASE_URL.
    pub fn url(&self) -> String {
        let mut url = self.server.url.clone();
        url.set_path(&self.name);
        url.query_pairs_mut().append_pair("options", &format!("-c search_path={SEARCH_PATH}"));
        url.into()
    }

    /// A new small pool on it, for the runtime of the caller.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(8).connect_with(self.options()).await.expect("the database is there")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("tests: the database of this failed test stays for a while: {}", self.url());
            return;
        }
        let (name, admin) = (self.name.clone(), self.server.admin.clone());
        // A thread and runtime of its own: the test's runtime may be blocked here, or gone.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { drop_database(&mut admin.connect().await?, &name).await })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("tests: cannot drop {}: {error}", self.name);
        }
    }
}

/// Makes the template if it is missing and tidies up; once per process.
async fn prepare(server: &TestServer) {
    let mut admin = server.admin.connect().await.expect("the test server answers");
    lock(&mut admin).await;
    let template = template();
    let known: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&template)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !known {
        make_template(server, &mut admin, &template).await;
        drop_old_templates(&mut admin, &template).await;
    }
    mark_used(&mut admin, &template).await;
    drop_unused(&mut admin, prefix(server)).await;
    // Closing the session releases the lock.
    admin.close().await.unwrap();
}

async fn lock(admin: &mut PgConnection) {
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(admin).await.unwrap();
}

/// `tpl_` and a hash of all migrations: a changed one gives another template.
fn template() -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for migration in MIGRATOR.iter() {
        hash.update(&migration.version.to_be_bytes());
        hash.update(&migration.checksum);
    }
    format!("tpl_{}", hex(hash.finish().as_ref(), 6))
}

/// Made under another name and renamed when complete: a half-migrated template never counts.
async fn make_template(server: &TestServer, admin: &mut PgConnection, template: &str) {
    let unfinished = format!("{template}_new");
    drop_database(admin, &unfinished).await.unwrap();
    run(admin, format!("create database {unfinished}")).await.unwrap();
    schema::migrate(&server.admin.clone().database(&unfinished)).await.expect("the migrations apply");
    run(admin, format!("alter database {unfinished} rename to {template}")).await.unwrap();
    // Nobody may connect: a session in the template would block every clone.
    run(admin, format!("alter database {template} is_template true allow_connections false")).await.unwrap();
}

/// Remembers the day in the database's comment, by the server's clock.
async fn mark_used(admin: &mut PgConnection, template: &str) {
    let today: String = sqlx::query_scalar("select current_date::text").fetch_one(&mut *admin).await.unwrap();
    run(admin, format!("comment on database {template} is 'used {today}'")).await.unwrap();
}

/// Drops templates of other states of the migrations that were not used today or yesterday.
async fn drop_old_templates(admin: &mut PgConnection, current: &str) {
    let old: Vec<String> = sqlx::query_scalar(
        r"select datname::text from pg_database where datname ~ '^tpl_[0-9a-f]{12}$' and datname <> $1
          and coalesce(shobj_description(oid, 'pg_database'), '') < 'used ' || (current_date - 1)::text",
    )
    .bind(current)
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    for name in old {
        // Refused where another account made it: then it is not ours to drop.
        let _ = run(admin, format!("alter database {name} is_template false")).await;
        let _ = drop_database(admin, &name).await;
    }
}

/// Drops databases of dead processes, except the newest: failed tests left those to be looked at.
async fn drop_unused(admin: &mut PgConnection, prefix: &str) {
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where datname ~ $1 order by oid desc")
            .bind(format!("^{prefix}_[0-9]+_[0-9]+$"))
            .fetch_all(&mut *admin)
            .await
            .unwrap();
    let dead = names.into_iter().filter(|name| is_of_dead_process(name));
    for name in dead.skip(usize::try_from(RETAINED).unwrap()) {
        let _ = drop_database(admin, &name).await;
    }
}

fn is_of_dead_process(name: &str) -> bool {
    let pid = name.rsplit('_').nth(1).and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// What the names of our databases begin with. On a shared server the machine's name is in it: process numbers mean
/// nothing elsewhere.
fn prefix(server: &TestServer) -> &'static str {
    static SHARED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    if server.is_private {
        return "t";
    }
    SHARED.get_or_init(|| {
        let machine = std::process::Command::new("uname").arg("-n").output().unwrap();
        format!("t{}", hex(digest::digest(&digest::SHA256, &machine.stdout).as_ref(), 3))
    })
}

async fn clone(admin: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    // A process with our number may have died and left it.
    drop_database(admin, name).await?;
    run(admin, format!("create database {name} template {}", template())).await
}

async fn drop_database(admin: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    run(admin, format!("drop database if exists {name} with (force)")).await
}

/// Runs a statement on names that this file makes itself.
async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    connection.execute(AssertSqlSafe(statement)).await.map(drop)
}

fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}
