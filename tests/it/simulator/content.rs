//! Answers that say the wrong thing, and what our adapters make of them.

use super::world::World;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vestibule::model::profile::{EmailTrust, Profile};
use vestibule::model::reason::Reason;
use vestibule::upstream::error::UpstreamError;

/// Signs ada in with a fault.
async fn profile(world: &World, slug: &str, fault: &str) -> Result<Profile, UpstreamError> {
    let callback = world.fail(slug, "ada", fault).await;
    let tokens = world.exchange(slug, &callback).await.unwrap();
    world.profile(slug, &tokens).await
}

#[tokio::test]
async fn a_person_can_be_described_otherwise() {
    let world = World::start().await;
    for slug in ["github", "google", "notion"] {
        assert_eq!(profile(&world, slug, "missing_email").await.unwrap().email, None);
        let changed = profile(&world, slug, "changed_email").await.unwrap();
        assert_eq!(changed.email.as_deref(), Some("changed.ada@example.com"));
        let nameless = profile(&world, slug, "no_name").await.unwrap();
        assert_eq!((nameless.first_name, nameless.last_name), (None, None));
    }
    let hidden = profile(&world, "github", "unverified_email").await.unwrap();
    assert_eq!(hidden.email_trust, EmailTrust::Unverified, "the flag of the second call");
    let unverified = profile(&world, "google", "unverified_email").await.unwrap();
    assert_eq!(
        (unverified.email.as_deref(), unverified.email_trust),
        (Some("ada@example.com"), EmailTrust::Unverified)
    );
    let ada = world.sign_in("google", "ada").await.1;
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Verified));
}

#[tokio::test]
async fn an_identity_is_not_to_be_believed() {
    use Reason::*;
    let world = World::start().await;
    for (slug, fault, reason, detail) in [
        ("google", "no_id", IdentityUnusable, "absent"),
        ("notion", "no_id", IdentityUnusable, "absent"),
        ("github", "no_id", IdentityUnusable, "absent"),
        ("google", "wrong_nonce", IdtokenRefused, "nonce"),
        ("google", "wrong_audience", IdtokenRefused, "audience"),
        ("google", "bad_signature", IdtokenRefused, "signature"),
        ("google", "issuer_mismatch", IssuerMismatch, "token"),
        ("google", "clock:300", ClockSkew, ""),
        ("google", "clock:-4000", ClockSkew, ""),
    ] {
        let error = profile(&world, slug, fault).await.unwrap_err();
        assert_eq!((error.reason, error.detail), (reason, detail), "{slug} {fault}");
    }
}

#[tokio::test]
async fn a_new_key_is_found() {
    let world = World::start().await;
    let keys = async || -> Value {
        world.browser.get(world.url("google", "oauth2/v3/certs")).send().await.unwrap().json().await.unwrap()
    };
    world.sign_in("google", "ada").await;
    let before = keys().await["keys"][0]["kid"].clone();
    assert!(profile(&world, "google", "kid_rotation").await.is_ok(), "the keys were fetched again");
    assert_ne!(keys().await["keys"][0]["kid"], before);
}

#[tokio::test]
async fn the_api_speaks_of_somebody_else() {
    let world = World::start().await;
    let callback = world.fail("google", "ada", "token_for_other_user").await;
    let tokens = world.exchange("google", &callback).await.unwrap();
    let ada = world.profile("google", &tokens).await.unwrap();
    let get = world.browser.get(world.url("google", "v1/userinfo"));
    let reported: Value =
        get.bearer_auth(tokens.access_token.expose_secret()).send().await.unwrap().json().await.unwrap();
    assert!(reported["sub"].is_string() && reported["sub"] != ada.provider_user_id);
}

#[tokio::test]
async fn a_fault_of_the_next_answer_stays_with_its_approval() {
    let world = World::start().await;
    world.switch("google", json!({"fail_next": {"fault": "missing_email"}})).await;
    let (first, nobody) = world.sign_in("google", "ada").await;
    let (second, ada) = world.sign_in("google", "ada").await;
    assert_eq!((nobody.email, ada.email.as_deref()), (None, Some("ada@example.com")));
    for (tokens, has_address) in [(first, false), (second, true)] {
        let get = world.browser.get(world.url("google", "v1/userinfo"));
        let reported = get.bearer_auth(tokens.access_token.expose_secret()).send().await.unwrap();
        assert_eq!(reported.json::<Value>().await.unwrap()["email"].is_string(), has_address);
    }
}

#[tokio::test]
async fn an_address_changes_for_good() {
    let world = World::start().await;
    let ada = world.sign_in("google", "ada").await.1;
    world.switch("google", json!({"set_email": {(ada.provider_user_id.as_str()): "lovelace@example.com"}})).await;
    let renamed = world.sign_in("google", "ada").await.1;
    assert_eq!(
        (renamed.provider_user_id.as_str(), renamed.email.as_deref()),
        (ada.provider_user_id.as_str(), Some("lovelace@example.com"))
    );
    world.switch("google", json!({"set_email": {(ada.provider_user_id.as_str()): null}})).await;
    assert_eq!(world.sign_in("google", "ada").await.1.email, None);
}
