//! Refresh tokens: rotated on every use, one live token per family, forgiving to lost answers, hard on theft.

use crate::support::TestApp;
use crate::support::oauth::{OAuthClient, claims, member};
use serde_json::{Value, json};
use std::time::Duration;

const SCOPE: &str = "openid email profile";

async fn setting(app: &TestApp) -> (OAuthClient, Value) {
    let client = app.application(json!({})).await;
    let tokens = app.tokens(&client, "ada", SCOPE).await;
    (client, tokens)
}

async fn rotated(app: &TestApp, client: &OAuthClient, tokens: &Value) -> Value {
    app.refresh(client, member(tokens, "refresh_token")).await.expect(200).json()
}

async fn families_ended(app: &TestApp, reason: &str) -> i64 {
    app.count("select count(*) from oauth_grants where instance_id = $1 and revoked_reason = $2", reason).await
}

#[tokio::test]
async fn o16_a_refresh_gives_new_tokens_of_the_same_grant() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    app.advance(Duration::from_secs(60)).await;
    let second = rotated(&app, &client, &first).await;
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!((second["scope"].as_str(), second["expires_in"].as_i64()), (Some(SCOPE), Some(7200)));
    let [before, after] = [claims(member(&first, "id_token")), claims(member(&second, "id_token"))];
    for same in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after["iat"].as_i64() > before["iat"].as_i64());
    assert_ne!(after["at_hash"], before["at_hash"]);
    assert!(after.get("nonce").is_none());
    app.userinfo(member(&first, "access_token")).await.expect(200);
    app.userinfo(member(&second, "access_token")).await.expect(200);
}

#[tokio::test]
async fn o07_access_tokens_live_two_hours_and_refresh_tokens_three_days() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let other = app.tokens(&client, "bob", SCOPE).await;
    let access = member(&tokens, "access_token");
    app.advance(Duration::from_secs(119 * 60)).await;
    app.userinfo(access).await.expect(200);
    assert_eq!(app.introspect(&client, access).await["active"], true);
    app.advance(Duration::from_secs(2 * 60)).await;
    app.userinfo(access).await.expect(401);
    assert_eq!(app.introspect(&client, access).await, json!({ "active": false }));
    app.advance(Duration::from_secs((3 * 24 - 3) * 3600)).await;
    rotated(&app, &client, &other).await;
    app.advance(Duration::from_secs(3600)).await;
    let late = app.refresh(&client, member(&tokens, "refresh_token")).await.expect(400);
    assert_eq!(late.json()["error"], "invalid_grant");
    assert_eq!(families_ended(&app, "refresh_reuse").await, 0, "an expired token is no theft");
}

#[tokio::test]
async fn each_rotation_begins_a_new_life_until_the_family_ends() {
    let app = TestApp::start().await;
    let (client, mut tokens) = setting(&app).await;
    for _ in 0..44 {
        app.advance(Duration::from_secs(2 * 86_400)).await;
        tokens = rotated(&app, &client, &tokens).await;
    }
    app.advance(Duration::from_secs(86_400)).await;
    tokens = rotated(&app, &client, &tokens).await;
    app.advance(Duration::from_secs(86_400)).await;
    app.refresh(&client, member(&tokens, "refresh_token")).await.expect(400);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_with_the_same_successor() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let second = rotated(&app, &client, &first).await;
    let again = rotated(&app, &client, &first).await;
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    assert_ne!(again["access_token"], second["access_token"]);
    app.userinfo(member(&again, "access_token")).await.expect(200);
    app.advance(Duration::from_secs(20)).await;
    assert_eq!(rotated(&app, &client, &first).await["refresh_token"], second["refresh_token"]);
    let third = rotated(&app, &client, &second).await;
    app.userinfo(member(&third, "access_token")).await.expect(200);
    app.refresh(&client, member(&first, "refresh_token")).await.expect(400);
    assert_eq!(families_ended(&app, "refresh_reuse").await, 1, "the successor was used: no grace any more");
}

#[tokio::test]
async fn grace_counts_from_the_first_use() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let second = rotated(&app, &client, &first).await;
    app.advance(Duration::from_secs(25)).await;
    rotated(&app, &client, &first).await;
    app.advance(Duration::from_secs(6)).await;
    app.refresh(&client, member(&first, "refresh_token")).await.expect(400);
    assert_eq!(families_ended(&app, "refresh_reuse").await, 1);
    app.refresh(&client, member(&second, "refresh_token")).await.expect(400);
}

