//! A person in front of a browser: goes through the frontend API and the simulated providers as the SDK would.

use serde_json::Value;
use url::Url;

use super::app::TestApp;
use super::browser::{Answer, Browser};

/// A page of an app on another port.
pub const APP: &str = "http://localhost:3000";

/// `POST /v1/client/<kind>` with a provider.
pub async fn begin(app: &TestApp, browser: &Browser, kind: &str, strategy: &str) -> Answer {
    let form = [("strategy", strategy), ("redirect_url", "/sso-callback"), ("action_complete_redirect_url", "/done")];
    browser.post_form(app.url(&format!("/v1/client/{kind}")), APP, &form).await
}

/// The provider's address in an answer about an attempt.
#[track_caller]
pub fn provider_url(answer: &Answer) -> Url {
    let attempt = &answer.json()["response"];
    let verification = match attempt["object"].as_str() {
        Some("sign_up") => &attempt["verifications"]["external_account"],
        _ => &attempt["first_factor_verification"],
    };
    assert_eq!(verification["status"], "unverified", "{verification}");
    let url = verification["external_verification_redirect_url"].as_str();
    url.unwrap_or_else(|| panic!("no address: {verification}")).parse().unwrap()
}

/// Approves at the simulated provider as `person`, without a page; returns the callback's address.
pub async fn approve(browser: &Browser, mut provider: Url, person: &str) -> Url {
    provider.query_pairs_mut().append_pair("login_hint", person).append_pair("auto", "1");
    let answer = browser.follow(provider.as_str(), |url| url.path() == "/v1/oauth_callback").await;
    answer.location()
}

/// The same with a fault of the simulated provider (`<mode>[:<value>][@<call>]`) that stays with this approval.
pub async fn approve_failing(browser: &Browser, mut provider: Url, person: &str, fault: &str) -> Url {
    provider.query_pairs_mut().append_pair("fail", fault);
    approve(browser, provider, person).await
}

/// Begins, approves and comes back; returns the answer of the callback.
pub async fn go(app: &TestApp, browser: &Browser, kind: &str, strategy: &str, person: &str) -> Answer {
    let begun = begin(app, browser, kind, strategy).await.expect(200);
    let callback = approve(browser, provider_url(&begun), person).await;
    browser.get(callback).await
}

/// Transfers a verification to the other kind of attempt.
pub async fn transfer(app: &TestApp, browser: &Browser, kind: &str) -> Answer {
    browser.post_form(app.url(&format!("/v1/client/{kind}")), APP, &[("transfer", "true")]).await
}

/// Signs `person` up with `strategy`; returns the new user's id.
pub async fn sign_up(app: &TestApp, browser: &Browser, strategy: &str, person: &str) -> String {
    let done = go(app, browser, "sign_ups", strategy, person).await.expect(303);
    assert_eq!(done.location().as_str(), format!("{APP}/done"));
    let client = client(app, browser).await;
    client["sessions"][0]["user"]["id"].as_str().unwrap().to_owned()
}

/// `GET /v1/client`.
pub async fn client(app: &TestApp, browser: &Browser) -> Value {
    browser.get(app.url("/v1/client")).await.expect(200).json()["response"].clone()
}
