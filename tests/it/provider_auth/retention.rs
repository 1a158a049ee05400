//! What an authorization at a provider leaves behind: nothing that is sealed, and nothing the provider said of a
//! person, longer than somebody can go on from it.

use std::time::Duration;

use http::Method;
use serde_json::json;
use vestibule::store::retention::Remover;

use super::connecting::{address, connect};
use super::linking::set;
use crate::support::TestApp;
use crate::support::browser::send;
use crate::support::person::{APP, approve, begin, client, go, provider_url, sign_up, transfer};
use crate::support::retention::{page, remove};

const MINUTE: Duration = Duration::from_secs(60);

async fn forget(app: &TestApp) -> i64 {
    remove(app, Remover::ProviderAuthorizationSecrets).await
}

/// Authorizations that still hold something.
async fn holding(app: &TestApp) -> i64 {
    let holding = "select count(*) from provider_authorizations where instance_id = $1 and $2 = ''
        and (pkce_verifier_sealed is not null or tokens_sealed is not null or profile is not null
            or provider_user_id is not null or callback_sealed is not null)";
    app.count(holding, "").await
}

async fn trips(app: &TestApp) -> i64 {
    app.count("select count(*) from provider_authorizations where instance_id = $1 and $2 = ''", "").await
}

#[tokio::test]
async fn a_authorization_that_nobody_came_back_from_is_emptied_and_later_removed() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    app.advance(9 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 1), "there is still time");
    app.advance(12 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (1, 0));
    assert_eq!(forget(&app).await, 0, "once");
    let refused = browser.get(callback).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid", "it is known, and too late");
    let remove = async || remove(&app, Remover::ProviderAuthorizations).await;
    assert_eq!((remove().await, trips(&app).await), (0, 1));
    app.advance(24 * 60 * MINUTE).await;
    assert_eq!((remove().await, trips(&app).await), (1, 0));
}

#[tokio::test]
async fn a_transferable_verification_is_stored_while_it_can_be_transferred() {
    let app = TestApp::start().await;
    let (one, other) = (app.browser(), app.browser());
    for browser in [&one, &other] {
        go(&app, browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    }
    app.advance(9 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 2));
    transfer(&app, &one, "sign_ups").await.expect(200);
    assert!(client(&app, &one).await["sessions"][0]["user"].is_object());
    app.advance(12 * MINUTE).await;
    forget(&app).await;
    assert_eq!(holding(&app).await, 0);
    let refused = transfer(&app, &other, "sign_ups").await;
    assert_eq!(refused.error_code(), "account_transfer_invalid");
}

#[tokio::test]
async fn a_verification_waits_as_long_as_the_sign_up_that_needs_it() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": { "username": { "required": true } } })).await;
    let (one, other) = (app.browser(), app.browser());
    go(&app, &one, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    go(&app, &other, "sign_ups", "oauth_google", "bob@example.com").await.expect(303);
    app.advance(120 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 2));
    let attempt = client(&app, &one).await["sign_up"]["id"].as_str().unwrap().to_owned();
    let path = app.url(&format!("/v1/client/sign_ups/{attempt}?_method=PATCH"));
    let done = one.post_form(path, APP, &[("username", "ada_lovelace")]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    forget(&app).await;
    assert_eq!(holding(&app).await, 1, "what is complete needs nothing");
    app.advance(23 * 60 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (1, 0), "nor what was abandoned");
}

