//! The database is away. Public documents are served as they were last, for however long it takes; what decides about
//! access is refused; and what is new is seen once the database is back.
//!
//! An ordinary run ends the life of every cache. `VESTIBULE_FULL=1` waits ten minutes instead
//! (docs/database-outages.md).

use crate::support::{Answer, Browser, Forwarder, TestApp};
use serde_json::json;
use std::time::{Duration, Instant};
use vestibule::config;
use vestibule::store::pool;

/// Documents that anybody may read.
const DOCUMENTS: [&str; 4] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/v1/environment",
];
/// The same keys, for holders of a secret key.
const KEYS: &str = "/v1/jwks";

async fn documents(app: &TestApp, browser: &Browser) -> Vec<Answer> {
    let mut answers = Vec::new();
    for path in DOCUMENTS {
        let begun = Instant::now();
        answers.push(browser.get(app.url(path)).await);
        assert!(begun.elapsed() < Duration::from_secs(5), "{path} after {:?}", begun.elapsed());
    }
    answers.push(app.backend_get(KEYS).await);
    answers
}

fn texts(answers: Vec<Answer>) -> Vec<String> {
    answers.into_iter().map(|answer| answer.expect(200).text).collect()
}

/// Waits until the background work has noticed what happened to its connection.
async fn until_ready(app: &TestApp, is_ready: bool) {
    let begun = Instant::now();
    while app.browser().get(app.url("/readyz")).await.status.is_success() != is_ready {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: ready = {is_ready}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn public_documents_stay_while_the_database_is_away_and_access_is_refused() {
    let forwarder = Forwarder::start().await;
    let mut app = TestApp::by_way_of(&forwarder, |config| {
        config.database.acquire_timeout = Duration::from_millis(500);
    })
    .await;
    app.start_jobs();
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    let before = texts(documents(&app, &browser).await);
    browser.get(app.url("/v1/client")).await.expect(200);
    forwarder.cut();
    until_ready(&app, false).await;
    assert!(browser.get(app.url("/readyz")).await.expect(503).header("retry-after").is_some());
    let away = Instant::now();
    let long = if std::env::var_os("VESTIBULE_FULL").is_some() { Duration::from_secs(600) } else { Duration::ZERO };
    loop {
        if long.is_zero() {
            // As after the end of their lives.
            app.app().read_directory_again();
        }
        assert_eq!(texts(documents(&app, &browser).await), before);
        for path in ["/v1/client", "/v1/me"] {
            let refused = browser.get(app.url(path)).await.expect(503);
            assert!(refused.header("retry-after").is_some(), "{path}");
        }
        app.backend_get("/v1/users").await.expect(503);
        if away.elapsed() >= long {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    println!("the database was away for {:.0?}", away.elapsed());
    // A key that nobody has shown before is nobody's.
    let stranger = browser.raw(http::Method::GET, &app.url(KEYS)).bearer_auth("sk_test_unknown");
    browser.send(stranger).await.expect(503);
    // What changed meanwhile is seen once it is back, though no news of it came.
    let straight = app.db.pool().await;
    let removed = "update signing_keys set revoked_at = now()";
    sqlx::query(removed).execute(&straight).await.unwrap();
    forwarder.mend();
    until_ready(&app, true).await;
    let begun = Instant::now();
    loop {
        let now = browser.get(app.url(DOCUMENTS[0])).await.expect(200).json();
        if now["keys"] == json!([]) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{now}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::query("update signing_keys set revoked_at = null").execute(&straight).await.unwrap();
}

#[tokio::test]
async fn news_is_obeyed_also_in_what_was_known_last() {
    let forwarder = Forwarder::start().await;
    let mut app = TestApp::by_way_of(&forwarder, |config| {
        config.database.acquire_timeout = Duration::from_millis(500);
    })
    .await;
    app.start_jobs();
    let browser = app.browser();
    let straight = app.db.pool().await;
    documents(&app, &browser).await;
    // Heard by the background work, which may still be connecting: until nothing is known any more.
    let begun = Instant::now();
    loop {
        sqlx::query("select pg_notify('vestibule_directory', '')").execute(&straight).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        forwarder.cut();
        let answers = documents(&app, &browser).await;
        if answers.iter().all(|answer| answer.status == 503) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never heard");
        forwarder.mend();
        until_ready(&app, true).await;
        texts(documents(&app, &browser).await);
        // The listener connects again, at the latest after five seconds.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    forwarder.mend();
    until_ready(&app, true).await;
    texts(documents(&app, &browser).await);
}

#[tokio::test]
async fn connections_are_kept_ready_beside_one_that_rests() {
    let app = TestApp::start().await;
    let pool = pool::open(app.db.options(), &config::Database { min_connections: 3, ..config::Database::default() });
    drop(pool.acquire().await.unwrap());
    let begun = Instant::now();
    while pool.num_idle() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "never given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pool.keep_warm().await;
    assert_eq!(pool.size(), 3);
    pool.close().await;
}
