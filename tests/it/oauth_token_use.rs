//! What tokens open and how they end: userinfo, introspection, revocation.

use crate::support::oauth::{OAuthClient, member};
use crate::support::{TestApp, send};
use http::Method;
use serde_json::{Value, json};

const SCOPE: &str = "openid email profile";
const ALL: &str = "profile email public_metadata private_metadata";

async fn setting(app: &TestApp) -> (OAuthClient, Value) {
    let client = app.application(json!({})).await;
    let tokens = app.tokens(&client, "ada", SCOPE).await;
    (client, tokens)
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn o05_each_scope_opens_its_claims() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "scopes": ALL })).await;
    let always = ["instance_id", "object", "sub", "user_id"];
    let profile = ["family_name", "given_name", "name", "picture", "preferred_username", "updated_at", "username"];
    for (number, (scope, brings)) in [
        ("profile", &profile[..]),
        ("email", &["email", "email_verified"]),
        ("public_metadata", &["public_metadata", "unsafe_metadata"]),
        ("private_metadata", &["private_metadata"]),
        ("openid", &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let tokens = app.tokens(&client, &format!("ada{number}"), scope).await;
        let claims = app.userinfo(member(&tokens, "access_token")).await.expect(200).json();
        let mut expected: Vec<_> = always.iter().chain(brings).copied().collect();
        expected.sort_unstable();
        assert_eq!(names(&claims), expected, "{scope}");
    }
}

#[tokio::test]
async fn o06_userinfo_has_the_seeds_members() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "scopes": ALL })).await;
    let tokens = app.tokens(&client, "ada", ALL).await;
    let claims = app.userinfo(member(&tokens, "access_token")).await.expect(200).json();
    let user = claims["user_id"].as_str().unwrap();
    let updated_at = claims["updated_at"].as_i64().unwrap();
    assert_eq!(
        claims,
        json!({
            "object": "oauth_user_info", "instance_id": app.instance.as_str(), "user_id": user, "sub": user,
            "email": "ada@example.com", "email_verified": true, "given_name": "Ada", "family_name": "Lovelace",
            "name": "Ada Lovelace", "username": "ada", "preferred_username": "ada",
            "picture": "https://img.example/ada.png", "updated_at": updated_at,
            "public_metadata": { "plan": "pro" }, "private_metadata": { "credit": 7 },
            "unsafe_metadata": { "theme": "dark" },
        })
    );
}

#[tokio::test]
async fn claims_are_read_fresh() {
    let app = TestApp::start().await;
    let (_, tokens) = setting(&app).await;
    let access = member(&tokens, "access_token");
    let user = app.userinfo(access).await.expect(200).json()["sub"].as_str().unwrap().to_owned();
    app.execute(
        "with listed as (update user_listings set first_name = 'augusta', search_terms = '{}'
             where instance_id = $1 and user_id = $2)
         update users set first_name = 'Augusta' where instance_id = $1 and id = $2",
        &user,
    )
    .await;
    app.execute(
        "update identifications set status = 'unverified', verified_at = null where instance_id = $1 and user_id = $2",
        &user,
    )
    .await;
    let claims = app.userinfo(access).await.expect(200).json();
    assert_eq!((claims["given_name"].as_str(), claims["email_verified"].as_bool()), (Some("Augusta"), Some(false)));
}