#[tokio::test]
async fn reuse_ends_the_whole_family_and_is_recorded() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let second = rotated(&app, &client, &first).await;
    let third = rotated(&app, &client, &second).await;
    let bystander = app.tokens(&client, "bob", SCOPE).await;
    let stolen = app.refresh(&client, member(&first, "refresh_token")).await.expect(400);
    assert_eq!(stolen.json()["error"], "invalid_grant");
    for tokens in [&first, &second, &third] {
        app.userinfo(member(tokens, "access_token")).await.expect(401);
        app.refresh(&client, member(tokens, "refresh_token")).await.expect(400);
    }
    let recorded = "select count(*) from audit_events where instance_id = $1 and reason = $2";
    assert_eq!(app.count(recorded, "refresh_reuse").await, 1, "once, not for every further attempt");
    rotated(&app, &client, &bystander).await;
}

#[tokio::test]
async fn a_strangers_attempt_changes_nothing() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let stranger = app.application(json!({})).await;
    let second = rotated(&app, &client, &first).await;
    app.advance(Duration::from_secs(60)).await;
    for tokens in [&first, &second] {
        let refused = app.refresh(&stranger, member(tokens, "refresh_token")).await.expect(400);
        assert_eq!(refused.json()["error"], "invalid_grant");
    }
    let wrong = OAuthClient { secret: Some("wrong".to_owned()), ..client.clone() };
    app.refresh(&wrong, member(&first, "refresh_token")).await.expect(401);
    rotated(&app, &client, &second).await;
}

#[tokio::test]
async fn a_narrower_scope_narrows_the_access_token_alone() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let ask = async |token: &str, scope: &str| {
        app.token(&client, &[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    let beyond = ask(member(&first, "refresh_token"), "email private_metadata").await.expect(400);
    assert_eq!(beyond.json()["error"], "invalid_scope");
    let narrow = ask(member(&first, "refresh_token"), "email").await.expect(200).json();
    assert_eq!(narrow["scope"], "email");
    assert!(narrow.get("id_token").is_none());
    let claims = app.userinfo(member(&narrow, "access_token")).await.expect(200).json();
    assert!(claims["email"].is_string() && claims["name"].is_null());
    assert_eq!(ask(member(&narrow, "refresh_token"), SCOPE).await.expect(200).json()["scope"], SCOPE);
}

#[tokio::test]
async fn a_ban_ends_it() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let user = claims(member(&tokens, "id_token"))["sub"].as_str().unwrap().to_owned();
    app.execute(
        "update sessions set status = 'revoked', ended_at = now() where instance_id = $1 and user_id = $2",
        &user,
    )
    .await;
    app.execute("update users set banned_at = now() where instance_id = $1 and id = $2", &user).await;
    app.refresh(&client, member(&tokens, "refresh_token")).await.expect(400);
    app.userinfo(member(&tokens, "access_token")).await.expect(401);
    app.execute(
        "update oauth_grants set revoked_at = now(), revoked_reason = 'ban' where instance_id = $1 and user_id = $2",
        &user,
    )
    .await;
}

#[tokio::test]
async fn truncated_and_changed_tokens_are_nothing() {
    let app = TestApp::start().await;
    let (client, tokens) = setting(&app).await;
    let token = member(&tokens, "refresh_token");
    for position in 0..token.len() {
        let mut changed = token.to_owned();
        let other = if &token[position..=position] == "A" { "B" } else { "A" };
        changed.replace_range(position..=position, other);
        app.refresh(&client, &changed).await.expect(400);
        app.token(&client, &[("grant_type", "refresh_token"), ("refresh_token", &token[..position])]).await.expect(400);
    }
    app.refresh(&client, member(&tokens, "access_token")).await.expect(400);
    app.refresh(&client, token).await.expect(200);
}

#[tokio::test]
async fn of_ten_rotations_at_once_one_wins_and_all_hold_its_token() {
    let app = TestApp::replicas(2).await;
    let (client, mut tokens) = setting(&app).await;
    let rounds = std::env::var("VESTIBULE_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let attempts = (0..10).map(|_| app.refresh(&client, member(&tokens, "refresh_token")));
        let answers = futures_util::future::join_all(attempts).await;
        let answers: Vec<Value> = answers.into_iter().map(|answer| answer.expect(200).json()).collect();
        let successors: std::collections::BTreeSet<&str> =
            answers.iter().map(|answer| member(answer, "refresh_token")).collect();
        assert_eq!(successors.len(), 1, "round {round}");
        tokens = answers[0].clone();
    }
    let made = app.count("select count(*) from oauth_refresh_tokens where instance_id = $1 and $2 = ''", "").await;
    assert_eq!(made, rounds + 1);
}

#[tokio::test]
async fn a_rotation_is_one_statement() {
    let app = TestApp::start().await;
    let (client, first) = setting(&app).await;
    let second = rotated(&app, &client, &first).await;
    let cost = app.cost(rotated(&app, &client, &second)).await;
    assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:#?}");
}
