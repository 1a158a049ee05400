//! Signing up with an identifier, through the API.

use super::{code_for, form, newest};
use crate::support::person::{self, client};
use crate::support::{Answer, Browser, TestApp};
use serde_json::{Value, json};

const NEW: &str = "new@example.com";

async fn create(app: &TestApp, browser: &Browser, fields: &[(&str, &str)]) -> Answer {
    form(app, browser, "/v1/client/sign_ups", fields).await
}

async fn act(app: &TestApp, browser: &Browser, attempt: &Value, verb: &str, fields: &[(&str, &str)]) -> Answer {
    let id = attempt["id"].as_str().unwrap();
    form(app, browser, &format!("/v1/client/sign_ups/{id}/{verb}"), fields).await
}

async fn change(app: &TestApp, browser: &Browser, attempt: &Value, fields: &[(&str, &str)]) -> Answer {
    let id = attempt["id"].as_str().unwrap();
    form(app, browser, &format!("/v1/client/sign_ups/{id}?_method=PATCH"), fields).await
}

async fn settings(app: &TestApp, change: &str) {
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
}

#[tokio::test]
async fn invisible_characters_in_an_address_or_a_name_are_refused() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {}}"#).await;
    for blank in ["\u{200b}", "\u{ad}", "\u{202e}", "\u{3164}"] {
        for (param, text) in
            [("email_address", format!("n{blank}ew@example.com")), ("first_name", format!("N{blank}ia"))]
        {
            let refused = create(&app, &app.browser(), &[(param, &text)]).await.expect(422);
            assert_eq!(refused.error_code(), "form_param_format_invalid", "{text:?}");
            assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], param, "{text:?}");
        }
    }
    let refused = create(&app, &app.browser(), &[("email_address", "new\u{fe0f}@example.com")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_format_invalid");
    // A name that needs a joiner keeps it.
    let name = "علی\u{200c}رضا";
    let attempt = create(&app, &app.browser(), &[("first_name", name)]).await.expect(200).json();
    assert_eq!(attempt["response"]["first_name"], name);
}

#[tokio::test]
async fn a_person_signs_up_with_identifier() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {}}"#).await;
    let browser = app.browser();
    let fields = [("email_address", "New@Example.com"), ("first_name", "Nia"), ("unsafe_metadata", r#"{"a":1}"#)];
    let attempt = create(&app, &browser, &fields).await.expect(200).json()["response"].clone();
    assert_eq!(attempt["status"], "missing_requirements");
    assert_eq!(attempt["missing_fields"], json!([]));
    assert_eq!(attempt["unverified_fields"], json!(["email_address"]));
    assert_eq!(attempt["verifications"]["email_address"]["next_action"], "needs_prepare");
    assert_eq!(attempt["verifications"]["email_address"]["supported_strategies"], json!(["email_code"]));
    assert_eq!(attempt["email_address"], NEW);

    let prepared =
        act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
    assert_eq!(prepared.json()["response"]["verifications"]["email_address"]["next_action"], "needs_attempt");
    let code = code_for(&app, NEW).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = act(&app, &browser, &attempt, "attempt_verification", &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    assert_eq!(done["response"]["unverified_fields"], json!([]));
    assert_eq!(done["client"]["sign_up"], Value::Null);
    let user = &done["client"]["sessions"][0]["user"];
    assert_eq!((&user["first_name"], &user["unsafe_metadata"]), (&"Nia".into(), &json!({ "a": 1 })));
    assert_eq!(user["id"], done["response"]["created_user_id"]);
    let email = &user["email_addresses"][0];
    assert_eq!((&email["email_address"], &email["verification"]["strategy"]), (&NEW.into(), &"email_code".into()));
    assert_eq!(email["verification"]["status"], "verified");
}

#[tokio::test]
async fn what_is_missing_is_asked_for_and_a_changed_address_is_verified_anew() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {"username": {"required": true}}, "legal_consent": true}"#).await;
    let browser = app.browser();
    let attempt = create(&app, &browser, &[]).await.expect(200).json()["response"].clone();
    assert_eq!(attempt["missing_fields"], json!(["email_address", "username", "legal_accepted"]));
    let refused =
        act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_missing");
    change(&app, &browser, &attempt, &[("email_address", "old@example.com")]).await.expect(200);
    act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(&app, "old@example.com").await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let verified = act(&app, &browser, &attempt, "attempt_verification", &fields).await.expect(200).json();
    assert_eq!(verified["response"]["unverified_fields"], json!([]));
    assert_eq!(verified["response"]["missing_fields"], json!(["username", "legal_accepted"]));
    let again = act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(400);
    assert_eq!(again.error_code(), "verification_already_verified");

    let changed = change(&app, &browser, &attempt, &[("email_address", NEW)]).await.expect(200).json();
    assert_eq!(changed["response"]["unverified_fields"], json!(["email_address"]));
    let fields = [("username", "nia_new"), ("legal_accepted", "true")];
    let changed = change(&app, &browser, &attempt, &fields).await.expect(200).json();
    assert_eq!(changed["response"]["missing_fields"], json!([]));
    assert_eq!(changed["response"]["status"], "missing_requirements", "the new address is not verified");
    act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(&app, NEW).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = act(&app, &browser, &attempt, "attempt_verification", &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    let user = &done["client"]["sessions"][0]["user"];
    assert_eq!(user["username"], "nia_new");
    assert_eq!(user["email_addresses"].as_array().unwrap().len(), 1);
    assert!(user["legal_accepted_at"].is_i64());
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {"username": {"enabled": true}}}"#).await;
    app.person("ada").await;
    let long = "a".repeat(257);
    for (field, value, code) in [
        ("email_address", "nonsense", "form_param_format_invalid"),
        ("email_address", "ada@example.com", "form_identifier_exists"),
        ("username", "ADA", "form_username_invalid_length"),
        ("username", "a b c d", "form_username_invalid_character"),
        ("username", "12345", "form_username_needs_non_number_char"),
        ("username", "030-1234567", "form_username_cannot_be_phone_number"),
        ("first_name", long.as_str(), "form_param_format_invalid"),
        ("unsafe_metadata", "[]", "form_param_format_invalid"),
    ] {
        let refused = create(&app, &app.browser(), &[(field, value)]).await.expect(422);
        assert_eq!(
            (refused.error_code().as_str(), refused.json()["errors"][0]["meta"]["param_name"].as_str()),
            (code, Some(field)),
            "{value}"
        );
    }
    settings(&app, r#"{"attributes": {"username": {"enabled": false}}}"#).await;
    let refused = create(&app, &app.browser(), &[("username", "some_body")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_unknown");
}

#[tokio::test]
async fn of_two_sign_ups_with_one_address_the_first_verification_wins() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {}}"#).await;
    let (one, two) = (app.browser(), app.browser());
    let mut attempts = Vec::new();
    for browser in [&one, &two] {
        let attempt = create(&app, browser, &[("email_address", NEW)]).await.expect(200).json()["response"].clone();
        act(&app, browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
        attempts.push((attempt, code_for(&app, NEW).await));
    }
    let mut ends = Vec::new();
    for (browser, (attempt, code)) in [&one, &two].into_iter().zip(&attempts) {
        let fields = [("strategy", "email_code"), ("code", code.as_str())];
        ends.push(act(&app, browser, attempt, "attempt_verification", &fields).await);
    }
    assert_eq!(ends[0].json()["response"]["status"], "complete");
    assert_eq!((ends[1].status.as_u16(), ends[1].error_code().as_str()), (400, "identification_claimed"));
}

#[tokio::test]
async fn restrictions_hold_at_the_end() {
    let app = TestApp::start().await;
    settings(&app, r#"{"sign_up": {"mode": "restricted"}, "attributes": {}}"#).await;
    let browser = app.browser();
    let attempt = create(&app, &browser, &[("email_address", NEW)]).await.expect(200).json()["response"].clone();
    act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(&app, NEW).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let refused = act(&app, &browser, &attempt, "attempt_verification", &fields).await.expect(403);
    assert_eq!(refused.error_code(), "sign_up_mode_restricted");
    assert_eq!(app.count("select count(*) from users where instance_id = $1 and $2 = ''", "").await, 0);
}

#[tokio::test]
async fn a_provider_without_an_address_is_no_dead_end() {
    let app = TestApp::start().await;
    settings(&app, r#"{"attributes": {}}"#).await;
    let browser = app.browser();
    person::go(&app, &browser, "sign_ups", "oauth_notion", "cyd").await.expect(303);
    let attempt = client(&app, &browser).await["sign_up"].clone();
    assert_eq!(attempt["missing_fields"], json!(["email_address"]), "{attempt}");
    let changed = change(&app, &browser, &attempt, &[("email_address", NEW)]).await.expect(200).json();
    assert_eq!(changed["response"]["unverified_fields"], json!(["email_address"]));
    act(&app, &browser, &attempt, "prepare_verification", &[("strategy", "email_code")]).await.expect(200);
    assert!(newest(&app, NEW).await["subject"].as_str().unwrap().starts_with("[Development]"));
    let code = code_for(&app, NEW).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = act(&app, &browser, &attempt, "attempt_verification", &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    let user = &done["client"]["sessions"][0]["user"];
    assert_eq!(user["external_accounts"].as_array().unwrap().len(), 1);
    assert_eq!(user["external_accounts"][0]["verification"]["status"], "verified");
}