#[tokio::test]
async fn userinfo_takes_one_token_from_one_place() {
    let app = TestApp::start().await;
    let (_, tokens) = setting(&app).await;
    let access = member(&tokens, "access_token");
    let url = app.url("/oauth/userinfo");
    let request = |method: Method| app.browser().raw(method, &url);
    for good in [
        request(Method::GET).header("authorization", format!("bearer   {access}")),
        request(Method::POST).bearer_auth(access),
        request(Method::POST).form(&[("access_token", access)]),
    ] {
        let answer = send(good).await.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for (bad, status, challenge) in [
        (request(Method::GET), 401, "Bearer realm=\"oauth\""),
        (app.browser().raw(Method::GET, &format!("{url}?access_token={access}")), 401, "Bearer realm=\"oauth\""),
        (request(Method::GET).header("authorization", "Bearer"), 400, "Bearer error=\"invalid_request\""),
        (
            request(Method::GET).header("authorization", format!("Bearer {access}, {access}")),
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (
            request(Method::GET).header("authorization", format!("Bearer \"{access}\"")),
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (
            request(Method::GET).header("authorization", format!("Bearer\t{access}")),
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (
            request(Method::GET).header("authorization", format!("Token {access}")),
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (
            request(Method::POST).bearer_auth(access).form(&[("access_token", access)]),
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (
            request(Method::POST).form(&[("access_token", access), ("access_token", access)]),
            400,
            "Bearer error=\"invalid_request\"",
        ),
    ] {
        let answer = send(bad).await.expect(status);
        assert!(answer.header("www-authenticate").unwrap().starts_with(challenge), "{challenge}: {answer:?}");
        assert!(answer.json()["errors"][0]["code"].is_string(), "the SDK's form");
    }
}

#[tokio::test]
async fn no_other_kind_of_token_opens_userinfo() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let browser = app.browser();
    let person = app.person("bob").await;
    app.sign_in(&browser, &person).await;
    let code = app.code(&browser, &client, &[]).await;
    let cookie = browser.cookie("localhost", "__client").unwrap();
    let others =
        [member(&tokens, "refresh_token"), member(&tokens, "id_token"), &code, &cookie, "oat_x", &app.secret_key];
    for other in others {
        let answer = app.userinfo(other).await.expect(401);
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
        assert_eq!(answer.json()["error"], "invalid_token");
    }
}

#[tokio::test]
async fn truncated_and_changed_tokens_are_nothing() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let access = member(&tokens, "access_token");
    for position in 0..access.len() {
        let mut changed = access.to_owned();
        let other = if &access[position..=position] == "A" { "B" } else { "A" };
        changed.replace_range(position..=position, other);
        app.userinfo(&changed).await.expect(401);
        assert_eq!(app.introspect(&client, &changed).await, json!({ "active": false }));
        if position > 0 {
            app.userinfo(&access[..position]).await.expect(401);
        }
    }
    app.userinfo(access).await.expect(200);
}

#[tokio::test]
async fn a_token_that_covers_nothing_is_too_little() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let tokens = app.tokens(&client, "ada", "offline_access").await;
    let answer = app.userinfo(member(&tokens, "access_token")).await.expect(403);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"openid\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_token_for_another_api_opens_this_one_only_with_openid() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    for (scope, status) in [("email", 401), ("openid email", 200)] {
        let code = app.code(&browser, &client, &[("scope", scope), ("resource", "https://api.example")]).await;
        let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
        app.userinfo(member(&tokens, "access_token")).await.expect(status);
    }
}

#[tokio::test]
async fn introspection_shows_live_tokens_to_confidential_clients() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let resource_server = app.application(json!({})).await;
    let access = app.introspect(&resource_server, member(&tokens, "access_token")).await;
    assert_eq!(
        names(&access),
        ["active", "aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub", "token_type", "username"]
    );
    assert_eq!((access["active"].as_bool(), access["client_id"].as_str()), (Some(true), Some(client.id.as_str())));
    assert_eq!((access["scope"].as_str(), access["token_type"].as_str()), (Some(SCOPE), Some("Bearer")));
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 7200);
    assert_eq!((access["iss"].as_str(), access["aud"].clone()), (Some(app.origin().as_str()), json!([app.origin()])));
    assert!(!access["jti"].as_str().unwrap().contains(member(&tokens, "access_token")));
    let refresh = member(&tokens, "refresh_token");
    assert_eq!(app.introspect(&client, refresh).await["token_type"], "refresh_token");
    assert_eq!(app.introspect(&resource_server, refresh).await, json!({ "active": false }), "its own client only");
    let rotated = app.refresh(&client, refresh).await.expect(200).json();
    assert_eq!(app.introspect(&client, refresh).await, json!({ "active": false }), "used");
    assert_eq!(app.introspect(&client, member(&rotated, "refresh_token")).await["active"], true);
    assert_eq!(app.introspect(&client, "nonsense").await, json!({ "active": false }));
    let scoped = [("token", member(&tokens, "access_token")), ("scope", "email private_metadata")];
    let answer = app.post("/oauth/token_info", &client, &scoped).await.expect(200).json();
    assert_eq!(answer, json!({ "active": false }));
}

