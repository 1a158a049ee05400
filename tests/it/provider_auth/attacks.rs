//! Callbacks that are not what they seem, and callbacks at once.

use std::time::Duration;

use crate::support::TestApp;
use crate::support::person::{APP, approve, begin, client, provider_url};

#[tokio::test]
async fn a_state_that_is_missing_made_up_or_used_changes_nothing() {
    let app = TestApp::start().await;
    let browser = app.browser();
    for query in ["", "?code=x", "?code=x&state=", "?code=x&state=made-up", "?error=access_denied"] {
        let refused = browser.get(app.url(&format!("/v1/oauth_callback{query}"))).await.expect(400);
        assert_eq!(refused.error_code(), "oauth_callback_invalid", "{query}");
        assert_eq!(refused.json()["errors"][0]["meta"]["reason"], "state_missing");
        assert!(refused.set_cookies().is_empty());
    }
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    browser.get(callback.as_str()).await.expect(303);
    let again = browser.get(callback.as_str()).await.expect(400);
    assert_eq!(again.error_code(), "oauth_callback_invalid");
    let page = browser.request(http::Method::GET, callback.as_str()).header("accept", "text/html");
    let page = browser.send(page).await.expect(400);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(!page.text.contains(callback.query().unwrap()));
}

#[tokio::test]
async fn callback_from_another_browser_is_refused() {
    let app = TestApp::start().await;
    let (attacker, victim, bare) = (app.browser(), app.browser(), app.browser());
    let begun = begin(&app, &attacker, "sign_ins", "oauth_google").await.expect(200);
    begin(&app, &victim, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&victim, provider_url(&begun), "ada@example.com").await;
    for browser in [&victim, &bare] {
        let refused = browser.get(callback.as_str()).await.expect(400);
        assert_eq!(refused.error_code(), "oauth_callback_invalid");
        assert!(refused.set_cookies().is_empty());
    }
    for browser in [&attacker, &victim] {
        assert!(client(&app, browser).await["sessions"].as_array().unwrap().is_empty());
    }
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 0);
}

#[tokio::test]
async fn a_state_lives_ten_minutes() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    app.advance(Duration::from_secs(11 * 60)).await;
    assert_eq!(browser.get(callback).await.expect(400).error_code(), "oauth_callback_invalid");
    let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
    assert_eq!(verification["status"], "expired");
}

#[tokio::test]
async fn the_newer_of_two_starts_counts() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let first = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let second = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let late = approve(&browser, provider_url(&first), "ada@example.com").await;
    assert_eq!(browser.get(late).await.expect(400).error_code(), "oauth_callback_invalid");
    let callback = approve(&browser, provider_url(&second), "ada@example.com").await;
    assert_eq!(browser.get(callback).await.expect(303).location().as_str(), format!("{APP}/done"));
}

#[tokio::test]
async fn another_issuer_s_answer_is_refused() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let mut callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    callback.query_pairs_mut().append_pair("iss", "https://evil.example");
    assert_eq!(browser.get(callback).await.expect(400).error_code(), "oauth_callback_invalid");
}

/// What this version does not know is a fault and not a sign-in.
#[tokio::test]
async fn authorization_with_unknown_intent_makes_nobody() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada").await;
    let db = &app.app().db;
    let free = "alter table provider_authorizations drop constraint provider_authorizations_intent_check";
    sqlx::query(free).execute(db).await.unwrap();
    sqlx::query("update provider_authorizations set intent = 'invite'").execute(db).await.unwrap();
    browser.get(callback).await.expect(500);
    assert_eq!(app.count("select count(*) from users where instance_id = $1 and $2 = ''", "").await, 0);
    assert_eq!(client(&app, &browser).await["sessions"], serde_json::json!([]));
}
