//! Redeeming a code: the answer, who may, once, and what it costs.

use crate::support::oauth::{CALLBACK, CHALLENGE, OAuthClient, VERIFIER, claims, member};
use crate::support::{Browser, SignedUp, TestApp, send};
use http::Method;
use serde_json::json;
use std::time::Duration;

async fn setting(app: &TestApp) -> (Browser, SignedUp, OAuthClient) {
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    (browser, person, client)
}

const PKCE: [(&str, &str); 2] = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];

#[tokio::test]
async fn o11_the_answer_is_the_seeds() {
    let app = TestApp::start().await;
    let (browser, person, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[("scope", "openid email profile"), ("nonce", "n-1")]).await;
    let answer = app.redeem(&client, &code, &[]).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let tokens = answer.json();
    let mut names: Vec<_> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]);
    assert_eq!(tokens["expires_in"], 7200);
    assert_eq!(tokens["scope"], "openid email profile");
    assert_eq!(tokens["token_type"], "bearer");
    assert!(
        member(&tokens, "access_token").starts_with("oat_") && member(&tokens, "refresh_token").starts_with("ort_")
    );
    let reported = claims(member(&tokens, "id_token"));
    assert_eq!(reported["iss"], app.origin());
    assert_eq!(
        (reported["sub"].as_str(), reported["aud"].as_str()),
        (Some(person.user_id.as_str()), Some(client.id.as_str()))
    );
    assert_eq!((reported["nonce"].as_str(), reported["email"].as_str()), (Some("n-1"), Some(person.email.as_str())));
    assert_eq!(reported["exp"].as_i64().unwrap() - reported["iat"].as_i64().unwrap(), 7200);
    for never in ["private_metadata", "public_metadata", "unsafe_metadata"] {
        assert!(reported[never].is_null(), "{never}");
    }
}

#[tokio::test]
async fn the_id_token_is_signed_by_a_published_key() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[]).await;
    let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
    let jwks = browser.get(app.url("/.well-known/jwks.json")).await.expect(200);
    let keys = vestibule::crypto::jwt::KeySet::parse(jwks.text.as_bytes()).unwrap();
    let now = app.ctx().await.now;
    let issuer = app.origin();
    let verify =
        |token: &str| vestibule::crypto::jwt::verify_own(token, &keys, vestibule::crypto::TokenType::Jwt, &issuer, now);
    let token = member(&tokens, "id_token");
    assert!(verify(token).is_ok());
    let (signed, _) = token.rsplit_once('.').unwrap();
    assert!(verify(&format!("{signed}.{}", "A".repeat(342))).is_err());
}

#[tokio::test]
async fn without_openid_there_is_no_id_token() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[("scope", "")]).await;
    let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
    assert_eq!(tokens["scope"], "profile email", "the default, returned");
    assert!(tokens.get("id_token").is_none());
    assert!(tokens.get("refresh_token").is_some());
}

#[tokio::test]
async fn clients_prove_who_they_are() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let public = app.application(json!({ "public": true })).await;
    let secret = client.secret.clone().unwrap();
    let code = app.code(&browser, &client, &[]).await;
    let url = app.url("/oauth/token");
    let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    let post = || browser.raw(Method::POST, &url);
    let with = |more: &[(&str, &str)]| {
        form.iter().chain(more).map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>()
    };
    let refusals = [
        (post().form(&form), 401, "invalid_client", false),
        (post().form(&with(&[("client_id", &client.id)])), 401, "invalid_client", false),
        (post().form(&with(&[("client_id", &client.id), ("client_secret", "wrong")])), 401, "invalid_client", false),
        (post().form(&with(&[("client_id", "unknown"), ("client_secret", &secret)])), 401, "invalid_client", false),
        (post().form(&with(&[("client_id", &public.id), ("client_secret", "x")])), 401, "invalid_client", false),
        (post().form(&with(&[("client_id", &client.id), ("client_assertion", "a.b.c")])), 401, "invalid_client", false),
        (post().basic_auth(&client.id, Some("wrong")).form(&form), 401, "invalid_client", true),
        (post().basic_auth("unknown", Some(&secret)).form(&form), 401, "invalid_client", true),
        (post().header("authorization", "Basic !!!").form(&form), 401, "invalid_client", true),
        (
            post().basic_auth(&client.id, Some(&secret)).form(&with(&[("client_secret", &secret)])),
            400,
            "invalid_request",
            false,
        ),
        (
            post().basic_auth(&client.id, Some(&secret)).form(&with(&[("client_id", "other")])),
            400,
            "invalid_request",
            false,
        ),
        (
            browser.raw(Method::POST, &format!("{url}?client_id={}&client_secret={secret}", client.id)).form(&form),
            401,
            "invalid_client",
            false,
        ),
    ];
    for (request, status, error, challenges) in refusals {
        let answer = send(request).await.expect(status);
        assert_eq!(answer.json()["error"], error);
        assert_eq!(answer.header("www-authenticate").is_some(), challenges);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let in_body = with(&[("client_id", &client.id), ("client_secret", &secret)]);
    send(post().form(&in_body)).await.expect(200);
}

