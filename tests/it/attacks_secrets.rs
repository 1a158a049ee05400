//! Canaries: what a whole journey saw is neither in the logs nor in a copy of the database; sealed values do not move.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use tracing_subscriber::layer::{Layer, SubscriberExt};

use crate::support::TestApp;
use crate::support::oauth::{member, parameters};
use crate::support::person::{APP, approve, begin, client, provider_url, sign_up};

/// Log lines in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Our own lines at TRACE, other crates' as far as the server ever lets them be heard.
fn listen(lines: &Lines) -> tracing::subscriber::DefaultGuard {
    let writer = lines.clone();
    let filter = tracing_subscriber::filter::Targets::new().with_target("vestibule", tracing::Level::TRACE);
    let filter = filter.with_default(tracing::Level::INFO);
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_filter(filter);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
}

/// The spellings in which a secret could lie somewhere.
fn spellings(secret: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut all = vec![secret.to_owned(), encoded, hex(secret.as_bytes())];
    for engine in [&STANDARD, &URL_SAFE_NO_PAD] {
        let base64 = engine.encode(secret);
        all.push(hex(base64.as_bytes()));
        all.push(base64);
    }
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret) {
        all.push(hex(&bytes));
    }
    all
}

/// Every row of every table as text.
async fn dump(app: &TestApp) -> Vec<(String, String)> {
    let pool = &app.app().db;
    let names = "select table_name::text from information_schema.tables where table_schema = 'vestibule' and table_type = 'BASE TABLE'";
    let mut rows = Vec::new();
    for table in sqlx::query_scalar::<_, String>(names).fetch_all(pool).await.unwrap() {
        let statement = format!("select t::text from {table} t");
        for row in sqlx::query(AssertSqlSafe(statement)).fetch_all(pool).await.unwrap() {
            rows.push((table.clone(), row.get(0)));
        }
    }
    rows
}

/// Signs up, reads everything that is handed out, goes through OAuth and back; returns every secret that was seen.
async fn journey(app: &TestApp) -> Vec<(&'static str, String)> {
    let mut seen = vec![("secret key", app.secret_key.clone())];
    let browser = app.browser();
    let cookie = || browser.cookie("localhost", "__client").unwrap();
    let begun = begin(app, &browser, "sign_ups", "oauth_google").await.expect(200);
    seen.push(("first client token", cookie()));
    let provider = provider_url(&begun);
    for name in ["state", "nonce"] {
        if let Some(value) = parameters(&provider).get(name) {
            seen.push((if name == "state" { "state" } else { "nonce" }, value.clone()));
        }
    }
    let callback = approve(&browser, provider, "ada@example.com").await;
    seen.push(("provider's code", parameters(&callback)["code"].clone()));
    browser.get(callback.as_str()).await.expect(303);
    browser.get(callback.as_str()).await.expect(400);
    seen.push(("client token", cookie()));
    let tree = client(app, &browser).await;
    let (user, session) =
        (tree["sessions"][0]["user"]["id"].as_str().unwrap(), tree["sessions"][0]["id"].as_str().unwrap());
    let url = app.url(&format!("/v1/client/sessions/{session}/tokens"));
    let jwt = browser.post_form(url, APP, &[]).await.expect(200).json()["jwt"].as_str().unwrap().to_owned();
    seen.push(("session token", jwt));
    browser.get(app.url("/v1/client/handshake?redirect_url=http://localhost:3000/")).await.expect(307);
    seen.push(("handshake", browser.cookie("localhost", "__clerk_handshake").unwrap()));
    let tokens = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(200).json();
    seen.push(("provider's token", tokens[0]["token"].as_str().unwrap().to_owned()));
    let oauth = app.application(json!({})).await;
    seen.push(("client secret", oauth.secret.clone().unwrap()));
    let page = browser.get(app.authorize_url(&oauth, &[])).await.expect(302);
    let allowed = app.allow(&browser, page.location()).await;
    let code = parameters(&allowed.location())["code"].clone();
    let first = app.redeem(&oauth, &code, &[]).await.expect(200).json();
    let second = app.refresh(&oauth, member(&first, "refresh_token")).await.expect(200).json();
    for tokens in [&first, &second] {
        for name in ["access_token", "refresh_token", "id_token"] {
            seen.push(("OAuth token", member(tokens, name).to_owned()));
        }
    }
    app.userinfo(member(&second, "access_token")).await.expect(200);
    app.introspect(&oauth, member(&second, "refresh_token")).await;
    app.redeem(&oauth, &code, &[]).await.expect(400);
    seen.push(("OAuth code", code));
    app.browser().post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await;
    // Put together here: scanners would report it as a key that leaked.
    let mistyped = format!("sk_{}_thisIsWrongButSecretAnyway", "live");
    let wrong = app.browser().raw(Method::GET, &app.url("/v1/users")).bearer_auth(&mistyped);
    crate::support::browser::send(wrong).await.expect(401);
    seen.push(("mistyped key", mistyped));
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    seen.push(("last client token", cookie()));
    seen
}

#[tokio::test]
async fn no_secret_that_a_journey_saw_is_in_the_logs_or_in_a_copy_of_the_database() {
    let lines = Lines::default();
    let app = TestApp::start().await;
    let guard = listen(&lines);
    let seen = journey(&app).await;
    drop(guard);
    let logs = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logs.lines().count() > 20, "nothing was logged: {logs}");
    let rows = dump(&app).await;
    assert!(rows.len() > 20);
    for (name, secret) in &seen {
        assert!(secret.len() > 15, "{name}: {secret}");
        for spelling in spellings(secret) {
            if let Some(line) = logs.lines().find(|line| line.contains(&spelling)) {
                panic!("{name} is in the logs: {line}");
            }
            // What the simulated providers remember is the fake providers' own.
            let is_ours = |table: &str| !table.starts_with("simulator_");
            if let Some((table, row)) = rows.iter().find(|(table, row)| is_ours(table) && row.contains(&spelling)) {
                panic!("{name} is in {table}: {row}");
            }
        }
    }
    assert!(!logs.contains("ada@example.com"), "an address is in the logs");
}

#[tokio::test]
async fn no_frontend_answer_holds_a_provider_s_token() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let tokens = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(200).json();
    let token = tokens[0]["token"].as_str().unwrap();
    for path in [
        "/v1/client",
        "/v1/me",
        "/v1/environment",
        "/user",
        "/_dev",
        "/v1/client/handshake?redirect_url=http://localhost:3000/",
    ] {
        let answer = browser.get(app.url(path)).await;
        assert!(!format!("{answer:?}").contains(token), "{path}");
        assert!(!answer.text.contains("private_metadata"), "{path}");
    }
    assert!(!app.backend_get(&format!("/v1/users/{user}")).await.text.contains(token));
}

#[tokio::test]
async fn a_sealed_token_in_another_user_s_row_does_not_open() {
    let app = TestApp::start().await;
    let ada = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let bob = sign_up(&app, &app.browser(), "oauth_google", "zoe@example.com").await;
    let swap = "update provider_tokens t set access_token_sealed = o.access_token_sealed from provider_tokens o
        where t.instance_id = $1 and o.instance_id = $1 and o.external_account_id <> t.external_account_id and $2 <> ''";
    app.execute(swap, "x").await;
    for user in [&ada, &bob] {
        let refused = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await;
        assert!(!refused.status.is_success(), "{}", refused.text);
        assert!(!refused.text.contains("token\":\""), "{}", refused.text);
    }
    app.execute(swap, "x").await;
    app.backend_get(&format!("/v1/users/{ada}/oauth_access_tokens/google")).await.expect(200);
}
