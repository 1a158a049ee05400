//! A small installation of each schema version stays usable: its data is loaded at that version, brought to the newest
//! one, and used by everybody who had a key, a cookie or a token of it.

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::support::browser::send;
use crate::support::person::APP;
use crate::support::{TestApp, TestDb};
use vestibule::store::MIGRATOR;

const DATA: &str = include_str!("../fixtures/migrations/0001.sql");
const FACTS: &str = include_str!("../fixtures/migrations/0001.json");

/// A database as the first version left it, with the data of its installation.
async fn at_first_version() -> TestDb {
    let db = TestDb::new().await;
    let mut connection = db.options().connect().await.unwrap();
    connection.execute("drop schema vestibule cascade").await.unwrap();
    connection.execute("create schema vestibule").await.unwrap();
    MIGRATOR.run_to(1, &mut connection).await.unwrap();
    connection.execute(DATA).await.unwrap();
    connection.close().await.unwrap();
    db
}

#[tokio::test]
async fn an_installation_of_the_first_version_goes_on() {
    let facts: Value = serde_json::from_str(FACTS).unwrap();
    let fact = |name: &str| facts[name].as_str().unwrap();
    let app = TestApp::over(at_first_version().await, fact("ring"), fact("secret_key"), fact("taken_at")).await;

    let user = app.backend_get(&format!("/v1/users/{}", fact("user"))).await.expect(200).json();
    assert_eq!(user["email_addresses"][0]["email_address"], "mary@example.com");
    assert_eq!(app.backend_get("/v1/users/count").await.expect(200).json()["total_count"], 4);
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
    assert_eq!(send(userinfo).await.expect(200).json()["email"], "mary@example.com");
    let redirect = ("redirect_uri", "https://client.example/cb");
    for form in [
        vec![("grant_type", "authorization_code"), ("code", fact("code")), redirect],
        vec![("grant_type", "refresh_token"), ("refresh_token", fact("refresh_token"))],
    ] {
        let request = app.browser().raw(http::Method::POST, &app.url("/oauth/token"));
        let request = request.basic_auth(fact("oauth_client_id"), Some(fact("oauth_client_secret")));
        assert!(send(request.form(&form)).await.expect(200).json()["id_token"].is_string());
    }
    app.invariants().await;
}

#[tokio::test]
async fn the_fixture_has_a_row_in_every_table_that_keeps_one() {
    let db = at_first_version().await;
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
        assert!(count > 0, "{table} is empty");
    }
    connection.close().await.unwrap();
}
