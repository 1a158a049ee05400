//! Callbacks whose state is of no use.

use std::time::Duration;

use super::{Replayed, as_page, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::person::{approve, begin, provider_url};

#[tokio::test]
async fn a_callback_that_belongs_to_nothing_has_a_flow_of_its_own() {
    let app = TestApp::start().await;
    let program = app.program();
    for query in ["?code=x", "?code=x&state=made-up", "?error=access_denied"] {
        let refused = app.browser().get(app.url(&format!("/v1/oauth_callback{query}"))).await.expect(400);
        assert_eq!(refused.error_code(), "oauth_callback_invalid");
        let flow = app.reported(&program, &reference(&refused), &reasons::STATE_MISSING).await;
        assert_eq!((steps(&flow), &flow["kind"]), (vec!["callback", "state_checked"], &"callback".into()));
        assert!(!flow.to_string().contains("made-up"), "{flow}");
        replayed(&program, &reference(&refused), Replayed::Gone);
    }
    let page = as_page(&app.browser(), &app.url("/v1/oauth_callback?code=x")).await.expect(400);
    let reference = reference(&page);
    assert!(page.text.contains(&format!("<code id=\"reference\">{reference}</code>")), "{}", page.text);
    assert!(page.text.contains("data-page=\"provider.error\" data-state=\"start_again\""), "{}", page.text);
    app.reported(&program, &reference, &reasons::STATE_MISSING).await;
}

#[tokio::test]
async fn a_state_is_used_late_elsewhere_or_without_its_cookie() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let flow = reference(&begun);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;

    let refused = app.browser().get(callback.as_str()).await.expect(400);
    assert_eq!(reference(&refused), flow, "it belongs to the flow that began");
    app.reported(&program, &flow, &reasons::COOKIE_MISSING).await;
    replayed(&program, &flow, Replayed::Unknown);

    let other = app.browser();
    begin(&app, &other, "sign_ins", "oauth_google").await.expect(200);
    let refused = other.get(callback.as_str()).await.expect(400);
    assert_eq!(reference(&refused), flow);
    app.reported(&program, &flow, &reasons::STATE_OTHER_BROWSER_CLIENT).await;
    replayed(&program, &flow, Replayed::Gone);

    app.advance(Duration::from_secs(11 * 60)).await;
    assert_eq!(reference(&browser.get(callback.as_str()).await.expect(400)), flow);
    let shown = app.reported(&program, &flow, &reasons::STATE_EXPIRED).await;
    replayed(&program, &flow, Replayed::Gone);
    let expected = [
        "started",
        "sent_to_provider",
        "callback",
        "state_checked",
        "callback",
        "state_checked",
        "callback",
        "state_checked",
    ];
    assert_eq!(steps(&shown), expected);
}

#[tokio::test]
async fn the_older_of_two_starts_is_replaced() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let first = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&first), "ada@example.com").await;
    let second = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    assert_ne!(reference(&first), reference(&second));
    let refused = browser.get(callback.as_str()).await.expect(400);
    assert_eq!(reference(&refused), reference(&first));
    let shown = app.reported(&program, &reference(&first), &reasons::ATTEMPT_REPLACED).await;
    assert!(shown["hint"].as_str().unwrap().contains(&reference(&second)), "the newer flow is named: {shown}");
    replayed(&program, &reference(&first), Replayed::Gone);
    assert_eq!(app.flow(&reference(&second)).await["status"], "open");
}

#[tokio::test]
async fn another_issuer_answers() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    let foreign =
        callback.as_str().replace("/v1/oauth_callback?", "/v1/oauth_callback?iss=https%3A%2F%2Fevil.example&");
    let refused = browser.get(foreign).await.expect(400);
    assert_eq!(reference(&refused), reference(&begun));
    app.reported(&program, &reference(&begun), &reasons::ISSUER_MISMATCH_CALLBACK).await;
    replayed(&program, &reference(&begun), Replayed::Unknown);
}

/// What the first call did stands, and the reload is shown on its page.
#[tokio::test]
async fn a_reload_changes_nothing() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    browser.get(callback.as_str()).await.expect(303);
    let refused = browser.get(callback.as_str()).await.expect(400);
    assert_eq!(reference(&refused), reference(&begun));
    let flow = app.flow(&reference(&begun)).await;
    assert_eq!((&flow["status"], &flow["reason"]), (&"succeeded".into(), &serde_json::Value::Null));
    let last = flow["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["name"], "state_checked", "{flow}");
    reasons::STATE_USED.is_step_of(&flow);
    replayed(&program, &reference(&begun), Replayed::Succeeds);
}

#[tokio::test]
async fn cancelled_authorization_stores_the_provider_s_error() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let provider = provider_url(&begun);
    let state = provider.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let url = app.url(&format!("/v1/oauth_callback?state={state}&error=access_denied&error_description=No+thanks%0d"));
    browser.get(url).await.expect(303);
    let flow = app.reported(&program, &reference(&begun), &reasons::PROVIDER_DENIED).await;
    let callback = flow["steps"].as_array().unwrap().iter().find(|step| step["name"] == "callback").unwrap();
    assert_eq!(callback["detail"]["error_description"], "No thanks");
    assert!(!flow.to_string().contains(&state), "{flow}");
    replayed(&program, &reference(&begun), Replayed::Gone);
}
