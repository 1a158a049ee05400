//! What is refused before a browser leaves for a provider.

use serde_json::{Value, json};

use super::linking::{ADA, set};
use crate::support::TestApp;
use crate::support::person::{APP, begin, client, go, provider_url, sign_up, transfer};
use crate::verification::form;

async fn start_with(app: &TestApp, form: &[(&str, &str)]) -> crate::support::browser::Answer {
    app.browser().post_form(app.url("/v1/client/sign_ins"), APP, form).await
}

#[tokio::test]
async fn a_provider_must_be_known_enabled_and_usable() {
    let app = TestApp::start().await;
    let cases = [("oauth_nope", 400, "oauth_unsupported_provider"), ("password", 422, "form_param_value_invalid")];
    for (strategy, status, code) in cases {
        let refused = begin(&app, &app.browser(), "sign_ins", strategy).await.expect(status);
        assert_eq!(refused.error_code(), code, "{strategy}");
    }
    sqlx::query("update provider_configs set enabled = false where provider = 'google'")
        .execute(&app.app().db)
        .await
        .unwrap();
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_provider_not_enabled");
    sqlx::query("update provider_configs set enabled = true, authenticatable = false where provider = 'google'")
        .execute(&app.app().db)
        .await
        .unwrap();
    let refused = begin(&app, &app.browser(), "sign_ups", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_non_authenticatable_provider");
}

#[tokio::test]
async fn the_address_asks_for_base_and_configured_scopes_once_each() {
    let app = TestApp::start().await;
    sqlx::query(
        "update provider_configs set scopes = array['https://example.com/calendar', 'email'] where provider = 'google'",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    let url = provider_url(&begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200));
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(value("scope").unwrap(), "openid email profile https://example.com/calendar");
    assert_eq!(value("code_challenge_method").unwrap(), "S256");
    assert_eq!(value("redirect_uri").unwrap(), app.url("/v1/oauth_callback"));
    assert_eq!(value("state").unwrap().len(), 43);
    assert!(value("nonce").is_some());
}

#[tokio::test]
async fn a_redirect_address_is_needed_and_resolved_against_the_page() {
    let app = TestApp::start().await;
    let refused = start_with(&app, &[("strategy", "oauth_google")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_missing");
    assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "redirect_url");
    // Without a page there is nothing to resolve against.
    let browser = app.browser();
    let request = browser.request(http::Method::POST, &app.url("/v1/client/sign_ins"));
    let request = request.header("sec-fetch-site", "same-origin");
    let form = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];
    assert_eq!(browser.send(request.form(&form)).await.expect(422).error_code(), "form_param_format_invalid");
}

/// Sixty spellings of somewhere else; none reaches `Location`.
const ELSEWHERE: &[&str] = &[
    "https://evil.example/",
    "http://evil.example/x",
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:\\\\evil.example",
    "https:///evil.example",
    "https://good@evil.example",
    "http://localhost@evil.example",
    "http://localhost:3000@evil.example",
    "http://localhost%2f@evil.example",
    "http://app@evil.example",
    "http://evil.example\\@localhost",
    "http://evil.example/@localhost:3000",
    "http://evil.example#localhost:3000",
    "http://evil.example?localhost:3000",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost:3000.evil.example",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://localhost:3000/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:x",
    "about:blank",
    "view-source:http://localhost",
    "ws://localhost:3000",
    "ftp://localhost/",
    "intent://x#Intent;end",
    "filesystem:http://localhost/x",
    "http://",
    "https://",
    "http:",
    "http:///",
    "https://localhost.evil.example:3000/",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://evil.example./",
    "http://EVIL.example/",
    "http://evil\u{3002}example/",
    "http://\u{ff45}vil.example/",
    "http://e\u{301}vil.example/",
    "http://evil.example:80/",
    " http://evil.example",
    "http://evil.example ",
    "\thttp://evil.example",
    "http://localhost:3000\r\nSet-Cookie: a=b",
    "http://local\thost/",
    "http://local\nhost/",
    "http://0x7f.1.evil.example/",
    "http://3232235777/",
    "http://192.168.1.1/",
    "http://10.0.0.1:3000/",
];

#[tokio::test]
async fn no_spelling_of_elsewhere_is_accepted() {
    let app = TestApp::start().await;
    assert!(ELSEWHERE.len() >= 60);
    for url in ELSEWHERE {
        for name in ["redirect_url", "action_complete_redirect_url"] {
            let mut form = vec![("strategy", "oauth_google"), (name, *url)];
            if name != "redirect_url" {
                form.push(("redirect_url", "/sso-callback"));
            }
            let refused = start_with(&app, &form).await;
            let status = refused.status.as_u16();
            assert!(status == 422 || status == 400, "{name}={url:?} answered {status} {}", refused.text);
            assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], name, "{url:?}");
        }
    }
    let count: i64 =
        sqlx::query_scalar("select count(*) from provider_authorizations").fetch_one(&app.app().db).await.unwrap();
    assert_eq!(count, 0, "nothing was half written");
}

