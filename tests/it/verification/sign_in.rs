//! Signing in by a code, through the API.

use super::{code_for, form, messages};
use crate::support::person::{self, APP, client};
use crate::support::{Answer, Browser, SignedUp, TestApp};
use serde_json::Value;
use std::time::Duration;

async fn create(app: &TestApp, browser: &Browser, fields: &[(&str, &str)]) -> Answer {
    form(app, browser, "/v1/client/sign_ins", fields).await
}

/// Begins for `person`; returns the attempt.
async fn begin(app: &TestApp, browser: &Browser, person: &SignedUp) -> Value {
    create(app, browser, &[("identifier", &person.email)]).await.expect(200).json()["response"].clone()
}

async fn prepare(app: &TestApp, browser: &Browser, attempt: &Value) -> Answer {
    let (id, factor) = (attempt["id"].as_str().unwrap(), &attempt["supported_first_factors"][0]);
    let fields = [("strategy", "email_code"), ("email_address_id", factor["email_address_id"].as_str().unwrap())];
    form(app, browser, &format!("/v1/client/sign_ins/{id}/prepare_first_factor"), &fields).await
}

async fn attempt_code(app: &TestApp, browser: &Browser, attempt: &Value, code: &str) -> Answer {
    let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", attempt["id"].as_str().unwrap());
    form(app, browser, &path, &[("strategy", "email_code"), ("code", code)]).await
}

#[tokio::test]
async fn a_person_signs_in_by_a_code() {
    let app = TestApp::start().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let attempt = begin(&app, &browser, &ada).await;
    assert_eq!(attempt["status"], "needs_first_factor");
    assert_eq!(attempt["identifier"], "ada@example.com");
    assert_eq!(attempt["user_data"]["first_name"], "Ada");
    assert_eq!(attempt["first_factor_verification"], Value::Null);
    let factor = &attempt["supported_first_factors"][0];
    assert_eq!((&factor["strategy"], &factor["primary"]), (&"email_code".into(), &true.into()));
    assert_eq!(factor["safe_identifier"], "a****@example.com");
    assert_eq!(attempt["supported_first_factors"].as_array().unwrap().len(), 1, "no provider is connected");

    let prepared = prepare(&app, &browser, &attempt).await.expect(200).json()["response"].clone();
    let verification = &prepared["first_factor_verification"];
    assert_eq!(
        (&verification["object"], &verification["status"]),
        (&"verification_otp".into(), &"unverified".into()),
        "{verification}"
    );
    let code = code_for(&app, &ada.email).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = attempt_code(&app, &browser, &attempt, wrong).await.expect(422);
    assert_eq!(refused.error_code(), "form_code_incorrect");
    assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "code");

    let old = browser.cookie("localhost", "__client").unwrap();
    let done = attempt_code(&app, &browser, &attempt, &code).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["client"]["sign_in"], Value::Null, "completed by a call: gone from the client");
    let session = &done["client"]["sessions"][0];
    assert_eq!(done["response"]["created_session_id"], session["id"]);
    assert_eq!(session["user"]["id"], ada.user_id.as_str());
    assert_eq!(session["factor_verification_age"], serde_json::json!([0, -1]));
    assert_ne!(browser.cookie("localhost", "__client").unwrap(), old, "the token is replaced");
    assert_eq!(client(&app, &browser).await["last_authentication_strategy"], "email_code");
    assert_eq!(attempt_code(&app, &browser, &attempt, &code).await.expect(400).error_code(), "client_state_invalid");
}

