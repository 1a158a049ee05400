//! The consent question: asked, remembered, denied, and never answered by anybody else's page.

use crate::support::oauth::{CALLBACK, CHALLENGE, OAuthClient, hidden_fields, parameters};
use crate::support::{Answer, Browser, TestApp, send};
use http::Method;
use serde_json::json;

/// A signed-in browser, the session's id, and a client.
async fn setting(app: &TestApp) -> (Browser, String, OAuthClient) {
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    let session = app.sign_in(&browser, &person).await;
    (browser, session, client)
}

async fn consents(app: &TestApp) -> i64 {
    app.count("select count(*) from oauth_consents where instance_id = $1 and $2 = ''", "").await
}

async fn codes(app: &TestApp) -> i64 {
    app.count("select count(*) from oauth_codes where instance_id = $1 and $2 = ''", "").await
}

/// The fields of an answer, as a consent page of the app's own would send them.
fn answer_form(app: &TestApp, client: &OAuthClient, consented: &str) -> Vec<(String, String)> {
    let mut form: Vec<_> = app.authorize_url(client, &[]).query_pairs().into_owned().collect();
    form.push(("consented".to_owned(), consented.to_owned()));
    form
}

async fn submit(
    app: &TestApp,
    browser: &Browser,
    client: &OAuthClient,
    session: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let url = app.url(&format!("/v1/me/oauth/consent/{}?_clerk_session_id={session}", client.id));
    let form = answer_form(app, client, "true");
    let request = browser.request(Method::POST, &url).form(&form);
    browser.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn o10_denied_is_access_denied_with_state() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let consent = browser.get(app.authorize_url(&client, &[])).await.expect(302).location();
    let page = browser.get(consent).await.expect(200);
    let answer = app.press(&browser, &page, "false").await.expect(302);
    let answered = parameters(&answer.location());
    assert!(answer.location().as_str().starts_with(CALLBACK));
    assert_eq!((answered["error"].as_str(), answered["state"].as_str()), ("access_denied", "state-of-the-client"));
    assert_eq!(answered["iss"], app.origin());
    assert_eq!((consents(&app).await, codes(&app).await), (0, 0));
}

#[tokio::test]
async fn the_page_works_without_script_and_can_end_at_the_client() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    let url = app.authorize_url(&client, &[("state", "\"><script>alert(1)</script>")]);
    let page = browser.get(browser.get(url).await.expect(302).location()).await.expect(200);
    assert!(!page.text.contains("<script>alert"));
    let deny = page.text.find("id=\"consent-deny\"").unwrap();
    assert!(deny < page.text.find("id=\"consent-allow\"").unwrap(), "Deny comes first");
    assert!(page.text.contains("<strong id=\"redirect-domain\">client.example</strong>"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://client.example;"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("referrer-policy"), Some("strict-origin-when-cross-origin"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("cross-origin-opener-policy"), None, "a popup sign-in keeps its opener");
    let fields = hidden_fields(&page.text);
    assert!(fields.contains(&("_clerk_session_id".to_owned(), session)));
    let answer = app.press(&browser, &page, "true").await.expect(302);
    assert_eq!(parameters(&answer.location())["state"], "\"><script>alert(1)</script>");
}

#[tokio::test]
async fn an_answer_is_remembered_until_more_is_asked() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let wide = app.application(json!({ "scopes": "profile email private_metadata" })).await;
    let path = async |client: &OAuthClient, change: &[(&str, &str)]| {
        browser.get(app.authorize_url(client, change)).await.expect(302).location().path().to_owned()
    };
    assert_eq!(path(&client, &[]).await, "/oauth-consent");
    app.code(&browser, &client, &[]).await;
    assert_eq!(path(&client, &[]).await, "/oauth/callback");
    assert_eq!(path(&client, &[("scope", "email")]).await, "/oauth/callback");
    assert_eq!(path(&client, &[("prompt", "none")]).await, "/oauth/callback");
    assert_eq!(path(&client, &[("prompt", "consent")]).await, "/oauth-consent");
    assert_eq!(path(&client, &[("resource", "https://api.example")]).await, "/oauth-consent");
    app.code(&browser, &client, &[("resource", "https://api.example")]).await;
    assert_eq!(path(&client, &[("resource", "https://api.example")]).await, "/oauth/callback");
    app.code(&browser, &wide, &[("scope", "email")]).await;
    assert_eq!(path(&wide, &[("scope", "email private_metadata")]).await, "/oauth-consent");
    let none = app.authorize_url(&wide, &[("scope", "email private_metadata"), ("prompt", "none")]);
    assert_eq!(parameters(&browser.get(none).await.location())["error"], "consent_required");
    let other = app.person("bob").await;
    app.sign_in(&browser, &other).await;
    assert_eq!(path(&client, &[]).await, "/oauth-consent", "everybody is asked for themselves");
    app.code(&browser, &client, &[]).await;
    assert_eq!(consents(&app).await, 3);
}

