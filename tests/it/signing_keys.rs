//! Which key signs: the newest of its purpose whose time has come, published before, by the clock and not by a signal.

use crate::support::oauth::{OAuthClient, member, parameters};
use crate::support::{Answer, TestApp};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;
use vestibule::actions;
use vestibule::crypto::{SigningKey, TokenType};
use vestibule::model::signing_key::KeyPurpose;
use vestibule::store::signing_keys::{self, NewKey};

/// Publishes a new key that begins to sign `after` now, and returns its id.
async fn publish(app: &TestApp, purpose: KeyPurpose, after: time::Duration) -> String {
    let ctx = app.ctx().await;
    let key = tokio::task::spawn_blocking(|| SigningKey::generate().unwrap()).await.unwrap();
    let at = signing_keys::sealed_at(ctx.instance_id(), key.kid());
    let sealed = ctx.app.ring.seal(ctx.rng(), &at, &key.pkcs8().unwrap()).unwrap();
    let new = NewKey { purpose, jwk: key.public_jwk(), sealed: &sealed, published_at: ctx.now };
    signing_keys::insert(&mut ctx.db(), &new, ctx.now + after).await.unwrap();
    ctx.app.forget_directory();
    key.kid().to_owned()
}

/// The ids of the keys of a document.
fn kids(document: &Answer) -> Vec<String> {
    document.json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What clients of `jwks_uri` see.
async fn published(app: &TestApp) -> Vec<String> {
    kids(&app.browser().get(app.url("/.well-known/jwks.json")).await.expect(200))
}

/// What backends see.
async fn of_backends(app: &TestApp) -> Vec<String> {
    kids(&app.backend_get("/v1/jwks").await.expect(200))
}

async fn active_of(app: &TestApp, purpose: KeyPurpose) -> String {
    actions::signing_keys::active(&app.ctx().await, purpose).await.unwrap().kid().to_owned()
}

async fn active(app: &TestApp) -> String {
    active_of(app, KeyPurpose::Session).await
}

/// The key that signed a token.
fn kid(jwt: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// A fresh id_token of somebody called `username`.
async fn id_token(app: &TestApp, client: &OAuthClient, username: &str) -> String {
    app.tokens(client, username, "openid").await["id_token"].as_str().unwrap().to_owned()
}

/// Leaves the instance as the release before left it: with the session key alone.
async fn as_before_the_upgrade(app: &TestApp) {
    app.execute("delete from signing_keys where instance_id = $1 and purpose = $2", "id_token").await;
    for app in &app.apps {
        app.forget_directory();
    }
}

#[tokio::test]
async fn id_token_is_signed_with_a_key_that_backends_never_see() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let own = kid(&id_token(&app, &client, "ada").await);
    let session = active(&app).await;
    assert_eq!(own, active_of(&app, KeyPurpose::IdToken).await);
    assert_eq!(published(&app).await, [session.clone(), own], "clients get both, the session key first");
    assert_eq!(of_backends(&app).await, [session]);
}

#[tokio::test]
async fn each_purpose_rotates_by_itself() {
    let app = TestApp::start().await;
    let (session, first) = (active(&app).await, active_of(&app, KeyPurpose::IdToken).await);
    let next = publish(&app, KeyPurpose::IdToken, time::Duration::minutes(15)).await;
    assert_eq!(active_of(&app, KeyPurpose::IdToken).await, first);
    assert_eq!(published(&app).await, [next.clone(), session.clone(), first.clone()], "before it signs");
    app.advance(Duration::from_secs(16 * 60)).await;
    assert_eq!((active_of(&app, KeyPurpose::IdToken).await, active(&app).await), (next.clone(), session.clone()));
    assert_eq!(of_backends(&app).await, std::slice::from_ref(&session));
    let other = publish(&app, KeyPurpose::Session, time::Duration::ZERO).await;
    assert_eq!((active_of(&app, KeyPurpose::IdToken).await, active(&app).await), (next, other.clone()));
    assert_eq!(of_backends(&app).await, [other, session]);
}

#[tokio::test]
async fn newest_key_of_a_new_instance_is_the_session_key() {
    let app = TestApp::start().await;
    // A replica of the release before, which knows no purpose, signs everything with the newest key.
    let newest: String = sqlx::query_scalar(
        "select purpose from signing_keys where active_from <= now() order by active_from desc limit 1",
    )
    .fetch_one(&app.app().db)
    .await
    .unwrap();
    assert_eq!(newest, "session");
}

#[tokio::test]
async fn upgraded_instance_gets_one_id_token_key_from_all_its_replicas() {
    let app = TestApp::replicas(2).await;
    as_before_the_upgrade(&app).await;
    let (one, two) = tokio::join!(
        actions::signing_keys::add_missing(&app.apps[0]),
        actions::signing_keys::add_missing(&app.apps[1])
    );
    one.and(two).unwrap();
    assert_eq!(
        app.count("select count(*) from signing_keys where instance_id = $1 and purpose = $2", "id_token").await,
        1
    );
    let before = "select count(*) from signing_keys k where k.instance_id = $1 and k.purpose = $2 and k.active_from <
        (select min(s.active_from) from signing_keys s where s.instance_id = $1 and s.purpose = 'session')";
    assert_eq!(app.count(before, "id_token").await, 1, "the release before does not sign with it");
    let reported = "select count(*) from audit_events where instance_id = $1 and action = $2 and actor_kind = 'system'";
    assert_eq!(app.count(reported, "signing_key.created").await, 1);
}

#[tokio::test]
async fn upgraded_instance_signs_id_tokens_with_a_published_key_at_every_moment() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    as_before_the_upgrade(&app).await;
    actions::signing_keys::add_missing(app.app()).await.unwrap();
    let session = active(&app).await;
    let early = id_token(&app, &client, "ada").await;
    let keys = published(&app).await;
    assert_eq!((kid(&early), keys.len()), (session.clone(), 2), "verifiers have 15 minutes to see the new key");
    assert_eq!(of_backends(&app).await, std::slice::from_ref(&session));
    app.advance(Duration::from_secs(14 * 60)).await;
    assert_eq!(kid(&id_token(&app, &client, "bob").await), session);
    app.advance(Duration::from_secs(61)).await;
    let late = id_token(&app, &client, "cleo").await;
    assert_eq!(kid(&late), keys[1]);
    assert_eq!((published(&app).await, active(&app).await), (keys, session), "nothing else changed");

    // A hint is one whichever key signed it when; what the session key signs today is none.
    let forged = json!({ "iss": app.origin(), "sub": app.person("eve").await.user_id, "aud": client.id,
        "iat": app.ctx().await.now.unix_timestamp(), "exp": app.ctx().await.now.unix_timestamp() + 60 });
    let key = actions::signing_keys::active(&app.ctx().await, KeyPurpose::Session).await.unwrap();
    let forged = key.sign(TokenType::Jwt, &forged).unwrap();
    for (hint, error) in [(&early, "login_required"), (&late, "login_required"), (&forged, "invalid_request")] {
        let url = app.authorize_url(&client, &[("id_token_hint", hint), ("prompt", "none")]);
        let answer = app.browser().get(&url).await.expect(302);
        assert_eq!(parameters(&answer.location())["error"], error);
    }
}