#[tokio::test]
async fn one_call_begins_and_sends() {
    let app = TestApp::start().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let fields = [("identifier", " Ada@Example.com "), ("strategy", "email_code")];
    let attempt = create(&app, &browser, &fields).await.expect(200).json()["response"].clone();
    assert_eq!(attempt["first_factor_verification"]["strategy"], "email_code");
    let code = code_for(&app, &ada.email).await;
    assert_eq!(
        attempt_code(&app, &browser, &attempt, &code).await.expect(200).json()["response"]["status"],
        "complete"
    );
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused_and_nothing_is_written() {
    let app = TestApp::start().await;
    let browser = app.browser();
    for (fields, status, code) in [
        (vec![("identifier", "nobody@example.com")], 422, "form_identifier_not_found"),
        (vec![("identifier", "nobody")], 422, "form_identifier_not_found"),
        (vec![("identifier", "a@b@c")], 422, "form_param_format_invalid"),
        (vec![("strategy", "email_code")], 422, "form_param_value_invalid"),
    ] {
        let refused = create(&app, &browser, &fields).await.expect(status);
        assert_eq!(refused.error_code(), code, "{fields:?}");
    }
    assert_eq!(app.count("select count(*) from sign_ins where instance_id = $1 and $2 = ''", "").await, 0);
    let ada = app.person("ada").await;
    let attempt = begin(&app, &browser, &ada).await;
    let path = |verb: &str| format!("/v1/client/sign_ins/{}/{verb}_first_factor", attempt["id"].as_str().unwrap());
    for (verb, fields, status, code) in [
        ("prepare", vec![("strategy", "email_link"), ("redirect_url", "/x")], 400, "strategy_for_user_invalid"),
        ("prepare", vec![("strategy", "nonsense")], 422, "form_param_value_invalid"),
        ("prepare", vec![("strategy", "email_code"), ("email_address_id", "idn_x")], 403, "resource_forbidden"),
        ("attempt", vec![("strategy", "email_code"), ("code", "123456")], 400, "verification_missing"),
        ("attempt", vec![("strategy", "email_code")], 422, "form_param_missing"),
        ("attempt", vec![("strategy", "phone_code"), ("code", "1")], 400, "strategy_for_user_invalid"),
    ] {
        let refused = form(&app, &browser, &path(verb), &fields).await.expect(status);
        assert_eq!(refused.error_code(), code, "{verb} {fields:?}");
    }
    let stranger = app.browser();
    client(&app, &stranger).await;
    let foreign = form(&app, &stranger, &path("prepare"), &[("strategy", "email_code")]).await.expect(404);
    assert_eq!(foreign.error_code(), "resource_not_found");
}

#[tokio::test]
async fn a_code_of_one_browser_is_nothing_in_another() {
    let app = TestApp::start().await;
    let (mine, other, ada) = (app.browser(), app.browser(), app.person("ada").await);
    let (attempt, foreign) = (begin(&app, &mine, &ada).await, begin(&app, &other, &ada).await);
    prepare(&app, &mine, &attempt).await.expect(200);
    let code = code_for(&app, &ada.email).await;
    assert_eq!(attempt_code(&app, &other, &attempt, &code).await.expect(404).error_code(), "resource_not_found");
    assert_eq!(attempt_code(&app, &other, &foreign, &code).await.expect(400).error_code(), "verification_missing");
    app.advance(Duration::from_secs(31)).await;
    prepare(&app, &other, &foreign).await.expect(200);
    let theirs = code_for(&app, &ada.email).await;
    if theirs != code {
        assert_eq!(attempt_code(&app, &other, &foreign, &code).await.expect(422).error_code(), "form_code_incorrect");
    }
    assert_eq!(attempt_code(&app, &mine, &attempt, &code).await.expect(200).json()["response"]["status"], "complete");
}

#[tokio::test]
async fn a_newer_attempt_replaces_the_older_one() {
    let app = TestApp::start().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let old = begin(&app, &browser, &ada).await;
    begin(&app, &browser, &ada).await;
    assert_eq!(prepare(&app, &browser, &old).await.expect(403).error_code(), "resource_forbidden");
    let path = format!("/v1/client/sign_ins/{}", old["id"].as_str().unwrap());
    browser.get(app.url(&path)).await.expect(404);
    let attempt = begin(&app, &browser, &ada).await;
    app.advance(Duration::from_secs(25 * 3600)).await;
    assert_eq!(prepare(&app, &browser, &attempt).await.expect(400).error_code(), "client_state_invalid");
}

#[tokio::test]
async fn messages_to_one_address_are_spaced() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let attempt = begin(&app, &browser, &ada).await;
    prepare(&app, &browser, &attempt).await.expect(200);
    let refused = prepare(&app, &browser, &attempt).await.expect(429);
    assert_eq!(refused.error_code(), "verification_code_too_many_requests");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&wait), "{wait}");
    app.advance(Duration::from_secs(31)).await;
    prepare(&app, &browser, &attempt).await.expect(200);
    assert_eq!(messages(&app, &ada.email).await.len(), 2);
}

