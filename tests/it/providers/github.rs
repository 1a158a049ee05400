//! Signing up with GitHub: the address comes from the second call.

use crate::support::TestApp;
use crate::support::person::{client, go, sign_up};

#[tokio::test]
async fn the_address_is_the_primary_one_of_the_second_call() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_github", "ada@example.com").await;
    let user = app.backend_get(&format!("/v1/users/{id}")).await.expect(200).json();
    let address = &user["email_addresses"][0];
    assert_eq!(address["email_address"], "ada@example.com");
    assert_eq!(address["verification"]["status"], "verified");
    let account = &user["external_accounts"][0];
    assert_eq!(account["provider"], "oauth_github");
    assert_eq!(account["username"], "ada");
    assert!(account["provider_user_id"].as_str().unwrap().parse::<u64>().is_ok(), "{account}");
    assert_eq!(account["approved_scopes"], "read:user user:email");

    let tokens = app.backend_get(&format!("/v1/users/{id}/oauth_access_tokens/github")).await.expect(200).json();
    assert!(tokens[0]["token"].as_str().unwrap().starts_with("gho_"));
    assert_eq!((&tokens[0]["expires_at"], tokens.as_array().unwrap().len()), (&serde_json::Value::Null, 1));

    let again = sign_in_as(&app, "ada@example.com").await;
    assert_eq!(again, id, "known again by the number, not by the address");
}

async fn sign_in_as(app: &TestApp, person: &str) -> String {
    let browser = app.browser();
    go(app, &browser, "sign_ins", "oauth_github", person).await.expect(303);
    client(app, &browser).await["sessions"][0]["user"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn unverified_primary_address_stays_unverified() {
    let app = TestApp::start().await;
    go(&app, &app.browser(), "sign_ups", "oauth_github", "bob@example.com").await.expect(303);
    let found = app.backend_get("/v1/users?email_address=bob@example.com").await.expect(200).json();
    for user in found.as_array().unwrap() {
        assert_ne!(user["email_addresses"][0]["verification"]["status"], "verified", "{user}");
    }
}

#[tokio::test]
async fn somebody_without_a_public_address_has_to_give_one() {
    let app = TestApp::start().await;
    let browser = app.browser();
    go(&app, &browser, "sign_ups", "oauth_github", "cyd").await.expect(303);
    let sign_up = client(&app, &browser).await["sign_up"].clone();
    assert_eq!(sign_up["status"], "missing_requirements");
    assert!(sign_up["missing_fields"].as_array().unwrap().contains(&"email_address".into()), "{sign_up}");
    let count = app.backend_get("/v1/users/count").await.expect(200).json();
    assert_eq!(count["total_count"], 0);
}