#[tokio::test]
async fn instance_made_by_the_release_before_gets_its_key_when_its_keys_are_read() {
    let app = TestApp::start().await;
    as_before_the_upgrade(&app).await;
    assert_eq!(published(&app).await.len(), 2);
    assert_eq!(of_backends(&app).await.len(), 1);
}

#[tokio::test]
async fn revoked_id_token_key_is_not_replaced_by_the_session_key() {
    let app = TestApp::start().await;
    app.execute("update signing_keys set revoked_at = now() where instance_id = $1 and purpose = $2", "id_token").await;
    app.app().forget_directory();
    assert!(actions::signing_keys::active(&app.ctx().await, KeyPurpose::IdToken).await.is_err());
    assert_eq!(published(&app).await, [active(&app).await]);
    app.execute("update signing_keys set revoked_at = null where instance_id = $1 and purpose = $2", "id_token").await;
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs() {
    let app = TestApp::start().await;
    let first = active(&app).await;
    let next = publish(&app, KeyPurpose::Session, time::Duration::minutes(15)).await;
    assert_eq!(active(&app).await, first);
    assert_eq!(of_backends(&app).await, [next.clone(), first.clone()]);
    app.advance(Duration::from_secs(16 * 60)).await;
    assert_eq!(active(&app).await, next);
    assert_eq!(of_backends(&app).await, [next, first], "what was signed before still verifies");
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once() {
    let app = TestApp::start().await;
    let first = active(&app).await;
    let second = publish(&app, KeyPurpose::Session, time::Duration::ZERO).await;
    assert_eq!(active(&app).await, second);
    sqlx::query("update signing_keys set revoked_at = now() where kid = $1")
        .bind(&second)
        .execute(&app.app().db)
        .await
        .unwrap();
    app.app().forget_directory();
    assert_eq!((active(&app).await, of_backends(&app).await), (first.clone(), vec![first]));
}

#[tokio::test]
async fn keys_in_use_cost_the_database_nothing() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    actions::signing_keys::active(&ctx, KeyPurpose::Session).await.unwrap();
    assert_eq!(app.cost(actions::signing_keys::active(&ctx, KeyPurpose::Session)).await.statements, 0);
}

/// What an operator revoked does not come back by itself, and nobody looks for it at each request.
#[tokio::test]
async fn revoked_id_token_key_is_not_looked_for_at_each_request() {
    let app = TestApp::start().await;
    let session = active(&app).await;
    let revoke =
        "update signing_keys set revoked_at = now(), private_key_sealed = null where instance_id = $1 and purpose = $2";
    app.execute(revoke, "id_token").await;
    app.app().forget_directory();
    assert_eq!(published(&app).await, std::slice::from_ref(&session));
    let again = app.cost(async { assert_eq!(published(&app).await, std::slice::from_ref(&session)) }).await;
    assert_eq!(again.statements, 0, "{again:#?}");
    // Another key is seen as soon as there is news of it.
    let next = publish(&app, KeyPurpose::IdToken, time::Duration::ZERO).await;
    assert_eq!(published(&app).await, [next, session]);
}

#[tokio::test]
async fn without_an_id_token_key_tokens_are_issued_to_whoever_wants_no_id_token() {
    let app = TestApp::start().await;
    let client = app.application(json!({ "scopes": "openid profile" })).await;
    app.execute("update signing_keys set revoked_at = now() where instance_id = $1 and purpose = $2", "id_token").await;
    app.app().forget_directory();
    let tokens = app.tokens(&client, "ada", "profile").await;
    let refreshed = app.refresh(&client, member(&tokens, "refresh_token")).await.expect(200).json();
    assert!(tokens.get("id_token").is_none() && refreshed.get("id_token").is_none(), "{tokens} {refreshed}");
    assert_eq!(app.introspect(&client, member(&refreshed, "access_token")).await["active"], true);
    // The invariants that run at the end want a key of each purpose.
    app.execute("update signing_keys set revoked_at = null where instance_id = $1 and purpose = $2", "id_token").await;
}