#[tokio::test]
async fn introspection_is_for_clients_with_a_secret() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let token = [("token", member(&tokens, "access_token"))];
    let public = app.application(json!({ "public": true })).await;
    let wrong = OAuthClient { secret: Some("wrong".to_owned()), ..client.clone() };
    for asker in [&public, &wrong] {
        let answer = app.post("/oauth/token_info", asker, &token).await.expect(401);
        assert_eq!(answer.json()["error"], "invalid_client");
    }
    assert_eq!(app.post("/oauth/token_info", &client, &[]).await.expect(400).json()["error"], "invalid_request");
    assert_eq!(
        app.post("/oauth/token_info", &wrong, &[("token", "x")]).await.expect(401).json()["error"],
        "invalid_client"
    );
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_grant() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let second = app.refresh(&client, member(&first, "refresh_token")).await.expect(200).json();
    let answer =
        app.post("/oauth/token/revoke", &client, &[("token", member(&first, "refresh_token"))]).await.expect(200);
    assert_eq!((answer.text.as_str(), answer.header("content-type")), ("", None));
    for tokens in [&first, &second] {
        app.userinfo(member(tokens, "access_token")).await.expect(401);
        assert_eq!(app.introspect(&client, member(tokens, "access_token")).await, json!({ "active": false }));
        app.refresh(&client, member(tokens, "refresh_token")).await.expect(400);
    }
}

#[tokio::test]
async fn revoking_an_access_token_ends_that_one() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let access = member(&tokens, "access_token");
    app.post("/oauth/token/revoke", &client, &[("token", access), ("token_type_hint", "refresh_token")])
        .await
        .expect(200);
    app.userinfo(access).await.expect(401);
    let next = app.refresh(&client, member(&tokens, "refresh_token")).await.expect(200).json();
    let ask = "update oauth_applications set revoke_grant_on_access_token = true where instance_id = $1 and id = $2";
    app.execute(ask, &client.application).await;
    app.post("/oauth/token/revoke", &client, &[("token", member(&next, "access_token"))]).await.expect(200);
    app.refresh(&client, member(&next, "refresh_token")).await.expect(400);
}

#[tokio::test]
async fn foreign_and_unknown_tokens_are_answered_like_success_and_live_on() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let stranger = app.application(json!({})).await;
    for token in [member(&tokens, "access_token"), member(&tokens, "refresh_token"), "nonsense"] {
        app.post("/oauth/token/revoke", &stranger, &[("token", token)]).await.expect(200);
    }
    app.userinfo(member(&tokens, "access_token")).await.expect(200);
    app.refresh(&client, member(&tokens, "refresh_token")).await.expect(200);
    let jwt = app.post("/oauth/token/revoke", &client, &[("token", member(&tokens, "id_token"))]).await.expect(400);
    assert_eq!(jwt.json()["error"], "unsupported_token_type");
    assert_eq!(app.post("/oauth/token/revoke", &client, &[]).await.expect(400).json()["error"], "invalid_request");
    let nobody = app.browser().raw(Method::POST, &app.url("/oauth/token/revoke")).form(&[("token", "x")]);
    send(nobody).await.expect(401);
    send(app.browser().raw(Method::GET, &app.url("/oauth/token/revoke"))).await.expect(405);
}

#[tokio::test]
async fn scripts_of_any_page_may_read_answers_without_credentials() {
    let app = TestApp::start().await;
    for path in ["/oauth/token", "/oauth/token/revoke", "/oauth/userinfo"] {
        let preflight = app.browser().raw(Method::OPTIONS, &app.url(path)).header("origin", "https://spa.example");
        let answer = send(preflight.header("access-control-request-method", "POST")).await;
        assert!(answer.status.is_success(), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
        assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"), "{path}");
    }
    let request = app.browser().raw(Method::GET, &app.url("/oauth/userinfo")).header("origin", "https://spa.example");
    let answer = send(request).await.expect(401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("WWW-Authenticate"));
    let info = app.browser().raw(Method::POST, &app.url("/oauth/token_info")).header("origin", "https://spa.example");
    assert_eq!(send(info).await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn looking_at_a_token_is_one_read() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let access = member(&tokens, "access_token");
    app.userinfo(access).await.expect(200);
    let cost = app.cost(async { app.userinfo(access).await.expect(200) }).await;
    assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:#?}");
    for token in [access, member(&tokens, "refresh_token")] {
        let cost = app.cost(async { assert_eq!(app.introspect(&client, token).await["active"], true) }).await;
        assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:#?}");
    }
}
