//! The username that a provider brings: GitHub's `login`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::linking::{back, set, user, verification};
use crate::support::person::{approve, begin, client, provider_url, sign_up};
use crate::support::{Browser, TestApp};
use crate::verification::form;

/// GitHub makes its logins of what stands before the `@`: it has the same one for both.
const GRACE: &str = "grace@navy.mil";
const OTHER: &str = "grace@army.mil";

/// A server whose users have usernames: they can, or they must.
async fn start(rule: Value) -> TestApp {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": { "username": rule } })).await;
    app
}

async fn change(app: &TestApp, browser: &Browser, fields: &[(&str, &str)]) -> Value {
    let attempt = client(app, browser).await["sign_up"]["id"].as_str().unwrap().to_owned();
    form(app, browser, &format!("/v1/client/sign_ups/{attempt}?_method=PATCH"), fields).await.expect(200).json()
}

#[tokio::test]
async fn a_free_one_is_taken_and_a_taken_one_is_dropped_in_silence() {
    let app = start(json!({ "enabled": true })).await;
    let first = sign_up(&app, &app.browser(), "oauth_github", GRACE).await;
    assert_eq!(user(&app, &first).await["username"], "grace");
    let second = sign_up(&app, &app.browser(), "oauth_github", OTHER).await;
    let second = user(&app, &second).await;
    assert!(second["username"].is_null(), "{second}");
    assert_eq!(second["external_accounts"][0]["username"], "grace", "the account keeps the name that it has there");
}

#[tokio::test]
async fn one_of_a_wrong_form_is_dropped_in_silence() {
    let app = start(json!({ "enabled": true })).await;
    let ada = sign_up(&app, &app.browser(), "oauth_github", "ada@example.com").await;
    let ada = user(&app, &ada).await;
    assert_eq!((&ada["username"], &ada["external_accounts"][0]["username"]), (&Value::Null, &json!("ada")));
}

#[tokio::test]
async fn where_one_is_required_a_taken_one_is_asked_for() {
    let app = start(json!({ "required": true })).await;
    sign_up(&app, &app.browser(), "oauth_github", GRACE).await;
    let browser = app.browser();
    let found = back(&app, &browser, "sign_ups", "oauth_github", OTHER).await;
    assert_eq!(verification(&found).0, "verified");
    let attempt = &found["sign_up"];
    assert_eq!((&attempt["username"], &attempt["missing_fields"]), (&Value::Null, &json!(["username"])));
    let done = change(&app, &browser, &[("username", "hopper")]).await;
    assert_eq!(done["client"]["sessions"][0]["user"]["username"], "hopper", "{done}");
}

#[tokio::test]
async fn one_that_somebody_takes_while_the_sign_up_waits_is_dropped_too() {
    for (rule, missing) in [(json!({ "enabled": true }), json!([])), (json!({ "required": true }), json!(["username"]))]
    {
        let app = start(rule).await;
        set(&app, json!({ "legal_consent": true })).await;
        let browser = app.browser();
        let found = back(&app, &browser, "sign_ups", "oauth_github", GRACE).await;
        assert_eq!(
            (&found["sign_up"]["username"], &found["sign_up"]["status"]),
            (&json!("grace"), &json!("missing_requirements"))
        );
        set(&app, json!({ "legal_consent": false })).await;
        sign_up(&app, &app.browser(), "oauth_github", OTHER).await;
        set(&app, json!({ "legal_consent": true })).await;
        let then = change(&app, &browser, &[("legal_accepted", "true")]).await;
        assert_eq!(then["response"]["missing_fields"], missing, "{then}");
        assert!(then["response"]["username"].is_null(), "{then}");
        let done = if missing == json!([]) { then } else { change(&app, &browser, &[("username", "hopper")]).await };
        assert_eq!(done["response"]["status"], "complete", "{done}");
    }
}

#[tokio::test]
async fn of_many_at_once_one_gets_the_name_and_all_sign_up() {
    let app = start(json!({ "enabled": true })).await;
    let mut callbacks = Vec::new();
    for at in 0..6 {
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ups", "oauth_github").await.expect(200);
        let callback = approve(&browser, provider_url(&begun), &format!("grace@navy{at}.mil")).await;
        callbacks.push((browser, callback));
    }
    let done = join_all(callbacks.iter().map(|(browser, callback)| browser.get(callback.clone()))).await;
    assert!(done.iter().all(|answer| answer.status == 303));
    let mut named = 0;
    for (browser, _) in &callbacks {
        let user = client(&app, browser).await["sessions"][0]["user"].clone();
        assert!(user["id"].is_string(), "signed in");
        named += i32::from(user["username"] == "grace");
    }
    assert_eq!(named, 1);
}

#[tokio::test]
async fn one_that_was_typed_and_is_taken_meanwhile_does_not_stop_a_provider() {
    let app = start(json!({ "required": true })).await;
    let browser = app.browser();
    let fields = [("strategy", "oauth_google"), ("redirect_url", "/x"), ("username", "hopper")];
    let begun = form(&app, &browser, "/v1/client/sign_ups", &fields).await.expect(200);
    assert_eq!(begun.json()["response"]["username"], "hopper");
    app.person("hopper").await;
    let reported = form(&app, &app.browser(), "/v1/client/sign_ups", &fields).await.expect(422);
    assert_eq!(reported.error_code(), "form_identifier_exists", "the answer says so at once");
    let callback = approve(&browser, provider_url(&begun), GRACE).await;
    browser.get(callback).await.expect(303);
    let found = client(&app, &browser).await;
    assert_eq!(found["sign_up"]["missing_fields"], json!(["username"]), "{found}");
    let done = change(&app, &browser, &[("username", "hopper_2")]).await;
    assert_eq!(done["response"]["status"], "complete", "{done}");
}