#[tokio::test]
async fn a_public_app_on_the_machine_is_asked_for_every_time() {
    let app = TestApp::start().await;
    let (browser, ..) = setting(&app).await;
    for uri in ["http://localhost:3000/cb", "com.example.app:/cb"] {
        let client = app.application(json!({ "callback_url": uri, "public": true })).await;
        let pkce = [("redirect_uri", uri), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
        for _ in 0..2 {
            let consent = browser.get(app.authorize_url(&client, &pkce)).await.expect(302).location();
            assert_eq!(consent.path(), "/oauth-consent", "{uri}");
            let page = browser.get(consent).await.expect(200);
            assert!(page.text.contains("data-state=\"ask.loopback\""), "{uri}");
            let answer = app.press(&browser, &page, "true").await.expect(302);
            assert!(answer.location().as_str().starts_with(&format!("{uri}?code=")), "{uri}");
        }
    }
}

#[tokio::test]
async fn with_the_screen_off_nobody_is_asked_and_it_is_recorded() {
    let app = TestApp::start().await;
    let (browser, session, _) = setting(&app).await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    for _ in 0..2 {
        let answer = browser.get(app.authorize_url(&client, &[])).await.expect(302);
        assert!(parameters(&answer.location()).contains_key("code"));
    }
    assert_eq!(consents(&app).await, 1);
    let origin = app.origin();
    let refused = submit(&app, &browser, &client, &session, &[("origin", &origin)]).await.expect(422);
    assert_eq!(refused.error_code(), "feature_requires_oauth2_consent_screen_enabled");
    let url = app.url(&format!("/v1/me/oauth/consent/{}", client.id));
    assert_eq!(browser.get(url).await.expect(422).error_code(), "feature_requires_oauth2_consent_screen_enabled");
}

#[tokio::test]
async fn only_pages_that_may_ask_can_answer() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    let foreign = [
        vec![("origin", "https://evil.test")],
        vec![("origin", "null")],
        vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "http://localhost:1")],
        vec![],
        vec![("sec-fetch-site", "cross-site")],
        vec![("referer", "https://evil.test/")],
    ];
    for headers in &foreign {
        submit(&app, &browser, &client, &session, headers).await.expect(403);
        let mut form = answer_form(&app, &client, "true");
        form.push(("_clerk_session_id".to_owned(), session.clone()));
        let request = browser.request(Method::POST, &app.url("/oauth-consent")).form(&form);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        browser.send(request).await.expect(403);
    }
    assert_eq!((consents(&app).await, codes(&app).await), (0, 0), "nothing was granted");
    let origin = app.origin();
    let answer = submit(&app, &browser, &client, &session, &[("origin", &origin)]).await.expect(302);
    assert!(parameters(&answer.location()).contains_key("code"));
    let referer = format!("{origin}/oauth-consent?x");
    submit(&app, &browser, &client, &session, &[("referer", &referer)]).await.expect(302);
}

