//! Flows in which something was decided: what stood in the way, and that a replay decides again as things are now.

use serde_json::{Value, json};

use super::{Replayed, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{APP, approve, begin, client, provider_url, sign_up, transfer};

/// Begins, approves and comes back; returns the flow.
async fn go(app: &TestApp, browser: &Browser, kind: &str, strategy: &str, person: &str) -> (String, Answer) {
    let begun = begin(app, browser, kind, strategy).await.expect(200);
    let callback = approve(browser, provider_url(&begun), person).await;
    (reference(&begun), browser.get(callback).await.expect(303))
}

/// Changes the instance's settings.
async fn settings(app: &TestApp, change: &Value) {
    let statement = "update instances set settings = settings || $2::jsonb where id = $1";
    app.execute(statement, &change.to_string()).await;
    for app in &app.apps {
        app.forget_directory();
    }
}

/// The app's code in the failed verification of the client's attempt.
async fn code(app: &TestApp, browser: &Browser) -> Value {
    let found = client(app, browser).await;
    let verification = match &found["sign_in"] {
        Value::Null => &found["sign_up"]["verifications"]["external_account"],
        sign_in => &sign_in["first_factor_verification"],
    };
    verification["error"]["code"].clone()
}

#[tokio::test]
async fn a_flow_that_succeeds_is_logged_from_start_to_end() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let (flow, _) = go(&app, &browser, "sign_ups", "oauth_google", "ada@example.com").await;
    let shown = app.flow(&flow).await;
    let names = [
        "started",
        "sent_to_provider",
        "callback",
        "state_checked",
        "token_exchange",
        "identity_fetched",
        "decision",
        "session",
        "handed_over",
    ];
    assert_eq!(steps(&shown), names);
    let session = client(&app, &browser).await["sessions"][0].clone();
    assert_eq!((&shown["status"], &shown["session_id"]), (&json!("succeeded"), &session["id"]));
    assert_eq!(shown["user_id"], session["user"]["id"]);
    assert_eq!(shown["steps"][6]["detail"]["what"], "new user");
    assert_eq!(shown["steps"][8]["detail"]["to"], APP);
    let audited: i64 = sqlx::query_scalar("select count(*) from audit_events where flow_id = $1")
        .bind(&flow)
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert!(audited >= 2, "the audit names the flow");
    // Whoever signed up is in the way of nobody: a replay finds the account.
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn a_transfer_goes_on_in_the_same_flow() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let (flow, _) = go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
    app.reported(&program, &flow, &reasons::TRANSFER_SIGN_UP).await;
    replayed(&program, &flow, Replayed::Succeeds);
    let moved = transfer(&app, &browser, "sign_ups").await.expect(200);
    assert_eq!(reference(&moved), flow);
    let shown = app.flow(&flow).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("succeeded"), &Value::Null), "{shown}");
    let other = app.browser();
    let (flow, _) = go(&app, &other, "sign_ups", "oauth_google", "ada@example.com").await;
    app.reported(&program, &flow, &reasons::TRANSFER_SIGN_IN).await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn an_address_is_missing() {
    let app = TestApp::start().await;
    let program = app.program();
    let (flow, _) = go(&app, &app.browser(), "sign_ups", "oauth_google", "cyd@example.com").await;
    app.reported(&program, &flow, &reasons::EMAIL_MISSING).await;
    replayed(&program, &flow, Replayed::Refused("email_missing"));
    settings(&app, &json!({"attributes": {"email_address": {"required": false}}})).await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn an_address_must_be_verified_or_cannot_be() {
    let app = TestApp::start().await;
    let program = app.program();
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let (flow, _) = go(&app, &app.browser(), "sign_ins", "oauth_notion", "ada@example.com").await;
    app.reported(&program, &flow, &reasons::EMAIL_UNVERIFIED_PROOF).await;
    replayed(&program, &flow, Replayed::Refused("email_unverified"));

    settings(&app, &json!({"email": {"code": false, "link": false}})).await;
    let browser = app.browser();
    let (flow, _) = go(&app, &browser, "sign_ins", "oauth_notion", "ada@example.com").await;
    assert_eq!(code(&app, &browser).await, "external_account_email_address_verification_required");
    app.reported(&program, &flow, &reasons::EMAIL_UNVERIFIED_UNPROVABLE).await;
    replayed(&program, &flow, Replayed::Refused("email_unverified"));
}

#[tokio::test]
async fn more_is_required_than_the_provider_gives() {
    let app = TestApp::start().await;
    let program = app.program();
    settings(&app, &json!({"attributes": {"username": {"enabled": true, "required": true}}})).await;
    let (flow, _) = go(&app, &app.browser(), "sign_ups", "oauth_google", "ada@example.com").await;
    let shown = app.reported(&program, &flow, &reasons::REQUIREMENTS_MISSING).await;
    let requirements = shown["steps"].as_array().unwrap().iter().find(|step| step["name"] == "requirements").unwrap();
    assert_eq!(requirements["detail"]["missing"], json!(["username"]));
    replayed(&program, &flow, Replayed::Refused("requirements_missing"));
    settings(&app, &json!({"attributes": {}})).await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn linking_is_off() {
    let app = TestApp::start().await;
    let program = app.program();
    sign_up(&app, &app.browser(), "oauth_notion", "ada@example.com").await;
    sqlx::query("update identifications set status = 'verified', verified_at = now(), verification_strategy = 'admin'")
        .execute(&app.app().db)
        .await
        .unwrap();
    settings(&app, &json!({"linking": "never"})).await;
    let browser = app.browser();
    let (flow, _) = go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
    assert_eq!(code(&app, &browser).await, "external_account_exists");
    app.reported(&program, &flow, &reasons::LINKING_OFF).await;
    replayed(&program, &flow, Replayed::Refused("linking_off"));
    settings(&app, &json!({"linking": "verified_only"})).await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn the_account_is_closed() {
    let app = TestApp::start().await;
    let program = app.program();
    let first = app.browser();
    let user = sign_up(&app, &first, "oauth_google", "ada@example.com").await;
    first.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let banned = "update users set banned_at = now() where instance_id = $1 and id = $2";
    let locked = "update users set locked_at = now() where instance_id = $1 and id = $2";
    for (close, reported, shown) in
        [(banned, reasons::USER_BANNED_BANNED, "user_banned"), (locked, reasons::USER_LOCKED_OPERATOR, "user_locked")]
    {
        app.execute(close, &user).await;
        let browser = app.browser();
        let (flow, _) = go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
        assert_eq!(code(&app, &browser).await, shown);
        let shown = app.reported(&program, &flow, &reported).await;
        assert_eq!(shown["user_id"], user);
        replayed(&program, &flow, Replayed::Refused(reported.reason));
        app.execute("update users set banned_at = null, locked_at = null where instance_id = $1 and id = $2", &user)
            .await;
        replayed(&program, &flow, Replayed::Succeeds);
    }
}

#[tokio::test]
async fn signing_up_is_closed() {
    let app = TestApp::start().await;
    let program = app.program();
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    for (change, reported, shown) in [
        (json!({"sign_up": {"mode": "restricted"}}), reasons::SIGNUP_CLOSED_RESTRICTED, "sign_up_mode_restricted"),
        (json!({"sign_up": {"mode": "waitlist"}}), reasons::SIGNUP_CLOSED_WAITLIST, "sign_up_restricted_waitlist"),
        (json!({"sign_up": {"user_quota": 1}}), reasons::SIGNUP_CLOSED_QUOTA, "user_quota_exceeded"),
    ] {
        settings(&app, &change).await;
        let browser = app.browser();
        let (flow, _) = go(&app, &browser, "sign_ups", "oauth_google", "grace@example.com").await;
        assert_eq!(code(&app, &browser).await, shown);
        app.reported(&program, &flow, &reported).await;
        replayed(&program, &flow, Replayed::Refused("signup_closed"));
        settings(&app, &json!({"sign_up": {}})).await;
        replayed(&program, &flow, Replayed::Succeeds);
    }
}

#[tokio::test]
async fn the_user_is_signed_in_here_already() {
    let app = TestApp::start().await;
    let program = app.program();
    settings(&app, &json!({"single_session_mode": false})).await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let (flow, _) = go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
    assert_eq!(code(&app, &browser).await, "identifier_already_signed_in");
    app.reported(&program, &flow, &reasons::ALREADY_SIGNED_IN_CALLBACK).await;
    replayed(&program, &flow, Replayed::Refused("already_signed_in"));
    sqlx::query("update provider_configs set enabled = false").execute(&app.app().db).await.unwrap();
    replayed(&program, &flow, Replayed::Refused("provider_unavailable"));
}
