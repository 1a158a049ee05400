//! A small installation of each schema version stays usable: its data is loaded at that version, brought to the newest
//! one, and used by everybody who had a key, a cookie or a token of it.

use std::time::Duration;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::provider_auth::linking::{assert_waits, prove};
use crate::support::oauth::{OAuthClient, claims};
use crate::support::person::{APP, client};
use crate::support::{Browser, TestApp, TestDb};
use vestibule::crypto::TokenType;
use vestibule::crypto::jwt::{KeySet, verify_own};
use vestibule::store::{MIGRATOR, user_search};

/// An installation as a migration left it, and what its callers know.
struct Fixture {
    version: i64,
    data: &'static str,
    facts: &'static str,
}

const FIXTURES: [Fixture; 2] = [
    Fixture {
        version: 1,
        data: include_str!("../fixtures/migrations/0001.sql"),
        facts: include_str!("../fixtures/migrations/0001.json"),
    },
    Fixture {
        version: 2,
        data: include_str!("../fixtures/migrations/0002.sql"),
        facts: include_str!("../fixtures/migrations/0002.json"),
    },
];

/// A database as that version left it, with the data of its installation.
async fn database(fixture: &Fixture) -> TestDb {
    let db = TestDb::new().await;
    let mut connection = db.options().connect().await.unwrap();
    connection.execute("drop schema vestibule cascade").await.unwrap();
    connection.execute("create schema vestibule").await.unwrap();
    MIGRATOR.run_to(fixture.version, &mut connection).await.unwrap();
    connection.execute(fixture.data).await.unwrap();
    connection.close().await.unwrap();
    db
}

#[tokio::test]
async fn an_installation_of_the_first_version_goes_on() {
    installation_goes_on(&FIXTURES[0]).await;
}

#[tokio::test]
async fn an_installation_of_the_second_version_goes_on() {
    installation_goes_on(&FIXTURES[1]).await;
}

async fn installation_goes_on(fixture: &Fixture) {
    let facts: Value = serde_json::from_str(fixture.facts).unwrap();
    let fact = |name: &str| facts[name].as_str().unwrap();
    let app = TestApp::over(database(fixture).await, fact("ring"), fact("secret_key"), fact("taken_at")).await;

    let user = app.backend_get(&format!("/v1/users/{}", fact("user"))).await.expect(200).json();
    assert_eq!(user["email_addresses"][0]["email_address"], "mary@example.com");
    assert_eq!(app.backend_get("/v1/users/count").await.expect(200).json()["total_count"], facts["users"]);
    for query in ["query=mary@", "email_address=mary@example.com", "query=MARY%40&order_by=first_name"] {
        let found = app.backend_get(&format!("/v1/users?{query}")).await.expect(200).json();
        assert!(found.as_array().unwrap().iter().any(|found| found["id"] == user["id"]), "{query}");
    }
    let held = format!("/v1/users/{}/oauth_access_tokens/notion", fact("notion_user"));
    assert_eq!(app.backend_get(&held).await.expect(200).json()[0]["token"], fact("notion_token"));

    let browser = app.browser();
    browser.set_cookie("localhost", "__client", fact("client_token"));
    let mint = app.url(&format!("/v1/client/sessions/{}/tokens", fact("session")));
    browser.post_form(mint, APP, &[]).await.expect(200);
    let waiting = app.browser();
    waiting.set_cookie("localhost", "__client", fact("waiting_client_token"));
    let done = waiting.post_form(app.url("/v1/client/sign_ups"), APP, &[("transfer", "true")]).await.expect(200);
    assert_eq!(done.json()["response"]["status"], "complete");

    let userinfo = app.browser().raw(http::Method::GET, &app.url("/oauth/userinfo")).bearer_auth(fact("access_token"));
    assert_eq!(app.browser().send(userinfo).await.expect(200).json()["email"], "mary@example.com");
    let redirect = ("redirect_uri", "https://client.example/cb");
    for form in [
        vec![("grant_type", "authorization_code"), ("code", fact("code")), redirect],
        vec![("grant_type", "refresh_token"), ("refresh_token", fact("refresh_token"))],
    ] {
        let request = app.browser().raw(http::Method::POST, &app.url("/oauth/token"));
        let request = request.basic_auth(fact("oauth_client_id"), Some(fact("oauth_client_secret")));
        assert!(app.browser().send(request.form(&form)).await.expect(200).json()["id_token"].is_string());
    }
    id_tokens_change_their_key(&app, &facts).await;
    app.invariants().await;
}