#[tokio::test]
async fn secrets_are_not_tried_forever() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let (browser, _, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[]).await;
    let wrong = OAuthClient { secret: Some("wrong".to_owned()), ..client.clone() };
    // The budget fills up again while a slow machine works through it; far more attempts than that must meet its end.
    let attempts = futures_util::future::join_all((0..60).map(|_| app.redeem(&wrong, &code, &[]))).await;
    let of_status = |status: u16| attempts.iter().filter(move |answer| answer.status == status);
    let statuses = || attempts.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>();
    assert!(of_status(401).count() >= 20, "{:?}", statuses());
    assert_eq!(of_status(401).count() + of_status(429).count(), 60, "{:?}", statuses());
    let refused = of_status(429).next().expect("a refusal");
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    app.redeem(&client, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn malformed_requests_are_reported_in_order() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let url = app.url("/oauth/token");
    send(browser.raw(Method::GET, &url)).await.expect(405);
    let basic = || browser.raw(Method::POST, &url).basic_auth(&client.id, client.secret.as_deref());
    for (request, status, error) in [
        (basic().json(&json!({ "grant_type": "authorization_code" })), 400, "invalid_request"),
        (basic().form(&[("code", "x")]), 400, "invalid_request"),
        (basic().form(&[("grant_type", "x"), ("grant_type", "x")]), 400, "invalid_request"),
        (basic().form(&[("grant_type", "password")]), 400, "unsupported_grant_type"),
        (browser.raw(Method::POST, &url).form(&[("grant_type", "password")]), 401, "invalid_client"),
        (basic().form(&[("grant_type", "authorization_code")]), 400, "invalid_request"),
        (basic().form(&[("grant_type", "authorization_code"), ("code", "nonsense")]), 400, "invalid_grant"),
        (basic().form(&[("grant_type", "refresh_token"), ("refresh_token", "nonsense")]), 400, "invalid_grant"),
        (basic().form(&[("code", "x".repeat(70_000))]), 413, "invalid_request"),
    ] {
        let answer = send(request).await.expect(status);
        assert_eq!(answer.json()["error"], error);
        assert!(answer.json()["error_description"].is_string() && answer.json().get("errors").is_none());
    }
}

#[tokio::test]
async fn a_code_dies_with_its_time() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let [early, late] = [app.code(&browser, &client, &[]).await, app.code(&browser, &client, &[]).await];
    app.advance(Duration::from_secs(590)).await;
    app.redeem(&client, &early, &[]).await.expect(200);
    app.advance(Duration::from_secs(11)).await;
    assert_eq!(app.redeem(&client, &late, &[]).await.expect(400).json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_replay_by_the_client_ends_the_grant_and_a_strangers_does_nothing() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let stranger = app.application(json!({})).await;
    let code = app.code(&browser, &client, &[]).await;
    app.redeem(&stranger, &code, &[]).await.expect(400);
    let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
    let access = member(&tokens, "access_token");
    app.redeem(&stranger, &code, &[]).await.expect(400);
    app.userinfo(access).await.expect(200);
    assert_eq!(app.redeem(&client, &code, &[]).await.expect(400).json()["error"], "invalid_grant");
    app.userinfo(access).await.expect(401);
    app.refresh(&client, member(&tokens, "refresh_token")).await.expect(400);
    assert_eq!(app.introspect(&client, access).await, json!({ "active": false }));
    let recorded = "select count(*) from audit_events where instance_id = $1 and reason = $2";
    assert_eq!(app.count(recorded, "code_replay").await, 1);
}