/// The task itself, on a running server.
#[tokio::test]
async fn a_server_does_it_by_itself() {
    let mut app = TestApp::start().await;
    begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    app.advance(21 * MINUTE).await;
    app.start_jobs();
    while holding(&app).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was asked in attempts.
async fn verifications(app: &TestApp) -> i64 {
    let verifications = r"select count(*) from verifications where instance_id = $1 and $2 = ''
        and (owner_id like 'sia\_%' or owner_id like 'sua\_%')";
    app.count(verifications, "").await
}

#[tokio::test]
async fn attempts_that_are_over_go_with_all_that_was_asked_in_them() {
    let app = TestApp::start().await;
    let (one, other) = (app.browser(), app.browser());
    begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    let begun = begin(&app, &one, "sign_ups", "oauth_google").await.expect(200).json();
    let path =
        app.url(&format!("/v1/client/sign_ups/{}/prepare_verification", begun["response"]["id"].as_str().unwrap()));
    for _ in 0..3 {
        one.post_form(&path, APP, &[("strategy", "oauth_google"), ("redirect_url", "/back")]).await.expect(200);
    }
    sign_up(&app, &other, "oauth_google", "ada@example.com").await;
    assert_eq!(verifications(&app).await, 6);
    app.advance(24 * 60 * MINUTE).await;
    assert_eq!(remove(&app, Remover::Verifications).await, 0, "kept for a day after their end");
    app.advance(11 * MINUTE).await;
    assert_eq!(page(&app, Remover::Verifications, 2).await.removed, 2, "a batch");
    assert_eq!((remove(&app, Remover::Verifications).await, verifications(&app).await), (4, 0));
    let none = (remove(&app, Remover::SignIns).await, remove(&app, Remover::SignUps).await);
    assert_eq!(none, (0, 0), "their day is over, but not yet for a day");
    app.advance(24 * 60 * MINUTE).await;
    assert_eq!((remove(&app, Remover::SignIns).await, remove(&app, Remover::SignUps).await), (1, 2));
    // What came of them stays.
    let user = client(&app, &other).await["sessions"][0]["user"].clone();
    assert_eq!(user["external_accounts"][0]["verification"]["status"], "verified", "{user}");
    begin(&app, &one, "sign_ins", "oauth_google").await.expect(200);
    app.invariants().await;
}

/// The task itself, on a running server.
#[tokio::test]
async fn a_server_removes_old_attempts_by_itself() {
    let mut app = TestApp::start().await;
    begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    app.advance(49 * 60 * MINUTE).await;
    app.start_jobs();
    while verifications(&app).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody else is first, whenever it is tried.
const LOST: &str = "errcode = 'unique_violation', constraint = 'external_accounts_identity_key'";
const FAULT: &str = "errcode = 'internal_error'";

/// Lets what `trigger` names fail from now on.
async fn fail(app: &TestApp, how: &str, trigger: &str) {
    let function = format!(
        "create function failing() returns trigger language plpgsql
         as $$ begin raise exception 'on purpose' using {how}; end $$"
    );
    for statement in [function, format!("create {trigger} for each row execute function failing()")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&app.app().db).await.unwrap();
    }
}

/// Authorizations that somebody came back from and that are not closed: who comes back once more waits for them.
async fn open_trips(app: &TestApp) -> i64 {
    let open =
        "select count(*) from provider_authorizations where instance_id = $1 and $2 = '' and consumed_at is not null
        and (finished_at is null or pkce_verifier_sealed is not null)";
    app.count(open, "").await
}

#[tokio::test]
async fn authorization_that_connects_is_closed_on_every_failure() {
    let at_commit = "constraint trigger failing after update on external_accounts deferrable initially deferred";
    for (how, trigger, status) in
        [(LOST, "trigger failing before update on external_accounts", None), (FAULT, at_commit, Some(500))]
    {
        let app = TestApp::start().await;
        let browser = app.browser();
        sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
        let begun = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
        let callback = approve(&browser, address(&begun), "ada@example.com").await;
        fail(&app, how, trigger).await;
        let refused = browser.get(callback.as_str()).await;
        assert!(refused.status.as_u16() >= 400, "{trigger}: {}", refused.status);
        assert!(status.is_none_or(|status| refused.status == status), "{trigger}: {}", refused.status);
        assert_eq!(open_trips(&app).await, 0, "{trigger}");
        assert_eq!(browser.get(callback).await.expect(400).error_code(), "oauth_callback_invalid", "{trigger}");
    }
}

#[tokio::test]
async fn authorization_of_a_native_application_is_closed_on_every_failure() {
    let at_the_nonce = "trigger failing before update of rotating_token_nonce_hash on provider_authorizations";
    for (how, trigger) in [(LOST, "trigger failing before insert on external_accounts"), (FAULT, at_the_nonce)] {
        let app = TestApp::start().await;
        let phone = app.browser().raw(Method::POST, &app.url("/v1/client/sign_ups?_is_native=1"));
        let form = [("strategy", "oauth_google"), ("redirect_url", "my-app://callback")];
        let begun = send(phone.header("authorization", "").form(&form)).await.expect(200);
        let system = app.browser();
        let callback = approve(&system, provider_url(&begun), "ada@example.com").await;
        fail(&app, how, trigger).await;
        let refused = system.get(callback).await;
        assert!(refused.status.as_u16() >= 400, "{trigger}: {}", refused.status);
        assert_eq!(open_trips(&app).await, 0, "{trigger}");
    }
}
