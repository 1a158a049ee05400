//! Every way a refresh can fail, and what each leaves behind.

use crate::flows::reasons;
use crate::support::TestApp;
use crate::support::issuer::{Connected, Issuer, stored};
use http::Method;
use serde_json::Value;

async fn account_error(app: &TestApp, connected: &Connected) -> Value {
    let user = app.backend_get(&format!("/v1/users/{}", connected.user)).await.expect(200).json();
    user["external_accounts"][0]["verification"]["error"]["code"].clone()
}

#[tokio::test]
async fn every_failure_has_its_code_reason_and_side_effects() {
    const JSON: &str = "application/json";
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let other = reasons::REFRESH_REFUSED_OTHER.short();
    for (fault, reason, is_retryable, marks) in [
        ((500, JSON, "{}"), "provider_5xx", true, false),
        ((503, "text/plain", ""), "provider_5xx", true, false),
        ((429, JSON, "{}"), "provider_rate_limited", true, false),
        ((200, "text/html", "<html>"), "provider_unreadable:html", true, false),
        ((200, JSON, "{\"access"), "provider_unreadable:json", true, false),
        ((200, JSON, "{}"), "provider_wrong_type:access_token", false, false),
        ((401, JSON, "{\"error\":\"invalid_client\"}"), "token_invalid_client", false, false),
        ((403, JSON, "{}"), "provider_refused", false, false),
        ((302, JSON, "{}"), "endpoint_refused:redirected", false, false),
        ((400, JSON, "{\"error\":\"invalid_request\"}"), other.as_str(), false, true),
    ] {
        issuer.reconnect(&app, &ada, Some(3600)).await;
        app.execute(
            "update external_accounts set error = null where instance_id = $1 and id = $2",
            ada.account.as_str(),
        )
        .await;
        issuer.behave(|it| it.fault = Some(fault));
        issuer.expire(&app, &ada).await;
        let refused = app.backend_get(&ada.path()).await.expect(400);
        assert_eq!(refused.error_code(), "oauth_token_retrieval_error", "{reason}");
        let meta = refused.json()["errors"][0]["meta"].clone();
        assert_eq!(meta["retryable"] == true, is_retryable, "{reason}");
        assert_eq!(refused.header("retry-after"), is_retryable.then_some("5"), "{reason}");
        let health = app.backend_get(&ada.health()).await.expect(200).json();
        assert_eq!((health["state"].as_str(), health["reason"].as_str()), (Some("refused"), Some(reason)));
        let expected = if marks { "external_account_missing_refresh_token".into() } else { Value::Null };
        assert_eq!(account_error(&app, &ada).await, expected, "{reason}");
        assert!(stored(&app, &ada, "refresh_token_sealed").await.is_some(), "{reason}: may be tried again");
        issuer.behave(|it| it.fault = None);
        app.backend_get(&ada.path()).await.expect(200);
        assert_eq!(app.backend_get(&ada.health()).await.json()["state"], "fresh", "{reason}");
        assert_eq!(account_error(&app, &ada).await, Value::Null, "{reason}: a good refresh clears it");
    }
}

#[tokio::test]
async fn a_dead_refresh_token_is_dropped_and_asked_with_no_more() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    issuer.revoke(&ada);
    for _ in 0..2 {
        let refused = app.backend_get(&ada.path()).await.expect(400);
        assert_eq!(refused.error_code(), "oauth_token_retrieval_error");
        assert!(refused.header("retry-after").is_none());
    }
    assert_eq!(issuer.asked(), 1);
    assert_eq!(stored(&app, &ada, "refresh_token_sealed").await, None);
    let health = app.backend_get(&ada.health()).await.json();
    assert_eq!(
        (&health["state"], &health["reason"]),
        (&"needs_reconnect".into(), &reasons::REFRESH_REFUSED_INVALID_GRANT.short().into())
    );
    assert_eq!(account_error(&app, &ada).await, "external_account_missing_refresh_token");
    issuer.reconnect(&app, &ada, Some(3600)).await;
    app.backend_get(&ada.path()).await.expect(200);
    let health = app.backend_get(&ada.health()).await.json();
    assert_eq!((health["state"].as_str(), health["reason"].as_str()), (Some("fresh"), None));
}

