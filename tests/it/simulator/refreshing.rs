//! Every way in which providers refresh, as switches.

use super::world::World;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use vestibule::model::reason::Reason;
use vestibule::upstream::error::UpstreamError;
use vestibule::upstream::token::TokenAnswer;

async fn world(behavior: &str) -> World {
    let world = World::start().await;
    world.switch("google", json!({"refresh": behavior})).await;
    assert_eq!(world.state("google").await["refresh"], behavior);
    world
}

async fn ada(world: &World) -> TokenAnswer {
    world.sign_in("google", "ada").await.0
}

fn is_refused(result: Result<TokenAnswer, UpstreamError>) -> bool {
    result.is_err_and(|error| (error.reason, error.detail) == (Reason::RefreshRefused, "invalid_grant"))
}

#[tokio::test]
async fn none_gives_no_refresh_token() {
    let world = world("none").await;
    let tokens = ada(&world).await;
    assert!(tokens.refresh_token.is_none() && tokens.expires_in.is_some());
    let error = world.refresh("google", &"1//0made-up".into()).await.unwrap_err();
    assert_eq!(
        (error.reason, error.provider_code.as_deref()),
        (Reason::RefreshRefused, Some("unsupported_grant_type"))
    );
}

#[tokio::test]
async fn fixed_keeps_its_refresh_token() {
    let world = world("fixed").await;
    let tokens = ada(&world).await;
    assert!(ada(&world).await.refresh_token.is_some(), "at every approval");
    let refresh = tokens.refresh_token.unwrap();
    for generation in 1..=3 {
        let fresh = world.refresh("google", &refresh).await.unwrap();
        assert!(fresh.refresh_token.is_none());
        assert_eq!(world.describe("google", &fresh.access_token).await["generation"], generation);
    }
}

#[tokio::test]
async fn rotating_replaces_it_at_once() {
    let world = world("rotating").await;
    let first = ada(&world).await.refresh_token.unwrap();
    let second = world.refresh("google", &first).await.unwrap().refresh_token.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    assert!(is_refused(world.refresh("google", &first).await));
    assert!(world.refresh("google", &second).await.is_ok(), "the first one's second use does no harm");
}

#[tokio::test]
async fn rotating_with_grace_forgives_for_a_while() {
    let world = world("rotating_grace:30").await;
    let first = ada(&world).await.refresh_token.unwrap();
    let second = world.refresh("google", &first).await.unwrap().refresh_token.unwrap();
    world.advance(29).await;
    let third = world.refresh("google", &first).await.unwrap().refresh_token.unwrap();
    world.advance(2).await;
    assert!(is_refused(world.refresh("google", &first).await));
    for successor in [&second, &third] {
        assert!(world.refresh("google", successor).await.is_ok());
    }
}