#[tokio::test]
async fn the_redirect_uri_and_the_verifier_are_those_of_the_request() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let bound = app.code(&browser, &client, &PKCE).await;
    let plain = app.code(&browser, &client, &[]).await;
    let longer = format!("{VERIFIER}a");
    for (code, change) in [
        (&bound, vec![("code_verifier", VERIFIER), ("redirect_uri", "https://client.example/other")]),
        (&bound, vec![]),
        (&bound, vec![("code_verifier", longer.as_str())]),
        (&bound, vec![("code_verifier", "short")]),
        (&plain, vec![("redirect_uri", "")]),
        (&plain, vec![("code_verifier", VERIFIER)]),
    ] {
        assert_eq!(app.redeem(&client, code, &change).await.expect(400).json()["error"], "invalid_grant", "{change:?}");
    }
    app.redeem(&client, &bound, &[("code_verifier", VERIFIER), ("redirect_uri", "")]).await.expect(200);
    app.redeem(&client, &plain, &[]).await.expect(200);
}

#[tokio::test]
async fn five_wrong_attempts_kill_a_code() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    for (attempts, status) in [(4, 200), (5, 400)] {
        let code = app.code(&browser, &client, &PKCE).await;
        for _ in 0..attempts {
            app.redeem(&client, &code, &[("code_verifier", &"x".repeat(43))]).await.expect(400);
        }
        app.redeem(&client, &code, &[("code_verifier", VERIFIER)]).await.expect(status);
    }
}

#[tokio::test]
async fn a_ban_a_lost_redirect_uri_or_a_foreign_resource_refuses() {
    let app = TestApp::start().await;
    let (browser, person, client) = setting(&app).await;
    let api = ("resource", "https://api.example/");
    let code = app.code(&browser, &client, &[api]).await;
    let narrowed = app.redeem(&client, &code, &[("resource", "https://other.example/")]).await.expect(400);
    assert_eq!(narrowed.json()["error"], "invalid_target");
    let tokens = app.redeem(&client, &code, &[api]).await.expect(200).json();
    let reported = app.introspect(&client, member(&tokens, "access_token")).await;
    assert_eq!(reported["aud"], json!(["https://api.example/"]));

    let code = app.code(&browser, &client, &[]).await;
    let change =
        "update oauth_applications set redirect_uris = '{https://else.example}' where instance_id = $1 and id = $2";
    app.execute(change, &client.application).await;
    app.redeem(&client, &code, &[]).await.expect(400);

    let other = app.application(json!({})).await;
    let code = app.code(&browser, &other, &[]).await;
    app.execute(
        "update oauth_grants set revoked_at = now(), revoked_reason = 'ban' where instance_id = $1 and user_id = $2",
        &person.user_id,
    )
    .await;
    app.execute(
        "update sessions set status = 'revoked', ended_at = now() where instance_id = $1 and user_id = $2",
        &person.user_id,
    )
    .await;
    app.execute("update users set banned_at = now() where instance_id = $1 and id = $2", &person.user_id).await;
    assert_eq!(app.redeem(&other, &code, &[]).await.expect(400).json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_code_of_somebody_who_signed_out_is_still_good() {
    let app = TestApp::start().await;
    let (browser, person, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[]).await;
    app.execute(
        "update sessions set status = 'ended', ended_at = now() where instance_id = $1 and user_id = $2",
        &person.user_id,
    )
    .await;
    app.redeem(&client, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn truncated_and_changed_codes_are_nothing() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let code = app.code(&browser, &client, &[]).await;
    for position in 0..code.len() {
        let mut changed = code.clone();
        let other = if &code[position..=position] == "A" { "B" } else { "A" };
        changed.replace_range(position..=position, other);
        app.redeem(&client, &changed, &[]).await.expect(400);
        app.redeem(&client, &code[..position], &[]).await.expect(400);
    }
    app.redeem(&client, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn a_redemption_is_one_statement() {
    let app = TestApp::start().await;
    let (browser, _, client) = setting(&app).await;
    let first = app.code(&browser, &client, &[]).await;
    app.redeem(&client, &first, &[]).await.expect(200);
    let code = app.code(&browser, &client, &[]).await;
    let cost = app.cost(async { app.redeem(&client, &code, &[]).await.expect(200) }).await;
    assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:#?}");
}
