//! Connecting an account, and having one approved once more.

use http::Method;
use serde_json::{Value, json};
use vestibule::actions::instance::{self, NewInstance};
use vestibule::store::audit::Actor;

use super::{Replayed, reasons, reference, replayed, steps};
use crate::provider_auth::connecting::{accounts, address, configure, connect};
use crate::support::TestApp;
use crate::support::browser::{Browser, send};
use crate::support::person::{APP, approve, sign_up};

/// Connects and comes back as `person`; returns the flow.
async fn connected_as(app: &TestApp, browser: &Browser, strategy: &str, scope: &str, person: &str) -> String {
    let more = [("additional_scope", scope)];
    let begun = connect(app, browser, strategy, if scope.is_empty() { &[] } else { &more }).await.expect(200);
    let callback = approve(browser, address(&begun), person).await;
    let back = browser.get(callback).await.expect(303);
    assert_eq!(reference(&back), reference(&begun));
    reference(&begun)
}

/// The app's code on the newest account.
async fn code(app: &TestApp, browser: &Browser) -> Value {
    accounts(app, browser).await.pop().unwrap()["verification"]["error"]["code"].clone()
}

#[tokio::test]
async fn a_connection_that_succeeds_is_logged_from_start_to_end() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let flow = connected_as(&app, &browser, "oauth_notion", "", "ada@example.com").await;
    let shown = app.flow(&flow).await;
    assert_eq!(
        (&shown["kind"], &shown["status"], &shown["user_id"]),
        (&json!("connect"), &json!("succeeded"), &json!(user))
    );
    let names = [
        "started",
        "sent_to_provider",
        "callback",
        "state_checked",
        "token_exchange",
        "identity_fetched",
        "decision",
        "handed_over",
    ];
    assert_eq!(steps(&shown), names);
    replayed(&program, &flow, Replayed::Succeeds);
    configure(&app, "notion", "enabled = false").await;
    replayed(&program, &flow, Replayed::Refused("provider_unavailable"));
}

#[tokio::test]
async fn the_account_or_its_address_is_somebody_else_s() {
    let app = TestApp::start().await;
    let program = app.program();
    configure(&app, "google", "multiple_accounts = true").await;
    let (ada, grace) = (app.browser(), app.browser());
    sign_up(&app, &ada, "oauth_google", "ada@example.com").await;
    sign_up(&app, &grace, "oauth_google", "grace@example.com").await;
    for strategy in ["oauth_google", "oauth_notion"] {
        let flow = connected_as(&app, &ada, strategy, "", "grace@example.com").await;
        assert_eq!(code(&app, &ada).await, "oauth_identification_claimed");
        app.reported(&program, &flow, &reasons::ACCOUNT_IN_USE_CLAIMED).await;
        replayed(&program, &flow, Replayed::Refused("account_in_use"));
    }
}

#[tokio::test]
async fn one_account_of_a_provider_is_enough() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let second = reasons::ACCOUNT_CONNECTED_ALREADY_SECOND;
    let refused = connect(&app, &browser, "oauth_google", &[]).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_account_already_connected");
    app.reported(&program, &reference(&refused), &second).await;
    replayed(&program, &reference(&refused), Replayed::Unknown);
    // Asking for one scope more leads past the check at the start.
    let flow = connected_as(&app, &browser, "oauth_google", "x", "ada-work@example.com").await;
    assert_eq!(code(&app, &browser).await, "oauth_account_already_connected");
    app.reported(&program, &flow, &second).await;
    replayed(&program, &flow, Replayed::Refused("account_connected_already"));
    configure(&app, "google", "multiple_accounts = true").await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn another_account_is_approved_than_the_connected_one() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let id = accounts(&app, &browser).await[0]["id"].as_str().unwrap().to_owned();
    let url = app.url(&format!("/v1/me/external_accounts/{id}/reauthorize?_method=PATCH"));
    let begun = browser.post_form(url, APP, &[("redirect_url", "/user")]).await.expect(200);
    let callback = approve(&browser, address(&begun), "someone-else@example.com").await;
    browser.get(callback).await.expect(303);
    let other = reasons::ACCOUNT_CONNECTED_ALREADY_OTHER;
    let flow = app.reported(&program, &reference(&begun), &other).await;
    assert_eq!((&flow["kind"], &flow["provider"]), (&json!("reauthorize"), &json!("google")));
    replayed(&program, &reference(&begun), Replayed::Refused("account_connected_already"));
}

#[tokio::test]
async fn addresses_may_not_be_added() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let settings = async |change: &str| {
        app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
        app.app().forget_directory();
    };
    settings(r#"{"addresses_changeable": false}"#).await;
    let flow = connected_as(&app, &browser, "oauth_notion", "", "ada@notion.example").await;
    assert_eq!(code(&app, &browser).await, "oauth_connection_blocked_by_immutable_attribute");
    app.reported(&program, &flow, &reasons::EMAIL_IMMUTABLE).await;
    replayed(&program, &flow, Replayed::Refused("email_immutable"));
    settings(r#"{"addresses_changeable": true}"#).await;
    replayed(&program, &flow, Replayed::Succeeds);
}

#[tokio::test]
async fn the_session_that_began_is_over() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let begun = connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    let callback = approve(&browser, address(&begun), "ada@example.com").await;
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    assert_eq!(reference(&browser.get(callback).await.expect(400)), reference(&begun));
    app.reported(&program, &reference(&begun), &reasons::STATE_OTHER_BROWSER_SESSION).await;
    replayed(&program, &reference(&begun), Replayed::Gone);
}

/// On production the list decides. Nothing but the command line shows its flows.
#[tokio::test]
async fn a_native_target_is_not_listed() {
    let app = TestApp::start().await;
    let program = app.program();
    let new = NewInstance::production("shop", "https://clerk.shop.example").unwrap();
    instance::create(app.app(), &new, Actor::System).await.unwrap();
    let url = app.url("/v1/client/sign_ins?_is_native=1");
    let request = app.browser().raw(Method::POST, &url).header("host", "clerk.shop.example");
    let form = [("strategy", "oauth_google"), ("redirect_url", "my-app://callback")];
    let refused = send(request.header("authorization", "").form(&form)).await.expect(400);
    assert_eq!(refused.error_code(), "resource_missmatch");
    app.app().recorder.flush().await;
    let flow = reference(&refused);
    let shown = program.run(&["--instance", "shop", "flow", "show", &flow, "--json"]).expect(0).json();
    let reported = reasons::NATIVE_REFUSED_UNLISTED;
    assert_eq!((&shown["reason"], &shown["detail"]), (&json!(reported.reason), &json!(reported.detail)), "{shown}");
    assert_eq!(
        (&shown["text_key"], &shown["label"], &shown["status"]),
        (&json!(reported.text_key), &json!(reported.label), &json!(reported.status))
    );
    let said = program.run(&["--instance", "shop", "flow", "replay", &flow, "--json"]).expect(0).json();
    assert_eq!((&said["would_succeed"], &said["new_attempt_needed"]), (&Value::Null, &json!(true)), "{said}");
}
