//! Notion, simulated: the token answer says who, refresh tokens rotate, the API wants a version.

use super::world::World;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use vestibule::model::profile::EmailTrust;
use vestibule::model::reason::Reason;

#[tokio::test]
async fn signs_ada_in_by_the_token_answer() {
    let world = World::start().await;
    let (tokens, ada) = world.sign_in("notion", "ada").await;
    assert_eq!((tokens.expires_in, &tokens.scopes), (None, &None));
    assert!(tokens.access_token.expose_secret().starts_with("ntn_"));
    assert!(tokens.refresh_token.unwrap().expose_secret().starts_with("nrt_"));
    assert_eq!(tokens.raw["workspace_name"], "Ada's Notion");
    assert_eq!(tokens.raw["owner"]["user"]["person"], json!({"email": "ada@example.com"}));
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Unverified));
    assert_eq!(ada.provider_user_id.len(), 36);
    assert_eq!((ada.first_name.as_deref(), ada.last_name.as_deref()), (Some("Ada"), Some("Lovelace")));
    let (cyd, _) = world.sign_in("notion", "cyd").await;
    assert_eq!(cyd.raw["owner"]["user"]["person"], json!({}));
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let world = World::start().await;
    let first = world.sign_in("notion", "ada").await.0.refresh_token.unwrap();
    let second = world.refresh("notion", &first).await.unwrap().refresh_token.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    let error = world.refresh("notion", &first).await.unwrap_err();
    assert_eq!((error.reason, error.detail, error.status), (Reason::RefreshRefused, "invalid_grant", Some(400)));
    assert!(world.refresh("notion", &second).await.is_ok());
}

async fn call(world: &World, path: &str, token: Option<&str>, version: Option<&str>) -> (u16, Value) {
    let mut request = world.browser.get(world.url("notion", path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(version) = version {
        request = request.header("Notion-Version", version);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn the_api_checks_the_token_then_the_version() {
    let world = World::start().await;
    let (tokens, ada) = world.sign_in("notion", "ada").await;
    let token = Some(tokens.access_token.expose_secret());
    for path in ["v1/users/me", "v1/users"] {
        for wrong in [None, Some("ntn_wrong"), tokens.refresh_token.as_ref().map(ExposeSecret::expose_secret)] {
            let (status, body) = call(&world, path, wrong, None).await;
            assert_eq!((status, &body["object"], &body["code"]), (401, &json!("error"), &json!("unauthorized")));
        }
        let (status, body) = call(&world, path, token, None).await;
        assert_eq!((status, &body["code"]), (400, &json!("missing_version")));
    }
    let (status, me) = call(&world, "v1/users/me", token, Some("2022-06-28")).await;
    assert_eq!((status, &me["type"], &me["id"]), (200, &json!("bot"), &tokens.raw["bot_id"]));
    assert_eq!(me["bot"]["owner"]["user"]["id"], json!(ada.provider_user_id));
    let (status, list) = call(&world, "v1/users", token, Some("2022-06-28")).await;
    assert_eq!((status, &list["object"], &list["has_more"]), (200, &json!("list"), &json!(false)));
    assert_eq!(list["results"][0]["person"]["email"], "ada@example.com");
}