/// Somebody signs in and gets an id_token that verifies with what the instance publishes: at once, and when the key that
/// backends verify session tokens with no longer signs it.
async fn id_tokens_change_their_key(app: &TestApp, facts: &Value) {
    let text = |name: &str| facts[name].as_str().unwrap().to_owned();
    let application = OAuthClient {
        id: text("oauth_client_id"),
        secret: Some(text("oauth_client_secret")),
        application: String::new(),
    };
    let browser = app.browser();
    match facts["password"].as_str() {
        // Of the first version: there were no passwords, and its browser is still signed in.
        None => browser.set_cookie("localhost", "__client", &text("client_token")),
        Some(password) => {
            let form = [("strategy", "password"), ("identifier", "petra@example.com"), ("password", password)];
            let done = browser.post_form(app.url("/v1/client/sign_ins"), APP, &form).await.expect(200).json();
            assert_eq!(done["response"]["status"], "complete", "{done}");
        }
    }
    let user = client(app, &browser).await["sessions"][0]["user"]["id"].clone();
    for (wait, is_known_to_backends) in [(0, true), (15 * 60, false)] {
        app.advance(Duration::from_secs(wait)).await;
        let token = id_token(app, &browser, &application).await;
        assert_eq!(claims(&token)["sub"], user);
        let (clients, backends) = (app.url("/.well-known/jwks.json"), "/v1/jwks");
        assert!(verifies(app, &app.browser().get(clients).await.expect(200).text, &token).await);
        let verified = verifies(app, &app.backend_get(backends).await.expect(200).text, &token).await;
        assert_eq!(verified, is_known_to_backends, "after {wait} s");
    }
}

async fn id_token(app: &TestApp, browser: &Browser, client: &OAuthClient) -> String {
    let redirect = ("redirect_uri", "https://client.example/cb");
    let code = app.code(browser, client, &[("scope", "openid"), redirect]).await;
    let tokens = app.redeem(client, &code, &[redirect]).await.expect(200).json();
    tokens["id_token"].as_str().unwrap().to_owned()
}

async fn verifies(app: &TestApp, jwks: &str, token: &str) -> bool {
    let keys = KeySet::parse(jwks.as_bytes()).unwrap();
    verify_own(token, &keys, TokenType::Jwt, &app.origin(), app.ctx().await.now).is_ok()
}

