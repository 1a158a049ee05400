//! A provider that comes in while an attempt is under way.

use serde_json::{Value, json};
use url::Url;

use super::linking::{back, set, users, verification};
use crate::support::person::{APP, approve, approve_failing, client, provider_url, sign_up};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::code_for;

const ADA: &str = "ada@example.com";
const TARGETS: [(&str, &str); 2] = [("redirect_url", "/sso-callback"), ("action_complete_redirect_url", "/done")];

/// A server where addresses are verified at sign-up.
async fn start() -> TestApp {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {} })).await;
    app
}

async fn call(app: &TestApp, browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    browser.post_form(app.url(&format!("/v1/client/{path}")), APP, fields).await
}

/// The same with a provider and where it leads back to.
async fn ask(app: &TestApp, browser: &Browser, path: &str, strategy: &str, more: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = TARGETS.into_iter().chain([("strategy", strategy)]).chain(more.iter().copied()).collect();
    call(app, browser, path, &fields).await
}

/// Begins with an identifier; returns the attempt.
async fn with_identifier(app: &TestApp, browser: &Browser, kind: &str, fields: &[(&str, &str)]) -> Value {
    call(app, browser, kind, fields).await.expect(200).json()["response"].clone()
}

fn path(kind: &str, attempt: &Value, rest: &str) -> String {
    format!("{kind}/{}{rest}", attempt["id"].as_str().unwrap())
}

/// Approves as Ada and comes back.
async fn come_back(browser: &Browser, provider: Url) -> Answer {
    let callback = approve(browser, provider, ADA).await;
    browser.get(callback).await
}

#[tokio::test]
async fn a_provider_is_added_to_a_sign_up() {
    for rest in ["?_method=PATCH", "/prepare_verification"] {
        let app = start().await;
        let browser = app.browser();
        let fields = [("email_address", ADA), ("first_name", "Augusta")];
        let attempt = with_identifier(&app, &browser, "sign_ups", &fields).await;
        assert_eq!(attempt["unverified_fields"], json!(["email_address"]));
        let asked = ask(&app, &browser, &path("sign_ups", &attempt, rest), "oauth_google", &[]).await.expect(200);
        let shown = &asked.json()["response"];
        assert_eq!((&shown["id"], &shown["first_name"]), (&attempt["id"], &json!("Augusta")), "{rest}");
        let done = come_back(&browser, provider_url(&asked)).await.expect(303);
        assert_eq!(done.location().as_str(), format!("{APP}/done"), "{rest}");
        let user = client(&app, &browser).await["sessions"][0]["user"].clone();
        assert_eq!(user["first_name"], "Augusta", "what was typed wins");
        let email = &user["email_addresses"][0];
        assert_eq!((&email["email_address"], &email["verification"]["status"]), (&json!(ADA), &json!("verified")));
        assert_eq!(user["external_accounts"][0]["provider"], "oauth_google");
    }
}

#[tokio::test]
async fn a_provider_does_not_vouch_for_another_address_that_was_typed() {
    let app = start().await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ups", &[("email_address", "victim@example.com")]).await;
    let patch = path("sign_ups", &attempt, "?_method=PATCH");
    let asked = ask(&app, &browser, &patch, "oauth_google", &[("last_name", "King")]).await.expect(200);
    assert_eq!(asked.json()["response"]["last_name"], "King", "changed by the same call");
    come_back(&browser, provider_url(&asked)).await.expect(303);
    let found = client(&app, &browser).await;
    assert_eq!(found["sessions"], json!([]));
    assert_eq!(found["sign_up"]["unverified_fields"], json!(["email_address"]));
    assert_eq!(found["sign_up"]["verifications"]["external_account"]["status"], "verified");
}

#[tokio::test]
async fn a_newer_authorization_takes_the_place_of_the_older() {
    let app = start().await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ups", &[("email_address", ADA)]).await;
    let patch = path("sign_ups", &attempt, "?_method=PATCH");
    let older = provider_url(&ask(&app, &browser, &patch, "oauth_google", &[]).await.expect(200));
    let newer = provider_url(&ask(&app, &browser, &patch, "oauth_google", &[]).await.expect(200));
    let refused = come_back(&browser, older).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid");
    assert_eq!(refused.json()["errors"][0]["meta"]["reason"], "attempt_replaced");
    assert_eq!(come_back(&browser, newer).await.expect(303).location().as_str(), format!("{APP}/done"));
    // Nothing is added to what is over.
    let over = ask(&app, &browser, &patch, "oauth_google", &[]).await.expect(400);
    assert_eq!(over.error_code(), "client_state_invalid");
}

