//! Google, simulated: id_token, refresh token at the first consent, scope aliases.

use super::world::{STATE, World};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vestibule::model::profile::EmailTrust;
use vestibule::model::reason::Reason;

const SCOPES: [&str; 3] =
    ["openid", "https://www.googleapis.com/auth/userinfo.email", "https://www.googleapis.com/auth/userinfo.profile"];

#[tokio::test]
async fn signs_ada_in_by_the_page() {
    let world = World::start().await;
    let callback = world.press(world.start_url("google", None), &[("person", "ada@example.com")]).await;
    assert_eq!(callback.status, 303);
    assert_eq!(callback.parameters["state"], STATE);
    assert_eq!(callback.parameters["scope"], SCOPES.join(" "));
    assert_eq!((callback.parameters["authuser"].as_str(), callback.parameters["prompt"].as_str()), ("0", "consent"));

    let tokens = world.exchange("google", &callback).await.unwrap();
    assert_eq!(tokens.expires_in, Some(3599));
    assert_eq!(tokens.token_type.as_deref(), Some("Bearer"));
    assert_eq!(tokens.scopes.as_deref(), Some(SCOPES.map(str::to_owned).as_slice()));
    assert!(tokens.access_token.expose_secret().starts_with("ya29."));
    assert!(tokens.refresh_token.as_ref().unwrap().expose_secret().starts_with("1//0"));

    let ada = world.profile("google", &tokens).await.unwrap();
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Verified));
    assert_eq!((ada.first_name.as_deref(), ada.last_name.as_deref()), (Some("Ada"), Some("Lovelace")));
    assert!(ada.provider_user_id.len() == 21 && ada.provider_user_id.bytes().all(|byte| byte.is_ascii_digit()));
}

#[tokio::test]
async fn a_refresh_token_comes_at_the_first_consent_or_when_asked() {
    let world = World::start().await;
    let (first, ada) = world.sign_in("google", "ada").await;
    assert!(first.refresh_token.is_some());
    let (second, again) = world.sign_in("google", "ada@example.com").await;
    assert!(second.refresh_token.is_none());
    assert_eq!(ada.provider_user_id, again.provider_user_id);

    let callback = world.auto(world.start_url("google", Some("consent")), "ada").await;
    assert!(world.exchange("google", &callback).await.unwrap().refresh_token.is_some());
    assert!(world.sign_in("google", "bob").await.0.refresh_token.is_some());
}

#[tokio::test]
async fn a_refresh_keeps_its_token_until_it_is_withdrawn() {
    let world = World::start().await;
    let (tokens, ada) = world.sign_in("google", "ada").await;
    let refresh = tokens.refresh_token.unwrap();
    for _ in 0..2 {
        let fresh = world.refresh("google", &refresh).await.unwrap();
        assert!(fresh.refresh_token.is_none() && fresh.id_token.is_some());
        assert_ne!(fresh.access_token.expose_secret(), tokens.access_token.expose_secret());
    }
    world.switch("google", json!({"revoke_refresh_token": ada.provider_user_id})).await;
    let error = world.refresh("google", &refresh).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (Reason::RefreshRefused, "invalid_grant"));
    assert_eq!(error.provider_message.as_deref(), Some("Token has been expired or revoked."));
}

async fn userinfo(world: &World, token: &str) -> (u16, Value) {
    let answer = world.browser.get(world.url("google", "v1/userinfo")).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn userinfo_is_for_the_bearer_of_a_good_token() {
    let world = World::start().await;
    let (tokens, ada) = world.sign_in("google", "ada").await;
    let token = tokens.access_token.expose_secret();
    let (status, claims) = userinfo(&world, token).await;
    assert_eq!((status, &claims["sub"], &claims["email_verified"]), (200, &json!(ada.provider_user_id), &json!(true)));
    assert_eq!(userinfo(&world, "ya29.a0wrong").await.0, 401);
    world.switch("google", json!({"expire_access_tokens": true})).await;
    assert_eq!(userinfo(&world, token).await.0, 401);
    let fresh = world.sign_in("google", "ada").await.0;
    assert_eq!(userinfo(&world, fresh.access_token.expose_secret()).await.0, 200);
    world.advance(3601).await;
    assert_eq!(userinfo(&world, fresh.access_token.expose_secret()).await.0, 401);
}

#[tokio::test]
async fn the_people_are_as_described() {
    let world = World::start().await;
    let bob = world.sign_in("google", "bob").await.1;
    assert_eq!((bob.email.as_deref(), bob.email_trust), (Some("bob@example.com"), EmailTrust::Unverified));
    let cyd = world.sign_in("google", "cyd").await.1;
    assert_eq!(cyd.email, None);
    let (ada, eve) = (world.sign_in("google", "ada").await.1, world.sign_in("google", "eve@example.com").await.1);
    assert_eq!((eve.email.as_deref(), eve.email_trust), (Some("ada@example.com"), EmailTrust::Unverified));
    assert_ne!(ada.provider_user_id, eve.provider_user_id);
    let new = world.sign_in("google", "new-7").await.1;
    assert_eq!((new.email.as_deref(), new.email_trust), (Some("new-7@example.com"), EmailTrust::Verified));
    let grace = world.sign_in("google", "Grace.Hopper@navy.example").await.1;
    assert_eq!(
        (grace.email.as_deref(), grace.last_name.as_deref()),
        (Some("grace.hopper@navy.example"), Some("Hopper"))
    );
}

#[tokio::test]
async fn discovery_shows_the_real_issuer_at_simulated_addresses() {
    let world = World::start().await;
    let get = |path| world.browser.get(world.url("google", path)).send();
    let document: Value = get(".well-known/openid-configuration").await.unwrap().json().await.unwrap();
    assert_eq!(document["issuer"], "https://accounts.google.com");
    assert_eq!(document["token_endpoint"], world.url("google", "token"));
    let keys: Value = get("oauth2/v3/certs").await.unwrap().json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys["keys"][0]["d"], Value::Null);
    let again: Value = get("oauth2/v3/certs").await.unwrap().json().await.unwrap();
    assert_eq!(keys, again);
}
