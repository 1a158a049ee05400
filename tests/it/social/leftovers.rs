//! What a trip to a provider leaves behind: nothing that is sealed, and nothing the provider said of a person, longer than
//! somebody can go on from it.

use std::time::Duration;

use serde_json::json;
use vestibule::store::social_flows;

use super::linking::set;
use crate::support::TestApp;
use crate::support::person::{APP, approve, begin, client, go, provider_url, transfer};

const MINUTE: Duration = Duration::from_secs(60);

async fn forget(app: &TestApp) -> u64 {
    social_flows::forget_abandoned(&app.app().db, 100).await.unwrap()
}

/// Trips that still hold something.
async fn holding(app: &TestApp) -> i64 {
    let holding = "select count(*) from social_flows where instance_id = $1 and $2 = ''
        and (pkce_verifier_sealed is not null or tokens_sealed is not null or profile is not null
            or provider_user_id is not null or callback_sealed is not null)";
    app.count(holding, "").await
}

async fn trips(app: &TestApp) -> i64 {
    app.count("select count(*) from social_flows where instance_id = $1 and $2 = ''", "").await
}

#[tokio::test]
async fn a_trip_that_nobody_came_back_from_is_emptied_and_later_removed() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    app.advance(9 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 1), "there is still time");
    app.advance(12 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (1, 0));
    assert_eq!(forget(&app).await, 0, "once");
    let refused = browser.get(callback).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid", "it is known, and too late");
    let remove = async || social_flows::remove_old(&app.app().db, 100).await.unwrap();
    assert_eq!((remove().await, trips(&app).await), (0, 1));
    app.advance(24 * 60 * MINUTE).await;
    assert_eq!((remove().await, trips(&app).await), (1, 0));
}

#[tokio::test]
async fn a_transferable_proof_is_kept_while_it_can_be_transferred() {
    let app = TestApp::start().await;
    let (one, other) = (app.browser(), app.browser());
    for browser in [&one, &other] {
        go(&app, browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    }
    app.advance(9 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 2));
    transfer(&app, &one, "sign_ups").await.expect(200);
    assert!(client(&app, &one).await["sessions"][0]["user"].is_object());
    app.advance(12 * MINUTE).await;
    forget(&app).await;
    assert_eq!(holding(&app).await, 0);
    let refused = transfer(&app, &other, "sign_ups").await;
    assert_eq!(refused.error_code(), "account_transfer_invalid");
}

#[tokio::test]
async fn a_proof_waits_as_long_as_the_sign_up_that_needs_it() {
    let app = TestApp::start().await;
    set(&app, json!({ "attributes": { "username": { "required": true } } })).await;
    let (one, other) = (app.browser(), app.browser());
    go(&app, &one, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    go(&app, &other, "sign_ups", "oauth_google", "bob@example.com").await.expect(303);
    app.advance(120 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (0, 2));
    let attempt = client(&app, &one).await["sign_up"]["id"].as_str().unwrap().to_owned();
    let path = app.url(&format!("/v1/client/sign_ups/{attempt}?_method=PATCH"));
    let done = one.post_form(path, APP, &[("username", "ada_lovelace")]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
    forget(&app).await;
    assert_eq!(holding(&app).await, 1, "what is complete needs nothing");
    app.advance(23 * 60 * MINUTE).await;
    assert_eq!((forget(&app).await, holding(&app).await), (1, 0), "nor what was abandoned");
}

/// The task itself, on a running server.
#[tokio::test]
async fn a_server_does_it_by_itself() {
    let mut app = TestApp::start().await;
    begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(200);
    app.advance(21 * MINUTE).await;
    app.start_jobs();
    while holding(&app).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