#[tokio::test]
async fn identified_sign_in_goes_only_to_a_connected_provider() {
    let app = start().await;
    let user = sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ins", &[("identifier", ADA)]).await;
    let factors = attempt["supported_first_factors"].as_array().unwrap();
    assert!(factors.iter().any(|factor| factor["strategy"] == "oauth_google"), "{attempt}");
    let prepare = path("sign_ins", &attempt, "/prepare_first_factor");
    for (strategy, code) in
        [("oauth_notion", "strategy_for_user_invalid"), ("oauth_nope", "oauth_unsupported_provider")]
    {
        assert_eq!(ask(&app, &browser, &prepare, strategy, &[]).await.expect(400).error_code(), code);
    }
    let missing = call(&app, &browser, &prepare, &[("strategy", "oauth_google")]).await.expect(422);
    assert_eq!(missing.json()["errors"][0]["meta"]["param_name"], "redirect_url");

    let asked = ask(&app, &browser, &prepare, "oauth_google", &[]).await.expect(200);
    let shown = &asked.json()["response"];
    assert_eq!((&shown["id"], &shown["status"]), (&attempt["id"], &json!("needs_first_factor")));
    assert_eq!(shown["first_factor_verification"]["strategy"], "oauth_google");
    let done = come_back(&browser, provider_url(&asked)).await.expect(303);
    assert_eq!(done.location().as_str(), format!("{APP}/done"));
    let found = client(&app, &browser).await;
    assert_eq!(found["sessions"][0]["user"]["id"], user.as_str());
    assert_eq!(found["sign_in"]["status"], "complete");
    // Another client's attempt is none.
    let stranger = app.browser();
    let other = ask(&app, &stranger, &prepare, "oauth_google", &[]).await.expect(404);
    assert_eq!(other.error_code(), "resource_not_found");
}

#[tokio::test]
async fn what_an_older_authorization_brought_is_forgotten() {
    let app = start().await;
    let browser = app.browser();
    // Notion vouches for no address: its verification waits with the attempt.
    let waiting = back(&app, &browser, "sign_ups", "oauth_notion", ADA).await["sign_up"].clone();
    assert_eq!(waiting["unverified_fields"], json!(["email_address"]));
    let stored = "select count(*) from provider_authorizations where instance_id = $1 and provider = $2 and tokens_sealed is not null";
    assert_eq!(app.count(stored, "notion").await, 1);
    let asked =
        ask(&app, &browser, &path("sign_ups", &waiting, "?_method=PATCH"), "oauth_google", &[]).await.expect(200);
    assert_eq!(asked.json()["response"]["external_account_strategy"], "oauth_google");
    assert_eq!(app.count(stored, "notion").await, 0);
    come_back(&browser, provider_url(&asked)).await.expect(303);
    let user = client(&app, &browser).await["sessions"][0]["user"].clone();
    let accounts = user["external_accounts"].as_array().unwrap();
    assert_eq!((accounts.len(), &accounts[0]["provider"]), (1, &json!("oauth_google")), "{user}");
}

#[tokio::test]
async fn a_code_that_is_asked_for_afterwards_ends_the_authorization() {
    let app = start().await;
    sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ins", &[("identifier", ADA)]).await;
    let prepare = path("sign_ins", &attempt, "/prepare_first_factor");
    let authorization = provider_url(&ask(&app, &browser, &prepare, "oauth_google", &[]).await.expect(200));
    call(&app, &browser, &prepare, &[("strategy", "email_code")]).await.expect(200);
    let refused = come_back(&browser, authorization).await.expect(400);
    assert_eq!(refused.json()["errors"][0]["meta"]["reason"], "attempt_replaced");
    let code = code_for(&app, ADA).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = call(&app, &browser, &path("sign_ins", &attempt, "/attempt_first_factor"), &fields).await.expect(200);
    assert_eq!(done.json()["response"]["status"], "complete");
}