/// What was claimed in a sign-in of the release before goes on waiting, with its attempt; what a user connects stays.
#[tokio::test]
async fn a_claim_of_before_is_linked_after_its_verification() {
    let facts: Value = serde_json::from_str(FIXTURES[0].facts).unwrap();
    let claims: Value = serde_json::from_str(include_str!("../fixtures/migrations/0003.json")).unwrap();
    let fact = |name: &str| facts[name].as_str().unwrap();
    let claim = |name: &str| claims[name].as_str().unwrap();
    let db = database(&FIXTURES[0]).await;
    let mut connection = db.options().connect().await.unwrap();
    MIGRATOR.run_to(3, &mut connection).await.unwrap();
    connection.execute(include_str!("../fixtures/migrations/0003.sql")).await.unwrap();
    connection.close().await.unwrap();
    let app = TestApp::over(db, fact("ring"), fact("secret_key"), fact("taken_at")).await;

    let accounts = async |user: &str| {
        let shown = app.backend_get(&format!("/v1/users/{user}")).await.expect(200).json();
        let accounts = shown["external_accounts"].as_array().unwrap().iter();
        let reported = |account: &Value| format!("{} {}", account["provider"], account["verification"]["status"]);
        let mut reported: Vec<String> = accounts.map(reported).collect();
        reported.sort();
        reported
    };
    let own = [r#""oauth_google" "verified""#, r#""oauth_notion" "unverified""#];
    let connected = r#""oauth_notion" "verified""#;
    assert_eq!(accounts(fact("user")).await, own, "what is being connected stays");
    assert_eq!(accounts(claim("replaced_claim_user")).await, [connected]);
    app.invariants().await;

    let claimant = app.browser();
    claimant.set_cookie("localhost", "__client", claim("claimant_client_token"));
    let waiting = client(&app, &claimant).await["sign_in"].clone();
    assert_waits(&waiting, claim("claimed_address"));
    let done = prove(&app, &claimant, &waiting, claim("claimed_address")).await.expect(200);
    assert_eq!(done.json()["response"]["status"], "complete");
    assert_eq!(accounts(fact("user")).await, [own[0], own[1], connected]);
    let tokens = format!("/v1/users/{}/oauth_access_tokens/notion", fact("user"));
    let token = app.backend_get(&tokens).await.expect(200).json()[0]["token"].clone();
    assert!(token.as_str().is_some_and(|token| token.starts_with("ntn_")), "{token}");
    app.invariants().await;
}

/// Names that a trigger had listed are found and sorted as before, and no logic is left in the database.
#[tokio::test]
async fn names_that_a_trigger_listed_are_found_without_it() {
    let facts: Value = serde_json::from_str(FIXTURES[1].facts).unwrap();
    let fact = |name: &str| facts[name].as_str().unwrap();
    let db = database(&FIXTURES[1]).await;
    let mut connection = db.options().connect().await.unwrap();
    MIGRATOR.run_to(85, &mut connection).await.unwrap();
    connection.execute(include_str!("../fixtures/migrations/0085.sql")).await.unwrap();
    connection.close().await.unwrap();
    let app = TestApp::over(db, fact("ring"), fact("secret_key"), fact("taken_at")).await;
    for is_filled in [false, true] {
        if is_filled {
            while user_search::fill(&app.app().db, 500).await.unwrap() > 0 {}
        }
        for (query, name) in [("query=gnes+mart", "Agnes_M"), ("query=klint", "hilma"), ("query=HILM", "hilma")] {
            let found = app.backend_get(&format!("/v1/users?{query}&order_by=last_name")).await.expect(200).json();
            assert_eq!((found.as_array().unwrap().len(), &found[0]["username"]), (1, &name.into()), "{query}");
        }
    }
    app.invariants().await;
    let logic: i64 = sqlx::query_scalar(
        "select (select count(*) from pg_trigger where not tgisinternal)
             + (select count(*) from pg_proc where pronamespace = 'vestibule'::regnamespace)",
    )
    .fetch_one(&app.app().db)
    .await
    .unwrap();
    assert_eq!(logic, 0, "no triggers, no stored procedures");
}

#[tokio::test]
async fn the_fixtures_have_a_row_in_every_table_that_keeps_one() {
    for fixture in &FIXTURES {
        every_table_has_a_row(fixture).await;
    }
}

async fn every_table_has_a_row(fixture: &Fixture) {
    let db = database(fixture).await;
    let mut connection = db.options().connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'vestibule' and table_type = 'BASE TABLE' and table_name <> 'handshakes'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        assert!(count > 0, "{table} is empty at version {}", fixture.version);
    }
    connection.close().await.unwrap();
}

/// Two replicas that migrate at their start: one waits for the other without being waited for by it.
#[tokio::test]
async fn processes_that_migrate_at_once_do_not_wait_for_each_other() {
    let db = TestDb::new().await;
    let mut connection = db.options().connect().await.unwrap();
    connection.execute("drop schema vestibule cascade").await.unwrap();
    connection.close().await.unwrap();
    let options = db.options();
    let all = futures_util::future::join_all((0..3).map(|_| vestibule::store::schema::migrate(&options)));
    let ran = tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("nobody waits for ever");
    let ran: Vec<usize> = ran.into_iter().map(|migrated| migrated.unwrap().ran).collect();
    assert_eq!(ran.iter().filter(|ran| **ran > 0).count(), 1, "{ran:?}");
    assert_eq!(ran.iter().sum::<usize>(), MIGRATOR.iter().count());
}

/// An index that a killed migration left half made is made anew.
#[tokio::test]
async fn an_unfinished_index_is_made_anew() {
    let db = TestDb::new().await;
    let mut connection = db.options().connect().await.unwrap();
    connection
        .execute(
            "update pg_index set indisvalid = false where indexrelid = 'vestibule.external_accounts_pending_idx'::regclass;
             delete from vestibule._sqlx_migrations where version = 16",
        )
        .await
        .unwrap();
    assert_eq!(vestibule::store::schema::migrate(&db.options()).await.unwrap().ran, 1);
    let valid: bool = sqlx::query_scalar(
        "select indisvalid from pg_index where indexrelid = 'vestibule.external_accounts_pending_idx'::regclass",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(valid);
    connection.close().await.unwrap();
}
