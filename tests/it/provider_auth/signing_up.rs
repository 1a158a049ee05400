//! What a social sign-up still lacks, who may not sign up at all, and what happens to whoever comes second.

use serde_json::{Value, json};

use super::linking::{ADA, back, linked, prove_sign_up, set, user, users, verification};
use crate::support::person::{client, go, sign_up, transfer};
use crate::support::{Browser, TestApp};
use crate::verification::form;

fn said(status: &str, code: &str) -> (String, String) {
    (status.to_owned(), code.to_owned())
}

/// Changes a sign-up.
async fn change(app: &TestApp, browser: &Browser, attempt: &Value, fields: &[(&str, &str)]) -> Value {
    let path = format!("/v1/client/sign_ups/{}?_method=PATCH", attempt["id"].as_str().unwrap());
    form(app, browser, &path, fields).await.expect(200).json()
}

#[tokio::test]
async fn what_the_provider_cannot_give_is_asked_for_and_then_it_is_complete() {
    let app = TestApp::start().await;
    let required = json!({ "required": true });
    let attributes = json!({ "username": required, "password": required });
    set(&app, json!({ "attributes": attributes, "legal_consent": true })).await;
    let browser = app.browser();
    let found = back(&app, &browser, "sign_ups", "oauth_google", ADA).await;
    let attempt = found["sign_up"].clone();
    assert_eq!(attempt["status"], "missing_requirements");
    assert_eq!(attempt["missing_fields"], json!(["username", "legal_accepted"]), "no password of a social sign-up");
    assert_eq!(attempt["unverified_fields"], json!([]));
    let half = change(&app, &browser, &attempt, &[("username", "ada_lovelace")]).await;
    assert_eq!(half["response"]["missing_fields"], json!(["legal_accepted"]));
    let done = change(&app, &browser, &attempt, &[("legal_accepted", "true")]).await;
    assert_eq!(done["response"]["status"], "complete", "{done}");
    let made = &done["client"]["sessions"][0]["user"];
    assert_eq!((&made["username"], linked(made)), (&json!("ada_lovelace"), vec!["oauth_google"]));
    assert!(made["legal_accepted_at"].is_i64());
    let tokens = format!("/v1/users/{}/oauth_access_tokens/google", made["id"].as_str().unwrap());
    assert!(app.backend_get(&tokens).await.expect(200).json()[0]["token"].is_string());
}

#[tokio::test]
async fn who_may_not_sign_up_leaves_nothing_but_an_audit_event() {
    let rules = [
        (json!({ "sign_up": { "mode": "restricted" } }), "sign_up_mode_restricted"),
        (json!({ "sign_up": { "mode": "waitlist" } }), "sign_up_restricted_waitlist"),
        (json!({ "sign_up": { "user_quota": 1 } }), "user_quota_exceeded"),
    ];
    for (rule, code) in rules {
        let app = TestApp::start().await;
        app.person("grace").await;
        set(&app, rule).await;
        let browser = app.browser();
        let found = back(&app, &browser, "sign_ups", "oauth_google", ADA).await;
        assert_eq!(verification(&found), said("failed", code));
        let other = app.browser();
        back(&app, &other, "sign_ins", "oauth_google", ADA).await;
        let moved = transfer(&app, &other, "sign_ups").await.expect(200).json();
        assert_eq!(moved["response"]["verifications"]["external_account"]["error"]["code"], code);
        assert_eq!(moved["client"]["sessions"], json!([]));
        assert_eq!(users(&app).await, 1);
        let traces = "select (select count(*) from identifications where instance_id = $1 and value_key = $2)
            + (select count(*) from external_accounts where instance_id = $1)";
        assert_eq!(app.count(traces, ADA).await, 0);
        let reported = "select count(*) from audit_events where instance_id = $1 and action = 'sign_up.refused'
            and reason = $2";
        assert_eq!(app.count(reported, "signup_closed").await, 2);
    }
}

#[tokio::test]
async fn a_subaddress_of_an_account_is_refused_where_the_provider_s_settings_say_so() {
    let app = TestApp::start().await;
    let block = "update provider_configs set block_email_subaddresses = true where instance_id = $1 and provider = $2";
    app.execute(block, "google").await;
    sign_up(&app, &app.browser(), "oauth_google", "grace+first@navy.mil").await;
    for again in ["grace@navy.mil", "grace=x@navy.mil", "grace+second@navy.mil"] {
        let found = back(&app, &app.browser(), "sign_ups", "oauth_google", again).await;
        assert_eq!(verification(&found), said("failed", "not_allowed_access"), "{again}");
    }
    sign_up(&app, &app.browser(), "oauth_google", "grace@army.mil").await;
    sign_up(&app, &app.browser(), "oauth_google", "gr.ace@gmail.com").await;
    let found = back(&app, &app.browser(), "sign_ups", "oauth_google", "grace#x@googlemail.com").await;
    assert_eq!(verification(&found), said("failed", "not_allowed_access"));
    assert_eq!(users(&app).await, 3);
}

#[tokio::test]
async fn an_address_that_was_taken_meanwhile_is_reported_at_the_end() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {} })).await;
    let slow = app.browser();
    let attempt = back(&app, &slow, "sign_ups", "oauth_notion", ADA).await["sign_up"].clone();
    sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let late = prove_sign_up(&app, &slow, &attempt, ADA).await.expect(400);
    assert_eq!(late.error_code(), "identification_claimed");
    assert_eq!(users(&app).await, 1);
}

#[tokio::test]
async fn a_transfer_decides_anew() {
    let app = TestApp::start().await;
    let slow = app.browser();
    let found = back(&app, &slow, "sign_ins", "oauth_google", ADA).await;
    assert_eq!(verification(&found), said("transferable", "external_account_not_found"));
    let id = sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let moved = transfer(&app, &slow, "sign_ups").await.expect(200).json();
    let reported = &moved["response"]["verifications"]["external_account"];
    assert_eq!(
        (&reported["status"], &reported["error"]["code"]),
        (&json!("transferable"), &json!("external_account_exists"))
    );
    assert!(moved["client"]["sign_in"].is_null(), "the source is gone");
    let done = transfer(&app, &slow, "sign_ins").await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], id.as_str());
    assert_eq!(users(&app).await, 1);
}

#[tokio::test]
async fn a_username_of_the_provider_s_is_dropped_when_somebody_has_it() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": { "username": { "enabled": true } } })).await;
    go(&app, &app.browser(), "sign_ups", "oauth_google", ADA).await.expect(303);
    let browser = app.browser();
    let id = sign_up(&app, &browser, "oauth_google", "grace@navy.mil").await;
    assert!(user(&app, &id).await["username"].is_null(), "this provider gives none");
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1);
}