#[tokio::test]
async fn an_answer_counts_for_the_session_it_was_shown_to() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    let origin = app.origin();
    let headers = [("origin", origin.as_str())];
    let (stranger, foreign_session, _) = {
        let browser = app.browser();
        let person = app.person("bob").await;
        let session = app.sign_in(&browser, &person).await;
        (browser, session, person)
    };
    for (browser, session) in
        [(&browser, foreign_session.as_str()), (&stranger, session.as_str()), (&browser, ""), (&browser, "sess_x")]
    {
        let refused = submit(&app, browser, &client, session, &headers).await.expect(401);
        assert_eq!(refused.error_code(), "signed_out");
    }
    let nobody = app.browser();
    submit(&app, &nobody, &client, &session, &headers).await.expect(401);
    let page = browser.get(browser.get(app.authorize_url(&client, &[])).await.location()).await.expect(200);
    let other = app.person("carol").await;
    app.sign_in(&browser, &other).await;
    app.press(&browser, &page, "true").await.expect(401);
    assert_eq!(codes(&app).await, 0);
}

#[tokio::test]
async fn what_comes_back_is_validated_again() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    let page = browser.get(browser.get(app.authorize_url(&client, &[])).await.location()).await.expect(200);
    let original = hidden_fields(&page.text);
    let answer = async |name: &str, value: &str| {
        let mut form: Vec<(String, String)> = original.iter().filter(|(known, _)| known != name).cloned().collect();
        form.push((name.to_owned(), value.to_owned()));
        form.push(("consented".to_owned(), "true".to_owned()));
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post_form(app.url("/oauth-consent"), &app.origin(), &form).await
    };
    answer("redirect_uri", "https://evil.test/cb").await.expect(400);
    answer("client_id", "unknown").await.expect(401);
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "openid private_metadata", "invalid_scope"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("prompt", "none", "consent_required"),
        ("state", "x", "invalid_request"),
    ] {
        let location = answer(name, value).await.expect(302).location();
        assert_eq!(parameters(&location)["error"], error, "{name}");
    }
    let again = answer("prompt", "login").await.expect(302).location();
    assert_eq!(again.path(), "/sign-in", "the question is no way around signing in again");
    assert_eq!(codes(&app).await, 0);
    let other = app.application(json!({})).await;
    let url = app.url(&format!("/v1/me/oauth/consent/{}?_clerk_session_id={session}", other.id));
    let form = answer_form(&app, &client, "true");
    let request = browser.request(Method::POST, &url).header("origin", app.origin()).form(&form);
    let code = parameters(&browser.send(request).await.expect(302).location())["code"].clone();
    app.redeem(&client, &code, &[]).await.expect(400);
    app.redeem(&other, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn anything_but_true_denies() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    for consented in ["false", "TRUE", "1", ""] {
        let url = app.url(&format!("/v1/me/oauth/consent/{}?_clerk_session_id={session}", client.id));
        let form = answer_form(&app, &client, consented);
        let request = browser.request(Method::POST, &url).header("origin", app.origin()).form(&form);
        let location = browser.send(request).await.expect(302).location();
        assert_eq!(parameters(&location)["error"], "access_denied", "{consented}");
    }
}

#[tokio::test]
async fn consent_page_of_the_app_receives_what_it_needs() {
    let app = TestApp::start().await;
    let (browser, session, client) = setting(&app).await;
    let query = format!("scope=openid+email+private_metadata&redirect_uri={CALLBACK}&_clerk_session_id={session}");
    let url = app.url(&format!("/v1/me/oauth/consent/{}?{query}", client.id));
    let reported = browser.get(&url).await.expect(200).json();
    let expected = json!({
        "object": "oauth_consent_info", "id": client.id, "client_id": client.id, "oauth_application_name": "Grafana",
        "oauth_application_logo_url": null, "oauth_application_url": null, "state": "",
        "redirect_domain": "client.example",
        "scopes": [
            { "scope": "openid", "description": "Know who you are", "requires_consent": false },
            { "scope": "email", "description": "See your email address", "requires_consent": true },
        ],
    });
    assert_eq!(reported, expected);
    let bare = browser.get(app.url(&format!("/v1/me/oauth/consent/{}", client.id))).await.expect(200).json();
    assert_eq!(bare["redirect_domain"], json!(null));
    assert_eq!(bare["scopes"].as_array().unwrap().len(), 2);
    let foreign = url.replace("client.example", "evil.test");
    assert_eq!(browser.get(foreign).await.expect(200).json()["redirect_domain"], json!(null));
    browser.get(app.url("/v1/me/oauth/consent/unknown")).await.expect(404);
    send(app.browser().raw(Method::GET, &url)).await.expect(401);
}
