//! Whoever claims somebody's address first and waits gets nothing: the known ways of taking an account over before its
//! owner comes.

use serde_json::json;

use super::linking::{ADA, arrive, assert_waits, back, linked, prove, set, user, users, verification};
use crate::support::TestApp;
use crate::support::person::{client, sign_up};

/// Gives a user a password that is not the owner's.
async fn plant_password(app: &TestApp, user: &str) {
    let plant = "insert into user_passwords (instance_id, user_id, digest, hasher, created_at, updated_at)
        values ($1, $2, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaA', 'argon2id', now(), now())";
    app.execute(plant, user).await;
}

#[tokio::test]
async fn classic_federated_merge_the_planted_password_is_gone() {
    let app = TestApp::start().await;
    let attacker = app.browser();
    let id = sign_up(&app, &attacker, "oauth_notion", ADA).await;
    plant_password(&app, &id).await;
    let owner = app.browser();
    let attempt = arrive(&app, &owner, "sign_ins", "oauth_google", ADA).await;
    assert_waits(&attempt, ADA);
    let verified = prove(&app, &owner, &attempt, ADA).await.expect(200).json();
    assert_eq!(verified["response"]["status"], "needs_new_password");
    assert_eq!(verified["client"]["sessions"], json!([]), "no session before the new password");
    let left = "select count(*) from user_passwords where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(left, &id).await, 0);
    assert_eq!(client(&app, &attacker).await["sessions"], json!([]));
    assert_eq!(linked(&user(&app, &id).await), ["oauth_google"]);
    // Whoever stops here comes in by the provider next time.
    let again = arrive(&app, &app.browser(), "sign_ins", "oauth_google", ADA).await;
    assert_eq!(again["status"], "complete");
}

/// A code that the claimant's application holds, and what their browser was known for.
#[tokio::test]
async fn unredeemed_code_what_was_about_to_be_granted_is_not() {
    let app = TestApp::start().await;
    let attacker = app.browser();
    let id = sign_up(&app, &attacker, "oauth_notion", ADA).await;
    let oauth = app.application(json!({})).await;
    let code = app.code(&attacker, &oauth, &[("scope", "profile")]).await;
    let owner = app.browser();
    let attempt = arrive(&app, &owner, "sign_ins", "oauth_google", ADA).await;
    prove(&app, &owner, &attempt, ADA).await.expect(200);
    let refused = app.redeem(&oauth, &code, &[]).await.expect(400).json();
    assert_eq!(refused["error"], "invalid_grant");
    let attackers = app
        .count(
            "select count(*) from known_clients k join client_tokens t on t.instance_id = k.instance_id
        and t.client_id = k.client_id where k.instance_id = $1 and k.user_id = $2 and t.created_at < (
            select max(created_at) from sign_ins where instance_id = $1 and user_id = $2)",
            &id,
        )
        .await;
    let consents = "select count(*) from oauth_consents where instance_id = $1 and user_id = $2";
    assert_eq!((attackers, app.count(consents, &id).await), (0, 0));
}

#[tokio::test]
async fn unexpired_session_what_was_open_is_closed() {
    let app = TestApp::start().await;
    let attackers = [app.browser(), app.browser()];
    let id = sign_up(&app, &attackers[0], "oauth_notion", ADA).await;
    arrive(&app, &attackers[1], "sign_ins", "oauth_notion", ADA).await;
    let owner = app.browser();
    let attempt = arrive(&app, &owner, "sign_ins", "oauth_google", ADA).await;
    prove(&app, &owner, &attempt, ADA).await.expect(200);
    for attacker in &attackers {
        assert_eq!(client(&app, attacker).await["sessions"], json!([]));
    }
    let open = "select count(*) from sessions where instance_id = $1 and user_id = $2 and status = 'active'";
    assert_eq!(app.count(open, &id).await, 1);
}

#[tokio::test]
async fn trojan_identifier_an_account_of_somebody_else_is_not_joined_at_all() {
    let app = TestApp::start().await;
    // The attacker has verified an address of their own, and claims the owner's beside it.
    let eve = app.person("eve").await;
    let plant = "insert into identifications (instance_id, id, user_id, kind, value, value_key, status, created_at,
            updated_at)
        values ($1, 'idn_trojan', $2, 'email_address', 'ada@example.com', 'ada@example.com', 'unverified', now(), now())";
    app.execute(plant, &eve.user_id).await;
    let owner = app.browser();
    let found = back(&app, &owner, "sign_ins", "oauth_google", ADA).await;
    assert_eq!(verification(&found), ("transferable".to_owned(), "external_account_not_found".to_owned()));
    let id = sign_up(&app, &app.browser(), "oauth_google", ADA).await;
    assert_ne!(id, eve.user_id);
    let shown = user(&app, &eve.user_id).await;
    assert_eq!(shown["email_addresses"].as_array().unwrap().len(), 1, "they lost the claim");
    assert!(linked(&shown).is_empty());
}

#[tokio::test]
async fn trojan_account_what_was_connected_is_disconnected() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", "eve").await;
    let owner = app.browser();
    let attempt = arrive(&app, &owner, "sign_ins", "oauth_google", ADA).await;
    assert_waits(&attempt, ADA);
    prove(&app, &owner, &attempt, ADA).await.expect(200);
    assert_eq!(linked(&user(&app, &id).await), ["oauth_google"]);
    // The attacker's identity is a stranger's from now on, and leads to a verification that they cannot complete.
    let attacker = app.browser();
    let attempt = arrive(&app, &attacker, "sign_ins", "oauth_google", "eve").await;
    assert_waits(&attempt, ADA);
    assert_eq!(client(&app, &attacker).await["sessions"], json!([]));
}

#[tokio::test]
async fn provider_without_verified_address_joins_no_account() {
    let app = TestApp::start().await;
    let ada = app.person("ada").await;
    for (strategy, attacker) in [("oauth_notion", ADA), ("oauth_google", "eve")] {
        let browser = app.browser();
        let attempt = arrive(&app, &browser, "sign_ins", strategy, attacker).await;
        assert_waits(&attempt, ADA);
        assert_eq!(client(&app, &browser).await["sessions"], json!([]));
    }
    assert!(linked(&user(&app, &ada.user_id).await).is_empty());
    assert_eq!(users(&app).await, 1);
}

#[tokio::test]
async fn an_abandoned_takeover_changes_nothing() {
    let app = TestApp::start().await;
    let claimant = app.browser();
    let id = sign_up(&app, &claimant, "oauth_notion", ADA).await;
    let attempt = arrive(&app, &app.browser(), "sign_ins", "oauth_google", ADA).await;
    assert_waits(&attempt, ADA);
    set(&app, json!({})).await;
    assert_eq!(linked(&user(&app, &id).await), ["oauth_notion"]);
    assert_eq!(client(&app, &claimant).await["sessions"].as_array().unwrap().len(), 1);
}
