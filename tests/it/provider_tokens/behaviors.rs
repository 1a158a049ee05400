//! Every way in which providers refresh, as the simulator plays it.

use crate::flows::reasons;
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
    assert_eq!(health["reason"], reasons::TOKEN_MISSING_REFRESH.short());
    let (_, got, health) = asked_twice(&app, "revoked", "new-12@example.com").await;
    let refused = || Err("oauth_token_retrieval_error".to_owned());
    assert_eq!(got, [refused(), refused()]);
    assert_eq!(
        (&health["state"], &health["reason"]),
        (&"needs_reconnect".into(), &reasons::REFRESH_REFUSED_INVALID_GRANT.short().into())
    );
}

/// Google as it would be if it gave no refresh tokens and prolonged access tokens.
fn prolonging() -> String {
    let file = include_str!("../../../config/providers/google.toml");
    let refresh = "[refresh]\nexchange = { grant_type = \"exchange_it\", token_param = \"the_token\" }";
    file.replace("[refresh]", refresh).replace("supported = \"always\"", "supported = \"never\"")
}

/// How often the provider was asked for newer tokens.
async fn times_asked(app: &TestApp) -> u64 {
    let state = app.browser().get(app.url("/_dev/providers/google/state")).await.expect(200).json();
    // A call that never came is not counted.
    state["calls"]["refresh"].as_u64().unwrap_or(0)
}

/// Somebody whose access token is prolonged by exchanging it; the path of the token, that of its health, and the token.
async fn with_a_short_token(app: &TestApp) -> (String, String, Value) {
    switch(app, &json!({ "refresh": "long_lived_exchange" })).await;
    let user = sign_up(app, &app.browser(), "oauth_google", "ada@example.com").await;
    let path = format!("/v1/users/{user}/oauth_access_tokens/google");
    let first = app.backend_get(&path).await.expect(200).json()[0].clone();
    let account = first["external_account_id"].as_str().unwrap();
    let health = format!("/v1/vestibule/users/{user}/external_accounts/{account}/token");
    (path, health, first)
}

#[tokio::test]
async fn an_access_token_is_prolonged_while_it_lives_and_never_after() {
    let app = TestApp::knowing(&[&prolonging()]).await;
    let (path, health, short) = with_a_short_token(&app).await;
    assert_eq!(times_asked(&app).await, 0, "a token that lives is not exchanged");
    app.advance(Duration::from_secs(3545)).await;
    let long = app.backend_get(&path).await.expect(200).json()[0].clone();
    assert_ne!(long["token"], short["token"]);
    assert_eq!(long["scopes"], short["scopes"]);
    let more = long["expires_at"].as_i64().unwrap() - short["expires_at"].as_i64().unwrap();
    assert!(more > 59 * 86_400_000, "{more}");
    app.advance(Duration::from_secs(7200)).await;
    assert_eq!(app.backend_get(&path).await.expect(200).json()[0]["token"], long["token"]);
    assert_eq!(app.backend_get(&health).await.json()["state"], "fresh");
    assert_eq!(times_asked(&app).await, 1);
    // Its end passed without anybody asking: it is too late.
    app.advance(Duration::from_secs(61 * 86_400)).await;
    let before = app.backend_get(&health).await.json();
    assert_eq!(
        (&before["state"], &before["reason"]),
        (&"needs_reconnect".into(), &reasons::TOKEN_MISSING_REFRESH.short().into())
    );
    assert_eq!(app.backend_get(&path).await.expect(422).error_code(), "oauth_missing_refresh_token");
    assert_eq!(times_asked(&app).await, 1, "what has ended cannot be exchanged, and is not tried");
    crate::support::person::go(&app, &app.browser(), "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    app.backend_get(&path).await.expect(200);
    assert_eq!(app.backend_get(&health).await.json()["state"], "fresh");
}

#[tokio::test]
async fn a_token_that_could_not_be_prolonged_is_given_until_it_ends() {
    let app = TestApp::knowing(&[&prolonging()]).await;
    let (path, health, short) = with_a_short_token(&app).await;
    app.advance(Duration::from_secs(3545)).await;
    switch(&app, &json!({ "fault": "http_500@refresh" })).await;
    assert_eq!(app.backend_get(&path).await.expect(200).json()[0]["token"], short["token"]);
    let refused = app.backend_get(&health).await.json();
    assert_eq!((&refused["state"], &refused["reason"]), (&"refused".into(), &"provider_5xx".into()));
    switch(&app, &json!({ "fault": null, "expire_access_tokens": true })).await;
    assert_eq!(app.backend_get(&path).await.expect(200).json()[0]["token"], short["token"]);
    let dead = app.backend_get(&health).await.json();
    let reason = reasons::REFRESH_REFUSED_INVALID_GRANT.short();
    assert_eq!((&dead["state"], &dead["reason"]), (&"needs_reconnect".into(), &reason.clone().into()));
    app.backend_get(&path).await.expect(200);
    assert_eq!(times_asked(&app).await, 2, "what was refused for good is not asked again");
    app.advance(Duration::from_secs(120)).await;
    assert_eq!(app.backend_get(&path).await.expect(400).error_code(), "oauth_token_retrieval_error");
    assert_eq!(app.backend_get(&health).await.json()["reason"], reason);
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
