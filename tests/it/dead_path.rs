//! The way to the database fails silently: connections that swallow everything, a host that stands still, a pool whose
//! connections are all taken. Answers stay quick, and everything heals by itself.
//!
//! In an ordinary run the database may take a second for a statement. `VESTIBULE_FULL=1` runs with the server's own
//! limits, for which the figures are promised, and prints what was measured (docs/database-outages.md).

use crate::support::person::APP;
use crate::support::{Answer, Browser, Forwarder, TestApp};
use sqlx::Row;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vestibule::config::Config;

/// No answer may take longer.
const LATEST: Duration = Duration::from_secs(6);
/// From then on every answer is good again.
const HEALED: Duration = Duration::from_secs(15);
/// How many good answers in a row show that a kind of request is well.
const WELL: usize = 5;

fn is_full() -> bool {
    std::env::var_os("VESTIBULE_FULL").is_some()
}

/// The limits of an ordinary run.
fn hasten(config: &mut Config) {
    config.database.max_connections = 4;
    if !is_full() {
        config.database.statement_timeout = Duration::from_secs(1);
        config.database.acquire_timeout = Duration::from_millis(600);
    }
}

/// What one request met.
#[derive(Clone, Debug)]
struct Met {
    kind: &'static str,
    at: Instant,
    took: Duration,
    status: u16,
    says_when: bool,
}

impl Met {
    fn is_good(&self) -> bool {
        self.status < 400
    }
}

/// Requests of several kinds, each sent again and again.
struct Traffic {
    met: Arc<Mutex<Vec<Met>>>,
    goes_on: Arc<AtomicBool>,
    senders: Vec<tokio::task::JoinHandle<()>>,
}

const KINDS: [&str; 6] = ["client", "token", "sign in", "page", "users", "ready"];

async fn send(app: &TestApp, browser: &Browser, session: &str, kind: &str) -> Answer {
    match kind {
        "client" => browser.get(app.url("/v1/client")).await,
        "token" => browser.post_form(app.url(&format!("/v1/client/sessions/{session}/tokens")), APP, &[]).await,
        "sign in" => {
            let form = [("identifier", "ada@example.com")];
            app.browser().post_form(app.url("/v1/client/sign_ins"), APP, &form).await
        }
        "page" => browser.get(app.url("/sign-in")).await,
        "users" => app.backend_get("/v1/users").await,
        _ => browser.get(app.url("/readyz")).await,
    }
}