#[tokio::test]
async fn what_was_never_given_or_is_withdrawn_is_missing() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    for (username, statement, code, reported) in [
        (
            "ada",
            "update provider_tokens set refresh_token_sealed = null where instance_id = $1 and external_account_id = $2",
            "oauth_missing_refresh_token",
            reasons::TOKEN_MISSING_REFRESH,
        ),
        (
            "grace",
            "update provider_tokens set access_token_sealed = null where instance_id = $1 and external_account_id = $2",
            "oauth_missing_access_token",
            reasons::TOKEN_MISSING_ACCESS,
        ),
        (
            "mary",
            "delete from provider_tokens where instance_id = $1 and external_account_id = $2",
            "oauth_missing_access_token",
            reasons::TOKEN_MISSING_ACCESS,
        ),
    ] {
        let ada = issuer.connect(&app, username).await;
        issuer.expire(&app, &ada).await;
        app.execute(statement, ada.account.as_str()).await;
        assert_eq!(app.backend_get(&ada.path()).await.expect(422).error_code(), code);
        assert_eq!(account_error(&app, &ada).await, "external_account_missing_refresh_token");
        let health = app.backend_get(&ada.health()).await.json();
        let reason = reported.short();
        assert_eq!(
            (health["state"].as_str(), health["reason"].as_str()),
            (Some("needs_reconnect"), Some(reason.as_str()))
        );
        let events = "select count(*) from outbox where instance_id = $1 and payload ->> 'id' = $2
            and payload ->> 'type' = 'vestibule.external_account.needs_reconnect'";
        assert_eq!(app.count(events, ada.account.as_str()).await, 1);
        let cost = app.cost(app.backend_get(&ada.path())).await;
        assert_eq!(app.count(events, ada.account.as_str()).await, 1, "reported once");
        assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:?}");
    }
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn inside_the_leeway_the_old_token_is_good_enough() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.reconnect(&app, &ada, Some(50)).await;
    issuer.behave(|it| it.fault = Some((500, "text/plain", "")));
    let old = app.backend_get(&ada.path()).await.expect(200).json()[0]["token"].clone();
    assert_eq!((old, issuer.asked()), (issuer.newest(&ada).into(), 1));
    assert_eq!(app.backend_get(&ada.health()).await.json()["state"], "refused", "noted");
    issuer.behave(|it| it.fault = None);
    let fresh = app.backend_get(&ada.path()).await.expect(200).json()[0]["token"].clone();
    assert_eq!((fresh, issuer.asked()), (issuer.newest(&ada).into(), 2));
    issuer.reconnect(&app, &ada, Some(70)).await;
    app.backend_get(&ada.path()).await.expect(200);
    assert_eq!(issuer.asked(), 2, "outside of it nobody is asked");
    app.execute(
        "update instances set settings = jsonb_set(settings, '{provider_tokens}', $2::jsonb) where id = $1",
        "{\"leeway\": 100}",
    )
    .await;
    app.app().forget_directory();
    app.backend_get(&ada.path()).await.expect(200);
    assert_eq!(issuer.asked(), 3, "the leeway is a setting");
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_or_used_is_distinguished() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    let configure = async |statement: &'static str| app.execute(statement, issuer.url()).await;
    configure(
        "update provider_configs set version = version + 1,
        custom = jsonb_set(custom, '{token_url}', '\"http://127.0.0.1:9/token\"') where instance_id = $1 and $2 <> ''",
    )
    .await;
    let refused = app.backend_get(&ada.path()).await.expect(400);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(app.backend_get(&ada.health()).await.json()["reason"], "provider_unreachable:refused");
    configure(
        "update provider_configs set version = version + 1, client_id = null where instance_id = $1 and $2 <> ''",
    )
    .await;
    assert!(app.backend_get(&ada.path()).await.expect(400).header("retry-after").is_none());
    assert_eq!(app.backend_get(&ada.health()).await.json()["reason"], "credentials_unusable:missing");
    configure("update provider_configs set enabled = false where instance_id = $1 and $2 <> ''").await;
    assert_eq!(app.backend_get(&ada.path()).await.expect(404).error_code(), "oauth_token_provider_not_enabled");
    assert!(stored(&app, &ada, "access_token_sealed").await.is_some(), "tokens stay");
    assert_eq!(issuer.asked(), 0);
    let answer = app.backend(Method::POST, &ada.path(), &Value::Null).await;
    assert_eq!(answer.status, 405);
}