#[tokio::test]
async fn an_identified_sign_in_that_the_provider_fails_is_for_nobody() {
    let app = start().await;
    sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    for (person, fault, status, code) in [
        (ADA, Some("deny"), "failed", "oauth_access_denied"),
        ("grace@navy.mil", None, "transferable", "external_account_not_found"),
    ] {
        let browser = app.browser();
        let attempt = with_identifier(&app, &browser, "sign_ins", &[("identifier", ADA)]).await;
        let prepare = path("sign_ins", &attempt, "/prepare_first_factor");
        let authorization = provider_url(&ask(&app, &browser, &prepare, "oauth_google", &[]).await.expect(200));
        let callback = match fault {
            Some(fault) => approve_failing(&browser, authorization, person, fault).await,
            None => approve(&browser, authorization, person).await,
        };
        browser.get(callback).await.expect(303);
        let found = client(&app, &browser).await;
        assert_eq!(verification(&found), (status.to_owned(), code.to_owned()));
        // Anything else sends the SDK to a page that asks for a code.
        let shown = &found["sign_in"];
        assert_eq!((&shown["status"], &shown["identifier"]), (&json!("needs_identifier"), &Value::Null));
        assert_eq!((&shown["supported_first_factors"], &shown["user_data"]), (&Value::Null, &Value::Null));
        let refused = call(&app, &browser, &prepare, &[("strategy", "email_code")]).await.expect(400);
        assert_eq!(refused.error_code(), "client_state_invalid");
    }
}

#[tokio::test]
async fn callback_with_other_identity_signs_that_one_in() {
    let app = start().await;
    sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let grace = sign_up(&app, &app.browser(), "oauth_google", "grace@navy.mil").await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ins", &[("identifier", ADA)]).await;
    let prepare = path("sign_ins", &attempt, "/prepare_first_factor");
    let authorization = provider_url(&ask(&app, &browser, &prepare, "oauth_google", &[]).await.expect(200));
    let callback = approve(&browser, authorization, "grace@navy.mil").await;
    browser.get(callback).await.expect(303);
    assert_eq!(client(&app, &browser).await["sessions"][0]["user"]["id"], grace.as_str());
}

#[tokio::test]
async fn a_typed_address_that_is_taken_meanwhile_is_reported_at_the_provider_s_verification() {
    let app = start().await;
    set(&app, json!({ "legal_consent": true })).await;
    let browser = app.browser();
    let attempt = with_identifier(&app, &browser, "sign_ups", &[("email_address", ADA)]).await;
    call(&app, &browser, &path("sign_ups", &attempt, "/prepare_verification"), &[("strategy", "email_code")])
        .await
        .expect(200);
    let code = code_for(&app, ADA).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    call(&app, &browser, &path("sign_ups", &attempt, "/attempt_verification"), &fields).await.expect(200);
    let patch = path("sign_ups", &attempt, "?_method=PATCH");
    let asked = ask(&app, &browser, &patch, "oauth_google", &[("legal_accepted", "true")]).await.expect(200);
    set(&app, json!({ "legal_consent": false })).await;
    sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    let callback = approve(&browser, provider_url(&asked), "grace@navy.mil").await;
    browser.get(callback).await.expect(303);
    let found = client(&app, &browser).await;
    assert_eq!(verification(&found), ("failed".to_owned(), "identification_claimed".to_owned()));
    assert_eq!((&found["sessions"], users(&app).await), (&json!([]), json!(1)));
}

#[tokio::test]
async fn sign_up_with_provider_creates_no_user_before_its_callback() {
    let app = start().await;
    let attributes = json!({ "email_address": { "verify_at_sign_up": false }, "password": { "enabled": true } });
    set(&app, json!({ "attributes": attributes })).await;
    let browser = app.browser();
    let fields = [("email_address", ADA), ("password", "blauwale fliegen nie"), ("first_name", "Augusta")];
    let asked = ask(&app, &browser, "sign_ups", "oauth_google", &fields).await.expect(200);
    let shown = &asked.json()["response"];
    assert_eq!((&shown["status"], &shown["missing_fields"]), (&json!("missing_requirements"), &json!([])));
    come_back(&browser, provider_url(&asked)).await.expect(303);
    let user = client(&app, &browser).await["sessions"][0]["user"].clone();
    assert_eq!((&user["first_name"], &user["password_enabled"]), (&json!("Augusta"), &json!(true)));
    assert_eq!(user["external_accounts"][0]["provider"], "oauth_google");
}

#[tokio::test]
async fn a_sign_up_names_the_providers_that_it_can_bring_an_account_of() {
    let app = start().await;
    let named = async || with_identifier(&app, &app.browser(), "sign_ups", &[]).await["optional_fields"].clone();
    let all = ["first_name", "last_name", "oauth_github", "oauth_google", "oauth_notion"];
    assert_eq!(named().await, json!(all));
    let change = "update provider_configs set enabled = provider <> 'notion', authenticatable = provider <> $2
        where instance_id = $1";
    app.execute(change, "github").await;
    assert_eq!(named().await, json!(["first_name", "last_name", "oauth_google"]));
}