#[tokio::test]
async fn a_second_use_ends_the_family_where_reuse_is_detected() {
    let world = world("reuse_detection").await;
    let first = ada(&world).await.refresh_token.unwrap();
    let fresh = world.refresh("google", &first).await.unwrap();
    let other = ada(&world).await.refresh_token.unwrap();
    assert!(is_refused(world.refresh("google", &first).await));
    assert!(is_refused(world.refresh("google", fresh.refresh_token.as_ref().unwrap()).await));
    assert_eq!(world.describe("google", &fresh.access_token).await["is_valid"], false);
    assert!(world.refresh("google", &other).await.is_ok(), "another approval's tokens live on");
    let families = world.state("google").await["families"].clone();
    assert_eq!((&families[0]["is_revoked"], &families[1]["is_revoked"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn short_lived_token_is_exchanged_for_long_lived_one() {
    let world = world("long_lived_exchange").await;
    let tokens = ada(&world).await;
    assert!(tokens.refresh_token.is_none());
    let prolong = async |token: &SecretString| {
        let grant = [("grant_type", "fb_exchange_token"), ("fb_exchange_token", token.expose_secret())];
        let answer = world.google_token(&grant).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, long) = prolong(&tokens.access_token).await;
    assert_eq!((status, &long["expires_in"]), (200, &json!(5_183_999)));
    let long: SecretString = long["access_token"].as_str().unwrap().into();
    world.advance(7200).await;
    assert_eq!(prolong(&tokens.access_token).await.0, 400, "the short-lived one has ended");
    assert_eq!(prolong(&long).await.0, 200);
    assert_eq!(world.state("google").await["calls"]["refresh"], 3);
}

#[tokio::test]
async fn an_end_is_unknown() {
    let world = world("expiry_unknown").await;
    let tokens = ada(&world).await;
    assert_eq!(tokens.expires_in, None);
    world.advance(100 * 86_400).await;
    assert_eq!(world.describe("google", &tokens.access_token).await["is_valid"], true);
    world.switch("google", json!({"expire_access_tokens": true})).await;
    assert_eq!(world.describe("google", &tokens.access_token).await["is_valid"], false);
}

#[tokio::test]
async fn only_the_first_consent_brings_a_refresh_token() {
    let world = World::start().await;
    world.switch("notion", json!({"refresh": "first_consent_only"})).await;
    let (first, _) = world.sign_in("notion", "ada").await;
    assert!(first.refresh_token.is_some() && first.expires_in == Some(3600));
    assert!(world.sign_in("notion", "ada").await.0.refresh_token.is_none());
    let fresh = world.refresh("notion", first.refresh_token.as_ref().unwrap()).await.unwrap();
    assert!(fresh.refresh_token.is_none(), "it stays");
}

#[tokio::test]
async fn the_person_withdraws() {
    let everybody = world("revoked").await;
    let tokens = ada(&everybody).await;
    assert!(is_refused(everybody.refresh("google", tokens.refresh_token.as_ref().unwrap()).await));
    everybody.switch("google", json!({"refresh": null})).await;
    assert!(everybody.refresh("google", tokens.refresh_token.as_ref().unwrap()).await.is_ok());

    let world = world("rotating").await;
    let (tokens, ada) = world.sign_in("google", "ada").await;
    let bob = world.sign_in("google", "bob").await.0.refresh_token.unwrap();
    let done = world.switch("google", json!({"revoke_refresh_token": ada.provider_user_id})).await;
    assert_eq!(done["revoked_refresh_tokens"], 1);
    assert!(is_refused(world.refresh("google", tokens.refresh_token.as_ref().unwrap()).await));
    assert!(world.refresh("google", &bob).await.is_ok());
}

#[tokio::test]
async fn a_fault_ends_what_was_approved() {
    let world = World::start().await;
    for (fault, access_lives) in [("revoked_refresh", true), ("reuse_detected", false)] {
        let mut start = world.start_url("google", Some("consent"));
        start.query_pairs_mut().append_pair("fail", fault);
        let callback = world.auto(start, "ada").await;
        let tokens = world.exchange("google", &callback).await.unwrap();
        let refresh = tokens.refresh_token.as_ref().unwrap();
        assert!(is_refused(world.refresh("google", refresh).await));
        assert_eq!(world.describe("google", refresh).await["is_valid"], false);
        assert_eq!(world.describe("google", &tokens.access_token).await["is_valid"], access_lives, "{fault}");
    }
}

#[tokio::test]
async fn of_ten_refreshes_at_once_each_has_its_own_place() {
    let world = world("fixed").await;
    let refresh = ada(&world).await.refresh_token.unwrap();
    let fresh = futures_util::future::join_all((0..10).map(|_| world.refresh("google", &refresh))).await;
    let mut generations = Vec::new();
    for answer in fresh {
        let described = world.describe("google", &answer.unwrap().access_token).await;
        generations.push(described["generation"].as_i64().unwrap());
    }
    generations.sort_unstable();
    assert_eq!(generations, (1..=10).collect::<Vec<_>>());
    let state = world.state("google").await;
    assert_eq!((&state["calls"]["token"], &state["calls"]["refresh"]), (&json!(1), &json!(10)));
    let family = &state["families"][0];
    assert_eq!((&family["generation"], &family["access_tokens"]), (&json!(10), &json!(11)));
}

#[tokio::test]
async fn of_ten_uses_of_a_rotating_token_one_wins() {
    let world = world("rotating").await;
    let refresh = ada(&world).await.refresh_token.unwrap();
    let tries = futures_util::future::join_all((0..10).map(|_| world.refresh("google", &refresh))).await;
    assert_eq!(tries.into_iter().filter(Result::is_ok).count(), 1);
}
