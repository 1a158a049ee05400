//! Sessions of the frontend API: tokens, touch, signing out, the handshake.

use serde_json::{Value, json};
use std::time::Duration;

use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{APP, approve, begin, client, go, provider_url, sign_up};

async fn signed_in(app: &TestApp) -> (Browser, String) {
    let browser = app.browser();
    sign_up(app, &browser, "oauth_google", "ada@example.com").await;
    let session = client(app, &browser).await["sessions"][0]["id"].as_str().unwrap().to_owned();
    (browser, session)
}

async fn mint(app: &TestApp, browser: &Browser, session: &str) -> Answer {
    browser.post_form(app.url(&format!("/v1/client/sessions/{session}/tokens")), APP, &[]).await
}

fn part(jwt: &str, index: usize) -> Value {
    use base64::Engine;
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_visitor_without_a_client_is_nobody() {
    let app = TestApp::start().await;
    let answer = app.browser().get(app.url("/v1/client")).await.expect(200);
    assert_eq!(answer.json(), serde_json::json!({ "response": null, "client": null }));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.set_cookies().is_empty());
}

#[tokio::test]
async fn a_session_token_says_who_where_and_for_sixty_seconds() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    let answer = mint(&app, &browser, &session).await.expect(200).json();
    assert_eq!(answer["object"], "token");
    let (header, claims) = (part(answer["jwt"].as_str().unwrap(), 0), part(answer["jwt"].as_str().unwrap(), 1));
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("RS256"), Some("JWT")));
    assert!(header["kid"].is_string());
    assert_eq!(claims["sid"], session.as_str());
    assert_eq!(claims["azp"], APP);
    assert_eq!(claims["sts"], "active");
    assert_eq!(claims["v"], 2);
    assert_eq!(claims["fva"], serde_json::json!([0, -1]));
    let moment = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!((moment("exp") - moment("iat"), moment("iat") - moment("nbf")), (60, 10));
    let key_host = app.ctx().await.instance.key_host.clone();
    assert_eq!(claims["iss"], format!("https://{key_host}"));
}

#[tokio::test]
async fn minting_and_reading_the_client_cost_one_statement_each() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    mint(&app, &browser, &session).await.expect(200);
    let cost = app.cost(mint(&app, &browser, &session)).await;
    assert_eq!((cost.statements, cost.commits), (1, 0));
    let cost = app.cost(client(&app, &browser)).await;
    assert_eq!((cost.statements, cost.commits), (1, 0));
}

#[tokio::test]
async fn a_session_belongs_to_its_client() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    let stranger = app.browser();
    assert_eq!(mint(&app, &stranger, &session).await.expect(401).error_code(), "signed_out");
    stranger.post_form(app.url("/v1/client"), APP, &[]).await.expect(200);
    assert_eq!(mint(&app, &stranger, &session).await.expect(404).error_code(), "resource_not_found");
    for act in ["touch", "end", "remove"] {
        let url = app.url(&format!("/v1/client/sessions/{session}/{act}"));
        assert_eq!(stranger.post_form(url, APP, &[]).await.expect(404).error_code(), "resource_not_found", "{act}");
    }
    let act = |act: &str| browser.post_form(app.url(&format!("/v1/client/sessions/{session}/{act}")), APP, &[]);
    act("touch").await.expect(200);
    act("end").await.expect(200);
    assert_eq!(act("touch").await.expect(400).error_code(), "invalid_action_for_session");
}

#[tokio::test]
async fn signing_in_replaces_the_client_token_so_that_a_planted_one_is_dead() {
    let app = TestApp::start().await;
    let browser = app.browser();
    browser.post_form(app.url("/v1/client"), APP, &[]).await.expect(200);
    let planted = browser.cookie("localhost", "__client").unwrap();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    assert_ne!(browser.cookie("localhost", "__client").unwrap(), planted);
    let attacker = app.browser();
    attacker.set_cookie("localhost", "__client", &planted);
    // Within its grace the old token reads what was there before, and never the new session.
    let seen = client(&app, &attacker).await;
    assert!(seen.is_null() || seen["sessions"].as_array().unwrap().is_empty());
    app.advance(Duration::from_secs(11)).await;
    assert!(client(&app, &attacker).await.is_null());
}

