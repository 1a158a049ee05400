//! Which key signs: the newest whose time has come, published before, by the clock and not by a signal.

use crate::support::TestApp;
use std::time::Duration;
use vestibule::crypto::SigningKey;
use vestibule::flows;
use vestibule::store::signing_keys;

/// Publishes a new key that begins to sign `after` now, and returns its id.
async fn publish(app: &TestApp, after: time::Duration) -> String {
    let ctx = app.ctx().await;
    let key = tokio::task::spawn_blocking(|| SigningKey::generate().unwrap()).await.unwrap();
    let at = signing_keys::sealed_at(ctx.instance_id(), key.kid());
    let sealed = ctx.app.ring.seal(ctx.rng(), &at, &key.pkcs8().unwrap()).unwrap();
    let mut db = ctx.app.db.acquire().await.unwrap();
    signing_keys::insert(&mut db, ctx.instance_id(), key.public_jwk(), &sealed, ctx.now, ctx.now + after)
        .await
        .unwrap();
    ctx.app.forget_directory();
    key.kid().to_owned()
}

async fn published(app: &TestApp) -> Vec<String> {
    let answer = app.browser().get(app.url("/.well-known/jwks.json")).await.expect(200);
    answer.json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn active(app: &TestApp) -> String {
    flows::signing_keys::active(&app.ctx().await).await.unwrap().kid().to_owned()
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs() {
    let app = TestApp::start().await;
    let first = active(&app).await;
    let next = publish(&app, time::Duration::minutes(15)).await;
    assert_eq!(active(&app).await, first);
    assert_eq!(published(&app).await, [next.clone(), first.clone()]);
    app.advance(Duration::from_secs(16 * 60)).await;
    assert_eq!(active(&app).await, next);
    assert_eq!(published(&app).await, [next, first], "what was signed before still verifies");
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once() {
    let app = TestApp::start().await;
    let first = active(&app).await;
    let second = publish(&app, time::Duration::ZERO).await;
    assert_eq!(active(&app).await, second);
    sqlx::query("update signing_keys set revoked_at = now() where kid = $1")
        .bind(&second)
        .execute(&app.app().db)
        .await
        .unwrap();
    app.app().forget_directory();
    assert_eq!((active(&app).await, published(&app).await), (first.clone(), vec![first]));
}

#[tokio::test]
async fn keys_in_use_cost_the_database_nothing() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    flows::signing_keys::active(&ctx).await.unwrap();
    assert_eq!(app.cost(flows::signing_keys::active(&ctx)).await.statements, 0);
}
