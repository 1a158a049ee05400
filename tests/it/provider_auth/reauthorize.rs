//! Having a connected account approved once more.

use serde_json::Value;

use super::connecting::{accounts, address, connect, connect_as};
use crate::support::person::{APP, approve, sign_up};
use crate::support::{Answer, Browser, TestApp};

async fn reauthorize(app: &TestApp, browser: &Browser, id: &Value, more: &[(&str, &str)]) -> Answer {
    let url = app.url(&format!("/v1/me/external_accounts/{}/reauthorize?_method=PATCH", id.as_str().unwrap()));
    let mut form = vec![("redirect_url", "/user")];
    form.extend(more);
    browser.post_form(url, APP, &form).await
}

fn scope(url: &url::Url) -> String {
    url.query_pairs().find(|(key, _)| key == "scope").unwrap().1.into_owned()
}

#[tokio::test]
async fn scopes_grow_and_never_shrink() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let before = accounts(&app, &browser).await.remove(0);
    let begun = reauthorize(&app, &browser, &before["id"], &[("additional_scope", "calendar")]).await.expect(200);
    assert_eq!(begun.json()["response"]["id"], before["id"]);
    assert_eq!(scope(&address(&begun)), "openid email profile calendar");
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    // By the identification's id, as older clients do.
    let begun = reauthorize(&app, &browser, &before["identification_id"], &[("additional_scope", "drive")]).await;
    let begun = begun.expect(200);
    assert_eq!(scope(&address(&begun)), "openid email profile calendar drive");
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    let now = accounts(&app, &browser).await.remove(0);
    assert_eq!((&now["id"], &now["verification"]["status"]), (&before["id"], &"verified".into()));
    let approved = now["approved_scopes"].as_str().unwrap();
    assert!(approved.contains("calendar") && approved.contains("drive"), "{approved}");
    let token = app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(200).json();
    assert!(token[0]["scopes"].to_string().contains("drive"));
}

#[tokio::test]
async fn another_identity_or_a_refusal_changes_nothing_but_the_error() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let before = accounts(&app, &browser).await.remove(0);
    let path = format!("/v1/users/{user}/oauth_access_tokens/google");
    let token = app.backend_get(&path).await.expect(200).json();

    let begun = reauthorize(&app, &browser, &before["id"], &[("additional_scope", "drive")]).await.expect(200);
    let callback = approve(&browser, address(&begun), "someone-else@example.com").await;
    browser.get(callback).await.expect(303);
    let now = accounts(&app, &browser).await;
    assert_eq!(now.len(), 1);
    assert_eq!(now[0]["verification"]["status"], "verified");
    assert_eq!(now[0]["verification"]["error"]["code"], "oauth_account_already_connected");
    assert_eq!(now[0]["approved_scopes"], before["approved_scopes"]);
    assert_eq!(app.backend_get(&path).await.json(), token, "the old token is untouched");

    let begun = reauthorize(&app, &browser, &before["id"], &[]).await.expect(200);
    let mut denied = address(&begun);
    denied.query_pairs_mut().append_pair("auto", "1").append_pair("fail", "deny");
    let callback = browser.follow(denied.as_str(), |url| url.path() == "/v1/oauth_callback").await.location();
    browser.get(callback).await.expect(303);
    let now = accounts(&app, &browser).await.remove(0);
    assert_eq!(now["verification"]["error"]["code"], "oauth_access_denied");
    assert_eq!(app.backend_get(&path).await.json(), token);

    let begun = reauthorize(&app, &browser, &before["id"], &[]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    assert!(accounts(&app, &browser).await[0]["verification"]["error"].is_null(), "a good one mends it");
}

#[tokio::test]
async fn only_one_s_own_accounts_that_somebody_came_back_to() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.browser(), app.browser());
    sign_up(&app, &ada, "oauth_google", "ada@example.com").await;
    sign_up(&app, &bob, "oauth_google", "grace@example.com").await;
    let bobs = accounts(&app, &bob).await.remove(0);
    let pending = connect(&app, &ada, "oauth_notion", &[]).await.expect(200).json()["response"]["id"].clone();
    let unknown = Value::from("eac_2O4BCh3zUONvWlZHtBXv6s6tm7u");
    for id in [&bobs["id"], &bobs["identification_id"], &pending, &unknown] {
        let refused = reauthorize(&app, &ada, id, &[]).await.expect(404);
        assert_eq!(refused.error_code(), "external_account_not_found", "{id}");
    }
    // A refused one may be tried again under its own id.
    connect_as(&app, &ada, "oauth_notion", "grace@example.com").await.expect(303);
    let refused = accounts(&app, &ada).await.remove(1);
    assert_eq!(refused["verification"]["error"]["code"], "oauth_identification_claimed");
    let begun = reauthorize(&app, &ada, &refused["id"], &[]).await.expect(200);
    let callback = approve(&ada, address(&begun), "ada@example.com").await;
    ada.get(callback).await.expect(303);
    let now = accounts(&app, &ada).await.remove(1);
    assert_eq!((&now["id"], &now["verification"]["status"]), (&refused["id"], &"verified".into()));
}

/// However an account's token came to be another one, its event has one form.
#[tokio::test]
async fn an_updated_account_is_reported_in_one_form() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let account = accounts(&app, &browser).await.remove(0);
    let begun = reauthorize(&app, &browser, &account["id"], &[]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.get(callback).await.expect(303);
    let faults = serde_json::json!({ "fault": "http_500@refresh", "expire_access_tokens": true });
    let switch = browser.raw(http::Method::POST, &app.url("/_dev/providers/google/state")).json(&faults);
    crate::support::send(switch).await.expect(200);
    app.advance(std::time::Duration::from_secs(7200)).await;
    app.backend_get(&format!("/v1/users/{user}/oauth_access_tokens/google")).await.expect(400);
    let reported: Vec<Value> = sqlx::query_scalar(
        "select payload from outbox where payload ->> 'type' = 'vestibule.external_account.updated'
         order by (payload ->> 'since')::bigint",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    let states: Vec<&Value> = reported.iter().map(|event| &event["token_state"]).collect();
    assert_eq!(states, ["ok", "refused"], "{reported:?}");
    for event in &reported {
        let members: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["id", "reason", "since", "token_state", "type"], "{event}");
        assert_eq!(event["id"], account["id"]);
    }
}