#[tokio::test]
async fn signing_out_is_reported_in_its_own_answer() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    let before = browser.cookie("localhost", "__client").unwrap();
    let out = browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    assert!(out.json()["client"]["sessions"].as_array().unwrap().is_empty());
    assert_eq!(out.json()["response"]["object"], "client");
    let zeros = out.set_cookies().into_iter().filter(|line| line.starts_with("__client_uat") && line.contains("=0;"));
    assert_eq!(zeros.count(), 2);
    assert_ne!(browser.cookie("localhost", "__client").unwrap(), before);
    assert_eq!(mint(&app, &browser, &session).await.expect(404).error_code(), "resource_not_found");
    let found = client(&app, &browser).await;
    assert!(found["sign_up"].is_null() && found["sign_in"].is_null());
    let status: String = sqlx::query_scalar("select status from sessions").fetch_one(&app.app().db).await.unwrap();
    assert_eq!(status, "removed");
}

#[tokio::test]
async fn forgetting_the_client_kills_its_token() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    let gone = browser.post_form(app.url("/v1/client?_method=DELETE"), APP, &[]).await.expect(200);
    assert_eq!(gone.json(), serde_json::json!({ "response": null, "client": null }));
    assert!(client(&app, &browser).await.is_null());
    mint(&app, &browser, &session).await.expect(404);
}

