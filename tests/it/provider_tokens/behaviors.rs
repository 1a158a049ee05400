//! Every way in which providers refresh, as the simulator plays it.

use crate::support::TestApp;
use crate::support::person::sign_up;
use serde_json::{Value, json};
use std::time::Duration;

async fn switch(app: &TestApp, switches: &Value) {
    let request = app.browser().raw(http::Method::POST, &app.url("/_dev/providers/google/state")).json(switches);
    crate::support::send(request).await.expect(200);
}

/// What a backend gets two hours after a sign-up, and again two hours later: a status, or a code.
async fn asked_twice(app: &TestApp, behavior: &str, person: &str) -> (Value, Vec<Result<Value, String>>, Value) {
    switch(app, &json!({ "refresh": behavior })).await;
    let user = sign_up(app, &app.browser(), "oauth_google", person).await;
    let path = format!("/v1/users/{user}/oauth_access_tokens/google");
    let first = app.backend_get(&path).await.expect(200).json()[0].clone();
    let mut got = Vec::new();
    for _ in 0..2 {
        app.advance(Duration::from_secs(7200)).await;
        let answer = app.backend_get(&path).await;
        got.push(match answer.status.as_u16() {
            200 => Ok(answer.json()[0]["token"].clone()),
            _ => Err(answer.error_code()),
        });
    }
    let account = first["external_account_id"].as_str().unwrap();
    let health = format!("/v1/vestibule/users/{user}/external_accounts/{account}/token");
    (first["token"].clone(), got, app.backend_get(&health).await.expect(200).json())
}

#[tokio::test]
async fn each_behavior_is_followed() {
    let app = TestApp::start().await;
    let behaviors = ["fixed", "rotating", "rotating_grace", "reuse_detection", "first_consent_only"];
    for (index, behavior) in behaviors.into_iter().enumerate() {
        let (first, got, health) = asked_twice(&app, behavior, &format!("new-{index}@example.com")).await;
        let [Ok(second), Ok(third)] = got.as_slice() else { panic!("{behavior}: {got:?}") };
        assert!(first != *second && second != third, "{behavior}");
        assert_eq!((&health["state"], &health["reason"]), (&"fresh".into(), &Value::Null), "{behavior}");
    }
    let (first, got, health) = asked_twice(&app, "expiry_unknown", "new-10@example.com").await;
    assert_eq!(got, [Ok(first.clone()), Ok(first)], "without an end there is nothing to refresh");
    assert_eq!((&health["state"], &health["expires_at"]), (&"fresh".into(), &Value::Null));
    let (_, got, health) = asked_twice(&app, "none", "new-11@example.com").await;
    let missing = || Err("oauth_missing_refresh_token".to_owned());
    assert_eq!(got, [missing(), missing()]);
    assert_eq!(health["reason"], "token_missing:refresh");
    let (_, got, health) = asked_twice(&app, "revoked", "new-12@example.com").await;
    let refused = || Err("oauth_token_retrieval_error".to_owned());
    assert_eq!(got, [refused(), refused()]);
    assert_eq!(
        (&health["state"], &health["reason"]),
        (&"needs_reconnect".into(), &"refresh_refused:invalid_grant".into())
    );
}

#[tokio::test]
async fn connecting_again_mends_it_without_touching_the_user() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let path = format!("/v1/users/{user}/oauth_access_tokens/google");
    switch(&app, &json!({ "refresh": "revoked" })).await;
    app.advance(Duration::from_secs(7200)).await;
    app.backend_get(&path).await.expect(400);
    let before = app.backend_get(&format!("/v1/users/{user}")).await.expect(200).json();
    let error = &before["external_accounts"][0]["verification"]["error"]["code"];
    assert_eq!(error, "external_account_missing_refresh_token");
    let page = browser.get(app.url("/user")).await.expect(200);
    assert!(page.text.contains("Needs to be connected again: Google no longer accepts it"), "{}", page.text);
    switch(&app, &json!({ "refresh": "fixed" })).await;
    crate::support::person::go(&app, &app.browser(), "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    app.backend_get(&path).await.expect(200);
    app.advance(Duration::from_secs(7200)).await;
    app.backend_get(&path).await.expect(200);
    let after = app.backend_get(&format!("/v1/users/{user}")).await.expect(200).json();
    assert!(after["external_accounts"][0]["verification"]["error"].is_null());
    for member in ["id", "email_addresses", "first_name", "created_at", "primary_email_address_id"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let events: Vec<String> = sqlx::query_scalar(
        "select payload ->> 'token_state' from outbox where payload ->> 'type' like 'vestibule.external_account.%'
         and payload ? 'token_state' order by created_at, id",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    assert_eq!(events, ["needs_reconnect", "ok"]);
    let page = browser.get(app.url("/user")).await.expect(200);
    assert!(page.text.contains("Working, expires "), "{}", page.text);
}