#[tokio::test]
async fn an_address_that_is_only_claimed_identifies_nobody() {
    let app = TestApp::start().await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"attributes": {}}"#).await;
    app.app().forget_directory();
    let (browser, ada) = (app.browser(), app.person("ada").await);
    app.execute(
        "update identifications set status = 'unverified', verified_at = null where instance_id = $1 and user_id = $2",
        &ada.user_id,
    )
    .await;
    let refused = create(&app, &browser, &[("identifier", &ada.email)]).await.expect(422);
    assert_eq!(refused.error_code(), "form_identifier_not_found");
}

#[tokio::test]
async fn connected_providers_are_first_factors() {
    let app = TestApp::start().await;
    let browser = app.browser();
    person::sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let other = app.browser();
    let attempt =
        create(&app, &other, &[("identifier", "ada@example.com")]).await.expect(200).json()["response"].clone();
    let strategies: Vec<&str> = attempt["supported_first_factors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|factor| factor["strategy"].as_str().unwrap())
        .collect();
    assert_eq!(strategies, ["email_code", "oauth_google"]);
}

#[tokio::test]
async fn strict_mode_answers_alike_for_unknown_addresses_and_users() {
    let app = TestApp::start().await;
    let ada = app.person("ada").await;
    app.execute(
        r#"update instances set settings = settings || '{"enumeration_protection": "strict"}' where id = $1 and $2 = ''"#,
        "",
    )
    .await;
    app.app().forget_directory();
    let mut seen = Vec::new();
    for address in [ada.email.as_str(), "nob@example.com"] {
        let browser = app.browser();
        let begun = create(&app, &browser, &[("identifier", address)]).await.expect(200);
        let attempt = begun.json()["response"].clone();
        let mut answers = vec![begun, prepare(&app, &browser, &attempt).await.expect(200)];
        for _ in 0..6 {
            answers.push(attempt_code(&app, &browser, &attempt, "1234567").await);
        }
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        let texts: Vec<String> = answers.iter().map(|answer| masked(&answer.json(), address)).collect();
        seen.push((statuses, texts));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].0, [200, 200, 422, 422, 422, 422, 422, 400]);
    assert_eq!(messages(&app, &ada.email).await.len(), 1);
    assert!(messages(&app, "nob@example.com").await.is_empty());
}

/// An answer without what differs in any two: ids, times and the address typed.
pub fn masked(answer: &Value, address: &str) -> String {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(walk),
            Value::Array(list) => list.iter_mut().for_each(walk),
            Value::Number(number) if number.as_i64().is_some_and(|number| number > 1_000_000) => {
                *value = Value::from(0)
            }
            Value::String(text) => {
                if let Some((prefix, tail)) = text.split_once('_')
                    && tail.len() == 27
                {
                    *text = prefix.to_owned();
                }
            }
            _ => {}
        }
    }
    let mut answer = answer.clone();
    walk(&mut answer);
    let first = address.chars().next().unwrap();
    answer.to_string().replace(address, "ADDRESS").replace(&format!("{first}****"), "M****")
}

#[tokio::test]
async fn sign_in_of_unknown_address_becomes_sign_up_after_verification() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let fields = [("identifier", "new@example.com"), ("strategy", "email_code"), ("sign_up_if_missing", "true")];
    let attempt = create(&app, &browser, &fields).await.expect(200).json()["response"].clone();
    let code = code_for(&app, "new@example.com").await;
    let refused = attempt_code(&app, &browser, &attempt, &code).await.expect(404);
    assert_eq!(refused.error_code(), "sign_up_if_missing_transfer");
    let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
    assert_eq!(verification["status"], "transferable", "{verification}");
    let fields = [("identifier", "x@example.com"), ("strategy", "password"), ("sign_up_if_missing", "true")];
    let refused = create(&app, &browser, &fields).await.expect(422);
    assert_eq!(refused.error_code(), "sign_up_if_missing_strategy_not_supported");

    let foreign = form(&app, &app.browser(), "/v1/client/sign_ups", &[("transfer", "true")]).await.expect(400);
    assert_eq!(foreign.error_code(), "account_transfer_invalid");
    let done = form(&app, &browser, "/v1/client/sign_ups", &[("transfer", "true")]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    let email = &done["client"]["sessions"][0]["user"]["email_addresses"][0];
    assert_eq!(
        (&email["email_address"], &email["verification"]["status"]),
        (&"new@example.com".into(), &"verified".into())
    );
    let again = browser.post_form(app.url("/v1/client/sign_ups"), APP, &[("transfer", "true")]).await;
    assert!(again.status.is_client_error(), "{again:?}");
}