#[tokio::test]
async fn a_session_ends_after_seven_days() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    app.advance(Duration::from_secs(7 * 86_400 - 60)).await;
    mint(&app, &browser, &session).await.expect(200);
    app.advance(Duration::from_secs(120)).await;
    mint(&app, &browser, &session).await.expect(404);
    assert!(client(&app, &browser).await["sessions"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_handshake_hands_the_session_to_the_instance_s_pages_only() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    let page = "http://localhost:3000/dashboard?a=b#c";
    let url = |page: &str| {
        let mut url: url::Url = app.url("/v1/client/handshake").parse().unwrap();
        url.query_pairs_mut().append_pair("redirect_url", page).append_pair("suffixed_cookies", "true");
        url
    };
    let answer = browser.get(url(page)).await.expect(307);
    assert_eq!(answer.location().as_str(), page);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let cookie = browser.cookie("localhost", "__clerk_handshake").unwrap();
    let directives = part(&cookie, 1)["handshake"].clone();
    let lines: Vec<&str> = directives.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(lines[0].starts_with("__clerk_handshake=;") && lines[1].starts_with("__clerk_handshake_nonce=;"));
    let token = lines.iter().rev().find(|line| line.starts_with("__session")).unwrap();
    let jwt = token.split(['=', ';']).nth(1).unwrap();
    let claims = part(jwt, 1);
    assert_eq!(
        (claims["sid"].as_str(), claims["azp"].as_str()),
        (Some(session.as_str()), Some("http://localhost:3000"))
    );
    assert!(!token.contains("Domain") && !token.contains("Secure"));
    assert!(lines.iter().any(|line| line.starts_with("__client_uat=") && !line.starts_with("__client_uat=0")));

    for evil in ["https://evil.example/", "//evil.example", "javascript:alert(1)", "http://localhost@evil.example/", ""]
    {
        let refused = browser.get(url(evil)).await;
        assert_eq!(refused.status, 422, "{evil}: {}", refused.text);
        assert!(refused.header("location").is_none());
    }
    let out = app.browser().get(url(page)).await.expect(307);
    let cookie = out.set_cookies().into_iter().find(|line| line.starts_with("__clerk_handshake=")).unwrap();
    let directives = part(cookie.split(['=', ';']).nth(1).unwrap(), 1)["handshake"].to_string();
    assert!(directives.contains("__client_uat=0") && directives.contains("__session=;"));
}

#[tokio::test]
async fn the_environment_names_what_the_sdk_cannot_do_without() {
    let app = TestApp::start().await;
    let shown = app.browser().get(app.url("/v1/environment")).await.expect(200).json();
    assert_eq!(shown["user_settings"]["social"]["oauth_google"]["strategy"], "oauth_google");
    assert_eq!(shown["user_settings"]["social"]["oauth_notion"]["enabled"], true);
    assert_eq!(shown["display_config"]["sign_in_url"], app.url("/sign-in"));
    assert!(shown["display_config"]["captcha_public_key"].is_null());
    assert_eq!(shown["auth_config"]["single_session_mode"], true);
    let patched = app.browser().post_form(app.url("/v1/environment?_method=PATCH"), APP, &[]).await.expect(200);
    assert_eq!(patched.json(), shown);
}

#[tokio::test]
async fn a_request_that_comes_late_does_not_push_the_sign_in_out() {
    let app = TestApp::start().await;
    let browser = app.browser();
    browser.post_form(app.url("/v1/client"), APP, &[]).await.expect(200);
    let old = browser.cookie("localhost", "__client").unwrap();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let late = app.browser();
    late.set_cookie("localhost", "__client", &old);
    let form = [("strategy", "oauth_google"), ("redirect_url", "/x")];
    // Just now, however slow this machine is.
    let now = "update client_tokens set superseded_at = now() where instance_id = $1 and superseded_at is not null
        and $2 = ''";
    app.execute(now, "").await;
    let refused = late.post_form(app.url("/v1/client/sign_ins"), APP, &form).await.expect(409);
    assert_eq!((refused.error_code().as_str(), refused.header("retry-after")), ("resource_locked", Some("3")));
    assert!(refused.set_cookies().is_empty());
}

#[tokio::test]
async fn browser_that_lost_the_answer_of_a_sign_in_starts_again_after_retry_after() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let old = browser.cookie("localhost", "__client").unwrap();
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    browser.get(callback.clone()).await.expect(303);
    // The answer never reached the browser: it still has the old token, and loads the page once more.
    let lost = app.browser();
    lost.set_cookie("localhost", "__client", &old);
    assert_eq!(lost.get(callback).await.expect(400).error_code(), "oauth_callback_invalid");
    assert_eq!(client(&app, &lost).await["sessions"], json!([]), "an old token never reaches a newer session");
    app.advance(Duration::from_secs(3)).await;
    let again = go(&app, &lost, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(again.location().as_str(), format!("{APP}/done"));
    let (here, there) = (client(&app, &lost).await, client(&app, &browser).await);
    assert_eq!(here["sessions"][0]["user"]["id"], there["sessions"][0]["user"]["id"]);
    assert_ne!(here["id"], there["id"], "on a client of its own");
}

#[tokio::test]
async fn a_banned_user_has_no_session_anywhere() {
    let app = TestApp::start().await;
    let (browser, session) = signed_in(&app).await;
    sqlx::query("update users set banned_at = now()").execute(&app.app().db).await.unwrap();
    mint(&app, &browser, &session).await.expect(404);
    // A ban ends sessions; this one was made behind the product's back.
    sqlx::query("update sessions set status = 'revoked', ended_at = now()").execute(&app.app().db).await.unwrap();
    let back = crate::support::person::go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await;
    assert_eq!(back.status, 303);
    let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
    assert_eq!(
        (verification["status"].as_str(), verification["error"]["code"].as_str()),
        (Some("failed"), Some("user_banned"))
    );
    let reason: String = sqlx::query_scalar("select reason from audit_events where action = 'sign_in.refused'")
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert_eq!(reason, "user_banned");
}