#[tokio::test]
async fn the_page_that_asks_must_be_one_of_the_instance_s() {
    let app = TestApp::start().await;
    let form = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];
    let url = app.url("/v1/client/sign_ins");
    let refused = app.browser().post_form(&url, "https://evil.example", &form).await.expect(400);
    assert_eq!(refused.error_code(), "origin_invalid");
    assert!(refused.header("access-control-allow-origin").is_none());
    let browser = app.browser();
    let refused = browser.send(browser.request(http::Method::POST, &url).form(&form)).await.expect(400);
    assert_eq!(refused.error_code(), "origin_missing");
    let both = browser.request(http::Method::POST, &url).header("origin", APP).header("authorization", "Bearer x");
    assert_eq!(browser.send(both.form(&form)).await.expect(400).error_code(), "origin_authorization_headers_conflict");
}

#[tokio::test]
async fn an_empty_start_resets_the_attempts() {
    let app = TestApp::start().await;
    let browser = app.browser();
    begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let blank = browser.post_form(app.url("/v1/client/sign_ins"), APP, &[("locale", "en-US")]).await.expect(200).json();
    assert_eq!(blank["response"]["status"], "needs_identifier");
    assert!(blank["response"]["first_factor_verification"].is_null());
    assert!(blank["client"]["sign_up"].is_null(), "a stale attempt would win in the SDK");
}

/// Everything that begins an attempt.
const BEGINNINGS: [(&str, &[(&str, &str)]); 7] = [
    ("sign_ins", &[("strategy", "oauth_google"), ("redirect_url", "/x")]),
    ("sign_ins", &[("identifier", ADA)]),
    ("sign_ins", &[("identifier", ADA), ("strategy", "email_code")]),
    ("sign_ins", &[("locale", "en-US")]),
    ("sign_ups", &[("strategy", "oauth_google"), ("redirect_url", "/x")]),
    ("sign_ups", &[("email_address", "new@example.com")]),
    ("sign_ups", &[("locale", "en-US")]),
];

#[tokio::test]
async fn signed_in_browser_begins_no_attempt() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {} })).await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", ADA).await;
    let session = client(&app, &browser).await["sessions"][0]["id"].clone();
    for (kind, fields) in BEGINNINGS {
        let refused = form(&app, &browser, &format!("/v1/client/{kind}"), fields).await.expect(400);
        assert_eq!(refused.error_code(), "session_exists", "{kind} {fields:?}");
        assert_eq!(refused.json()["errors"][0]["meta"]["session_id"], session, "{kind} {fields:?}");
    }
    let found = client(&app, &browser).await;
    assert_eq!((&found["sign_in"], &found["sessions"][0]["id"]), (&Value::Null, &session));
    // Signed out, everything begins.
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    for (kind, fields) in BEGINNINGS {
        form(&app, &browser, &format!("/v1/client/{kind}"), fields).await.expect(200);
    }
}

#[tokio::test]
async fn nothing_is_taken_over_beside_a_session_either() {
    let app = TestApp::start().await;
    set(&app, json!({ "single_session_mode": false })).await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", ADA).await;
    go(&app, &browser, "sign_ins", "oauth_google", "grace@navy.mil").await.expect(303);
    set(&app, json!({ "single_session_mode": true })).await;
    let refused = transfer(&app, &browser, "sign_ups").await.expect(400);
    assert_eq!(refused.error_code(), "session_exists");
    set(&app, json!({ "single_session_mode": false })).await;
    let done = transfer(&app, &browser, "sign_ups").await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "the refusal used nothing up");
}

#[tokio::test]
async fn where_several_sessions_may_be_everything_begins_beside_one() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": {}, "single_session_mode": false })).await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", ADA).await;
    let session = client(&app, &browser).await["sessions"][0]["id"].clone();
    for (kind, fields) in BEGINNINGS {
        form(&app, &browser, &format!("/v1/client/{kind}"), fields).await.expect(200);
        assert_eq!(client(&app, &browser).await["sessions"][0]["id"], session, "{kind} {fields:?}");
    }
    go(&app, &browser, "sign_ups", "oauth_google", "grace@navy.mil").await.expect(303);
    let found = client(&app, &browser).await;
    let sessions: Vec<&Value> = found["sessions"].as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert_eq!((sessions.len(), sessions[0]), (2, &session));
    assert_eq!(found["last_active_session_id"], *sessions[1]);
}