impl Traffic {
    async fn start(app: &Arc<TestApp>) -> Self {
        let person = app.person("ada").await;
        let met = Arc::new(Mutex::new(Vec::new()));
        let goes_on = Arc::new(AtomicBool::new(true));
        let mut senders = Vec::new();
        for kind in KINDS {
            let (app, met, goes_on) = (Arc::clone(app), Arc::clone(&met), Arc::clone(&goes_on));
            let browser = app.browser();
            let session = app.sign_in(&browser, &person).await;
            senders.push(tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let at = Instant::now();
                    let answer = send(&app, &browser, &session, kind).await;
                    let says_when = answer.header("retry-after").is_some() || kind == "ready";
                    let status = answer.status.as_u16();
                    met.lock().unwrap().push(Met { kind, at, took: at.elapsed(), status, says_when });
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
        Self { met, goes_on, senders }
    }

    /// Waits until the last answers to requests sent after `since` are good, of every kind.
    async fn until_well(&self, since: Instant) {
        loop {
            let met = self.met.lock().unwrap().clone();
            let is_well = |kind| {
                let of_kind = met.iter().rev().filter(|met| met.kind == kind && met.at > since);
                of_kind.take_while(|met| met.is_good()).count() >= WELL
            };
            if KINDS.into_iter().all(is_well) {
                return;
            }
            assert!(since.elapsed() < HEALED, "not healed: {:?}", met.iter().rev().take(20).collect::<Vec<_>>());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it; what was met since `since`.
    async fn stop(self, since: Instant) -> Vec<Met> {
        self.goes_on.store(false, Ordering::Relaxed);
        for sender in self.senders {
            sender.await.unwrap();
        }
        let met = self.met.lock().unwrap().clone();
        met.into_iter().filter(|met| met.at + met.took > since).collect()
    }
}

/// Nothing is late, and what is not good says when to come again. Prints the figures.
fn check(what: &str, since: Instant, met: &[Met]) {
    let bad: Vec<&Met> = met.iter().filter(|met| !met.is_good()).collect();
    for met in &bad {
        assert!(met.status == 503 && met.says_when, "{met:?}");
    }
    let slowest = met.iter().map(|met| met.took).max().unwrap();
    assert!(slowest <= LATEST, "an answer after {slowest:?}");
    let last_bad = bad.iter().map(|met| met.at + met.took - since).max();
    println!(
        "{what}: {} answers, {} of them 503, slowest {slowest:.1?}, last 503 after {last_bad:.1?}",
        met.len(),
        bad.len()
    );
}

/// Every connection of the pool can be had and answers, and there are no more of them than there may be.
async fn no_connection_is_lost(app: &TestApp) {
    let db = &app.app().db;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = db.acquire().await.expect("a connection");
        sqlx::query("select 1").execute(&mut *connection).await.unwrap();
        held.push(connection);
    }
    assert_eq!(db.size(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_dies_silently_heals() {
    let forwarder = Forwarder::start().await;
    let mut app = TestApp::by_way_of(&forwarder, hasten).await;
    app.start_jobs();
    let app = Arc::new(app);
    let traffic = Traffic::start(&app).await;
    traffic.until_well(Instant::now()).await;
    // Each of these is in another state when the path dies: in a statement, in a transaction, resting.
    let db = &app.app().db;
    let mut inside = db.begin().await.unwrap();
    sqlx::query("select 1").execute(&mut *inside).await.unwrap();
    let asked = tokio::spawn({
        let db = db.clone();
        async move { sqlx::query("select pg_sleep(0.5)").execute(&db).await.map(drop) }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let died = Instant::now();
    forwarder.swallow();
    traffic.until_well(died).await;
    assert!(asked.await.unwrap().is_err(), "no answer came to what was asked");
    assert!(inside.commit().await.is_err());
    let met = traffic.stop(died).await;
    assert!(met.iter().any(|met| !met.is_good()), "the path did not die");
    check("a path that dies", died, &met);
    no_connection_is_lost(&app).await;
    // News arrives again, too.
    let straight = app.db.pool().await;
    let moved = "update instances set clock_offset = interval '1 h'";
    sqlx::query(moved).execute(&straight).await.unwrap();
    let begun = Instant::now();
    while app
        .app()
        .directory
        .by_host(db, "localhost", vestibule::store::directory::LoopbackName::Yes)
        .await
        .unwrap()
        .unwrap()
        .clock_offset
        .is_zero()
    {
        assert!(begun.elapsed() < Duration::from_secs(20), "not heard of");
        sqlx::query("select pg_notify('vestibule_directory', '')").execute(&straight).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_is_not_waited_for() {
    let forwarder = Forwarder::start().await;
    let app = Arc::new(TestApp::by_way_of(&forwarder, hasten).await);
    let traffic = Traffic::start(&app).await;
    traffic.until_well(Instant::now()).await;
    let stood = Instant::now();
    forwarder.freeze();
    tokio::time::sleep(if is_full() { Duration::from_secs(9) } else { Duration::from_secs(3) }).await;
    forwarder.thaw();
    let moved = Instant::now();
    traffic.until_well(moved).await;
    let met = traffic.stop(stood).await;
    assert!(met.iter().any(|met| !met.is_good()), "nothing stood still");
    check("a database that stands still", stood, &met);
    no_connection_is_lost(&app).await;
}

/// Where the server's end of a connection is.
async fn backend(db: &mut vestibule::store::pool::PgConnection) -> i32 {
    sqlx::query("select pg_backend_pid()").fetch_one(db).await.unwrap().get(0)
}

#[tokio::test]
async fn a_connection_whose_statement_was_given_up_is_never_used_again() {
    let app = TestApp::with(1, |config| config.database.max_connections = 1).await;
    let db = &app.app().db;
    let mut connection = db.acquire().await.unwrap();
    let first = backend(&mut connection).await;
    drop(connection);
    let mut connection = db.acquire().await.unwrap();
    assert_eq!(backend(&mut connection).await, first, "one that was given back is used again");
    let statement = sqlx::query("select pg_sleep(20)").execute(&mut *connection);
    assert!(tokio::time::timeout(Duration::from_millis(50), statement).await.is_err());
    sqlx::query("select 1").execute(&mut *connection).await.expect_err("its answer would be another's");
    drop(connection);
    let mut connection = db.acquire().await.unwrap();
    assert_ne!(backend(&mut connection).await, first);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_at_its_own_level() {
    let app = TestApp::with(1, |config| config.database.max_connections = 1).await;
    let db = &app.app().db;
    let count = "select count(*) from jobs where name like 'test %'";
    let put = "insert into jobs (name, next_run_at) values ($1, now())";
    let mut outer = db.begin().await.unwrap();
    sqlx::query(put).bind("test outer").execute(&mut *outer).await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    sqlx::query(put).bind("test inner").execute(&mut *inner).await.unwrap();
    drop(inner);
    let mut inner = outer.begin().await.unwrap();
    sqlx::query(put).bind("test second").execute(&mut *inner).await.unwrap();
    inner.commit().await.unwrap();
    let mut inner = outer.begin().await.unwrap();
    sqlx::query("select 1 / 0").execute(&mut *inner).await.unwrap_err();
    inner.rollback().await.unwrap();
    outer.commit().await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(db).await.unwrap(), 2);
    let mut dropped = db.begin().await.unwrap();
    sqlx::query("delete from jobs").execute(&mut *dropped).await.unwrap();
    let pid = backend(&mut dropped).await;
    drop(dropped);
    let mut again = db.acquire().await.unwrap();
    assert_eq!(backend(&mut again).await, pid, "the same connection, outside of any transaction");
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *again).await.unwrap(), 2);
}

/// A request waits for a connection several times, and no longer in all than once.
#[tokio::test]
async fn the_waits_of_one_request_share_a_budget() {
    let wait = Duration::from_secs(3);
    let app = TestApp::with(1, |config| config.database.max_connections = 1).await;
    let db = app.app().db.clone();
    let first = db.acquire().await.unwrap();
    let begun = Instant::now();
    let request = tokio::spawn({
        let db = db.clone();
        async move {
            let work = async {
                // Queued before the one that takes it next.
                sqlx::query("select 1").execute(&db).await.unwrap();
                sqlx::query("select 1").execute(&db).await.map(drop)
            };
            db.within_budget(work).await
        }
    });
    tokio::time::sleep(wait - Duration::from_millis(500)).await;
    let second = tokio::spawn({
        let db = db.clone();
        async move { db.acquire().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert!(matches!(request.await.unwrap(), Err(sqlx::Error::PoolTimedOut)));
    assert!(begun.elapsed() < 2 * wait - Duration::from_millis(600), "{:?}", begun.elapsed());
    drop(second);
}

/// Ten times as many requests as there are connections, while something slow has these again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_refuses_within_one_wait() {
    let app = Arc::new(TestApp::with(1, hasten).await);
    let wait = app.app().config.database.acquire_timeout;
    let goes_on = Arc::new(AtomicBool::new(true));
    let holders: Vec<_> = (0..24)
        .map(|_| {
            let (db, goes_on) = (app.app().db.clone(), Arc::clone(&goes_on));
            tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let _ = sqlx::query("select pg_sleep(0.8)").execute(&db).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let browser = Arc::new(app.browser());
    let ask = |_| {
        let (app, browser) = (Arc::clone(&app), Arc::clone(&browser));
        tokio::spawn(async move {
            let request = browser.raw(http::Method::GET, &app.url("/v1/users")).bearer_auth(&app.secret_key);
            let at = Instant::now();
            let answer = browser.send(request).await;
            (answer.status.as_u16(), answer.header("retry-after").is_some(), at.elapsed())
        })
    };
    let answers = futures_util::future::join_all((0..40).map(ask)).await;
    goes_on.store(false, Ordering::Relaxed);
    let mut refused = Vec::new();
    for (status, says_when, took) in answers.into_iter().map(Result::unwrap) {
        if status != 200 {
            assert!(status == 503 && says_when, "{status} after {took:?}");
            refused.push(took);
        }
    }
    refused.sort();
    let p99 = refused.get(refused.len().saturating_sub(1) * 99 / 100).expect("the pool was full");
    println!("a full pool: {} of 40 refused, p99 {p99:.2?} of {wait:?}", refused.len());
    let slack = if is_full() { Duration::from_millis(200) } else { Duration::from_secs(3) };
    assert!(*p99 <= wait + slack, "{p99:?}");
    for holder in holders {
        holder.await.unwrap();
    }
    assert_eq!(app.backend_get("/v1/users").await.status, 200);
}
