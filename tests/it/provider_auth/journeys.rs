//! The ways that end well: a stranger, a friend, a transfer either way, a cancel.

use std::time::Duration;

use crate::support::TestApp;
use crate::support::person::{APP, approve, begin, client, go, provider_url, sign_up, transfer};

#[tokio::test]
async fn a_stranger_who_signs_in_becomes_a_user_by_transfer() {
    let app = TestApp::start().await;
    let browser = app.browser();

    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let attempt = &begun.json()["response"];
    assert_eq!(attempt["status"], "needs_identifier");
    assert!(attempt["supported_first_factors"].is_null());
    assert!(begun.set_cookies().iter().any(|line| line.starts_with("__client=") && line.contains("HttpOnly")));
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    let back = browser.get(callback).await.expect(303);
    assert_eq!(back.location().as_str(), format!("{APP}/sso-callback"));

    let found = client(&app, &browser).await;
    let verification = &found["sign_in"]["first_factor_verification"];
    assert_eq!(found["sign_in"]["status"], "needs_identifier", "a failed or transferable attempt stays there");
    assert_eq!(
        (verification["status"].as_str(), verification["error"]["code"].as_str()),
        (Some("transferable"), Some("external_account_not_found"))
    );
    assert!(found["sessions"].as_array().unwrap().is_empty());

    let done = transfer(&app, &browser, "sign_ups").await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["response"]["created_session_id"], done["client"]["sessions"][0]["id"]);
    assert!(done["client"]["sign_in"].is_null() && done["client"]["sign_up"].is_null());
    let user = &done["client"]["sessions"][0]["user"];
    assert_eq!(user["email_addresses"][0]["email_address"], "ada@example.com");
    assert_eq!(user["email_addresses"][0]["verification"]["status"], "verified");
    assert_eq!(user["email_addresses"][0]["verification"]["object"], "verification_from_oauth");
    assert_eq!(user["external_accounts"][0]["provider"], "oauth_google");
    assert_eq!(user["external_accounts"][0]["verification"]["status"], "verified");
    assert_eq!(user["email_addresses"][0]["linked_to"][0]["id"], user["external_accounts"][0]["identification_id"]);
    assert!(user.get("private_metadata").is_none());
    assert_eq!(transfer(&app, &browser, "sign_ups").await.expect(400).error_code(), "account_transfer_invalid");
}

#[tokio::test]
async fn a_friend_signs_in_and_the_attempt_stays_for_the_callback_page() {
    let app = TestApp::start().await;
    let user = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;

    let browser = app.browser();
    let planted = browser.get(app.url("/v1/client")).await;
    assert_eq!(planted.json()["response"], serde_json::Value::Null);
    let done = go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(done.location().as_str(), format!("{APP}/done"));
    let uat = done.set_cookies().into_iter().filter(|line| line.starts_with("__client_uat")).count();
    assert_eq!(uat, 2, "plain and suffixed: {:?}", done.set_cookies());

    let found = client(&app, &browser).await;
    assert_eq!(found["sign_in"]["status"], "complete");
    assert_eq!(found["sign_in"]["identifier"], "ada@example.com");
    assert_eq!(found["sign_in"]["created_session_id"], found["sessions"][0]["id"]);
    assert_eq!(found["last_active_session_id"], found["sessions"][0]["id"]);
    assert_eq!(found["sessions"][0]["user"]["id"], user.as_str());
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 1);

    app.advance(Duration::from_secs(601)).await;
    assert!(client(&app, &browser).await["sign_in"].is_null(), "after ten minutes it is gone");
}

#[tokio::test]
async fn a_friend_who_signs_up_is_signed_in_by_transfer() {
    let app = TestApp::start().await;
    let user = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let browser = app.browser();
    let back = go(&app, &browser, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(back.location().as_str(), format!("{APP}/sso-callback"));
    let verification = client(&app, &browser).await["sign_up"]["verifications"]["external_account"].clone();
    assert_eq!(
        (verification["status"].as_str(), verification["error"]["code"].as_str()),
        (Some("transferable"), Some("external_account_exists"))
    );
    let done = transfer(&app, &browser, "sign_ins").await.expect(200).json();
    assert_eq!(done["response"]["object"], "sign_in");
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["client"]["sessions"][0]["user"]["id"], user.as_str());
}

#[tokio::test]
async fn a_transfer_waits_ten_minutes_and_belongs_to_its_client() {
    let app = TestApp::start().await;
    let browser = app.browser();
    go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    let stranger = app.browser();
    begin(&app, &stranger, "sign_ins", "oauth_google").await.expect(200);
    assert_eq!(transfer(&app, &stranger, "sign_ups").await.expect(400).error_code(), "account_transfer_invalid");
    assert_eq!(transfer(&app, &browser, "sign_ins").await.expect(400).error_code(), "account_transfer_invalid");
    app.advance(Duration::from_secs(601)).await;
    assert_eq!(transfer(&app, &browser, "sign_ups").await.expect(400).error_code(), "account_transfer_invalid");
    assert_eq!(app.backend_get("/v1/users/count").await.json()["total_count"], 0);
}

#[tokio::test]
async fn provider_without_verified_address_creates_user_with_unverified_address() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_notion", "ada@example.com").await;
    let user = client(&app, &browser).await["sessions"][0]["user"].clone();
    assert_eq!(user["email_addresses"][0]["email_address"], "ada@example.com");
    assert_eq!(user["email_addresses"][0]["verification"]["status"], "unverified");
    assert_eq!((user["first_name"].as_str(), user["last_name"].as_str()), (Some("Ada"), Some("Lovelace")));
}

#[tokio::test]
async fn somebody_without_an_address_is_asked_for_one() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let back = go(&app, &browser, "sign_ups", "oauth_notion", "cyd").await.expect(303);
    assert_eq!(back.location().as_str(), format!("{APP}/sso-callback"));
    let attempt = client(&app, &browser).await["sign_up"].clone();
    assert_eq!(attempt["status"], "missing_requirements");
    assert_eq!(attempt["missing_fields"], serde_json::json!(["email_address"]));
    assert_eq!(attempt["verifications"]["external_account"]["status"], "verified");
}

#[tokio::test]
async fn a_cancel_at_the_provider_is_reported_to_the_app() {
    let app = TestApp::start().await;
    for strategy in ["oauth_google", "oauth_notion"] {
        let browser = app.browser();
        let begun = begin(&app, &browser, "sign_ins", strategy).await.expect(200);
        let page = browser.follow(provider_url(&begun).as_str(), |_| false).await.expect(200);
        let denied = browser.post_form(page.url.as_str(), &app.origin(), &[("deny", "1")]).await;
        let back = browser.get(denied.location()).await.expect(303);
        assert_eq!(back.location().as_str(), format!("{APP}/sso-callback"));
        let verification = client(&app, &browser).await["sign_in"]["first_factor_verification"].clone();
        assert_eq!(
            (verification["status"].as_str(), verification["error"]["code"].as_str()),
            (Some("failed"), Some("oauth_access_denied"))
        );
        assert_eq!(verification["error"]["meta"]["reason"], "provider_denied");
        assert_eq!(client(&app, &browser).await["sign_in"]["status"], "needs_identifier");
    }
}

#[tokio::test]
async fn a_second_identity_of_a_signed_in_browser_is_refused_at_the_start() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let refused = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "session_exists");
    assert!(refused.json()["errors"][0]["meta"]["session_id"].as_str().unwrap().starts_with("sess_"));
}
