//! Attempts that are another browser's, over, or not to be had; and what a page leaves out by itself.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule::config::limits::Rate;

use super::{Replayed, as_page, reasons, reference, replayed, steps};
use crate::native::{Native, come_back, parameter};
use crate::pages::visitor::{Form, open};
use crate::provider_auth::linking::{arrive, prove};
use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{begin, go, provider_url, sign_up, transfer};
use crate::verification::{code_for, form};

const ADA: &str = "ada@example.com";

/// Begins for Ada with a code; returns the flow and the attempt's path.
async fn by_code(app: &TestApp, browser: &Browser) -> (String, String) {
    let fields = [("identifier", ADA), ("strategy", "email_code")];
    let begun = form(app, browser, "/v1/client/sign_ins", &fields).await.expect(200);
    (reference(&begun), format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap()))
}

async fn guess(app: &TestApp, browser: &Browser, attempt: &str, code: &str) -> Answer {
    let fields = [("strategy", "email_code"), ("code", code)];
    form(app, browser, &format!("{attempt}/attempt_first_factor"), &fields).await
}

#[tokio::test]
async fn an_attempt_is_another_browser_s() {
    let app = TestApp::start().await;
    let program = app.program();
    app.person("ada").await;
    let (browser, other) = (app.browser(), app.browser());
    let (flow, attempt) = by_code(&app, &browser).await;
    begin(&app, &other, "sign_ins", "oauth_google").await.expect(200);
    let refused = guess(&app, &other, &attempt, "123456").await.expect(404);
    let own = app.reported(&program, &reference(&refused), &reasons::ATTEMPT_OTHER_CLIENT_READ).await;
    assert_eq!((&own["kind"], steps(&own)), (&json!("request"), vec!["refused"]));
    replayed(&program, &reference(&refused), Replayed::Gone);
    assert_eq!(steps(&app.flow(&flow).await), ["started", "proof_sent"], "a stranger leaves no trace in it");

    let refused = transfer(&app, &other, "sign_ups").await.expect(400);
    app.reported(&program, &reference(&refused), &reasons::ATTEMPT_OTHER_CLIENT_TRANSFER).await;
    replayed(&program, &reference(&refused), Replayed::Gone);
}

#[tokio::test]
async fn an_attempt_is_over() {
    let app = TestApp::start().await;
    let program = app.program();
    app.person("ada").await;
    let browser = app.browser();
    let (flow, attempt) = by_code(&app, &browser).await;
    let code = code_for(&app, ADA).await;
    guess(&app, &browser, &attempt, &code).await.expect(200);
    assert_eq!(guess(&app, &browser, &attempt, &code).await.expect(400).error_code(), "client_state_invalid");
    let shown = app.flow(&flow).await;
    reasons::ATTEMPT_EXPIRED_DONE.is_step_of(&shown);
    assert_eq!(shown["status"], "succeeded", "what it did stands: {shown}");

    let late = app.browser();
    let (flow, attempt) = by_code(&app, &late).await;
    let begun = go(&app, &app.browser(), "sign_ins", "oauth_google", "new@example.com").await.expect(303);
    assert!(begun.location().as_str().ends_with("/sso-callback"));
    app.advance(Duration::from_secs(25 * 3600)).await;
    assert_eq!(guess(&app, &late, &attempt, "123456").await.expect(400).error_code(), "client_state_invalid");
    let shown = app.flow(&flow).await;
    reasons::ATTEMPT_EXPIRED_ABANDONED.is_step_of(&shown);
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("failed"), &json!("attempt_expired")), "{shown}");
    replayed(&program, &flow, Replayed::Gone);
}

#[tokio::test]
async fn a_transfer_comes_too_late() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    go(&app, &browser, "sign_ins", "oauth_google", "new@example.com").await.expect(303);
    app.advance(Duration::from_secs(11 * 60)).await;
    let late = transfer(&app, &browser, "sign_ups").await.expect(400);
    assert_eq!(late.error_code(), "account_transfer_invalid");
    app.reported(&program, &reference(&late), &reasons::ATTEMPT_EXPIRED_TRANSFER).await;
    replayed(&program, &reference(&late), Replayed::Gone);
}

#[tokio::test]
async fn a_nonce_is_somebody_else_s_or_nobody_s() {
    let app = TestApp::start().await;
    let program = app.program();
    let (phone, thief) = (Native::new(&app), Native::new(&app));
    let begun = phone.begin("sign_ups", "oauth_google").await.expect(200);
    let flow = reference(&begun);
    thief.begin("sign_ins", "oauth_google").await.expect(200);
    let back = come_back(&app, provider_url(&begun), ADA).await;
    let nonce = parameter(&back, "rotating_token_nonce");
    thief.get(&format!("/v1/client?rotating_token_nonce={nonce}")).await.expect(200);
    let shown = app.reported(&program, &flow, &reasons::ATTEMPT_OTHER_CLIENT_NONCE).await;
    assert!(!shown.to_string().contains(&nonce), "{shown}");
    let stray = thief.get("/v1/client?rotating_token_nonce=made-up").await.expect(200);
    app.reported(&program, &reference(&stray), &reasons::ATTEMPT_OTHER_CLIENT_NONCE).await;
    // Nothing is lost by it.
    let path = format!("/v1/client/sign_ups/{}", begun.json()["response"]["id"].as_str().unwrap());
    let done = phone.get(&format!("{path}?rotating_token_nonce={nonce}")).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(app.flow(&flow).await["status"], "succeeded");
}

#[tokio::test]
async fn native_applications_are_switched_off() {
    let app = TestApp::start().await;
    let program = app.program();
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"native_api": false}"#)
        .await;
    app.app().forget_directory();
    let refused = Native::new(&app).begin("sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "native_api_disabled");
    app.reported(&program, &reference(&refused), &reasons::NATIVE_REFUSED_OFF).await;
    replayed(&program, &reference(&refused), Replayed::Unknown);
}

/// The flow goes on, with the fallback.
#[tokio::test]
async fn a_page_drops_a_foreign_target() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let page = open(&browser, &app.url("/sign-in?redirect_url=https%3A%2F%2Fevil.example%2Fx")).await;
    // Whoever comes with such an address may press the button at once.
    let mut form = Form::with_a(&page, "oauth_google");
    form.action = page.url.to_string();
    let gone = form.press(&browser, "strategy", "oauth_google").await.expect(303);
    let shown = app.flow(&reference(&gone)).await;
    reasons::REDIRECT_UNLISTED_PORTAL.is_step_of(&shown);
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("open"), &Value::Null), "{shown}");
    assert!(!shown.to_string().contains("evil.example"), "{shown}");
}

#[tokio::test]
async fn the_account_was_taken_meanwhile() {
    let app = TestApp::start().await;
    let program = app.program();
    app.person("ada").await;
    let (first, second) = (app.browser(), app.browser());
    let stale = arrive(&app, &first, "sign_ins", "oauth_notion", ADA).await;
    let attempt = arrive(&app, &second, "sign_ins", "oauth_notion", ADA).await;
    prove(&app, &second, &attempt, ADA).await.expect(200);
    app.advance(Duration::from_secs(31)).await;
    let late = prove(&app, &first, &stale, ADA).await.expect(400);
    assert_eq!(late.error_code(), "identification_claimed");
    app.reported(&program, &reference(&late), &reasons::ACCOUNT_IN_USE_MEANWHILE).await;
}

#[tokio::test]
async fn a_subaddress_may_not_sign_up() {
    let app = TestApp::start().await;
    let program = app.program();
    let block = "update provider_configs set block_email_subaddresses = true where instance_id = $1 and provider = $2";
    app.execute(block, "google").await;
    sign_up(&app, &app.browser(), "oauth_google", "grace+first@navy.mil").await;
    let back = go(&app, &app.browser(), "sign_ups", "oauth_google", "grace@navy.mil").await.expect(303);
    app.reported(&program, &reference(&back), &reasons::ADDRESS_REFUSED_SUBADDRESS).await;
    replayed(&program, &reference(&back), Replayed::Refused("address_refused"));
}

#[tokio::test]
async fn the_user_is_locked_after_ten_failures_or_gone() {
    let app = TestApp::start().await;
    let program = app.program();
    let ada = app.person("ada").await;
    let browser = app.browser();
    let (flow, attempt) = by_code(&app, &browser).await;
    let code = code_for(&app, ADA).await;
    app.execute(
        "update users set failed_attempts = 10, locked_at = now(), locked_until = now() + interval '1 h',
             lock_reason = 'attempts' where instance_id = $1 and id = $2",
        &ada.user_id,
    )
    .await;
    assert_eq!(guess(&app, &browser, &attempt, &code).await.expect(403).error_code(), "user_locked");
    app.reported(&program, &flow, &reasons::USER_LOCKED_FAILURES).await;
    replayed(&program, &flow, Replayed::Unknown);
    let unlock = "update users set failed_attempts = 0, locked_at = null, locked_until = null, lock_reason = null
        where instance_id = $1 and id = $2";
    app.execute(unlock, &ada.user_id).await;

    let browser = app.browser();
    let (flow, attempt) = by_code(&app, &browser).await;
    let code = code_for(&app, ADA).await;
    app.execute("delete from users where instance_id = $1 and id = $2", &ada.user_id).await;
    let gone = guess(&app, &browser, &attempt, &code).await.expect(400);
    assert_eq!(gone.error_code(), "sign_in_identification_or_user_deleted");
    app.reported(&program, &flow, &reasons::USER_BANNED_DELETED).await;
    // The maintained total goes with the user.
    app.execute("update counters set value = value - 1 where instance_id = $1 and name = $2 and value > 0", "users")
        .await;
}

#[tokio::test]
async fn somebody_asks_too_often() {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        config.limits.rates.create_attempt = Rate { count: 2, window: Duration::from_secs(600) };
    })
    .await;
    let program = app.program();
    let browser = app.browser();
    for _ in 0..2 {
        begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    }
    let refused = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(429);
    assert!(refused.header("retry-after").is_some());
    app.reported(&program, &reference(&refused), &reasons::RATE_LIMITED_REQUESTS).await;
    replayed(&program, &reference(&refused), Replayed::Unknown);
}

/// A log line or an API's answer names the request only; its flow is found by it.
#[tokio::test]
async fn a_request_s_reference_leads_to_its_flow() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let refused = begin(&app, &browser, "sign_ins", "oauth_nope").await.expect(400);
    let (flow, request) = (reference(&refused), refused.json()["clerk_trace_id"].as_str().unwrap().to_owned());
    assert!(request.starts_with("req_"), "{request}");
    assert_eq!(app.flow(&request).await["id"], flow);
    let list = browser.get(app.url(&format!("/_dev/flows.json?id={request}"))).await.expect(200).json();
    assert_eq!((list["flows"].as_array().unwrap().len(), &list["flows"][0]["id"]), (1, &json!(flow)));
    let shown = program.run(&["flow", "show", &request, "--json"]).expect(0).json();
    assert_eq!((&shown["id"], &shown["steps"][0]["request_id"]), (&json!(flow), &json!(request)));
    let replayed = program.run(&["flow", "replay", &request, "--json"]).expect(0).json();
    assert_eq!((&replayed["id"], &replayed["cause"]), (&json!(flow), &json!("stands")));
    let elsewhere = browser.get(app.url("/v1/client")).await.expect(200);
    assert!(elsewhere.header("x-vestibule-flow").is_none());
    for nothing in ["req_2O4BCh3zUONvWlZHtBXv6s6tm7u", "x"] {
        browser.get(app.url(&format!("/_dev/flows/{nothing}"))).await.expect(404);
        let none = browser.get(app.url(&format!("/_dev/flows.json?id={nothing}"))).await.expect(200).json();
        assert_eq!(none["flows"], json!([]), "{nothing}");
    }
}

/// No script is needed for it, and none is started that the page's policy would stop.
#[tokio::test]
async fn the_list_renews_itself_where_it_is_asked_to() {
    let app = TestApp::start().await;
    let browser = app.browser();
    begin(&app, &browser, "sign_ins", "oauth_nope").await.expect(400);
    let still = as_page(&browser, &app.url("/_dev/flows?outcome=failed")).await.expect(200).text;
    assert!(!still.contains("http-equiv=\"refresh\""), "{still}");
    assert!(still.contains("href=\"/_dev/flows?outcome=failed&#38;live=1\""), "{still}");
    let live = as_page(&browser, &app.url("/_dev/flows?outcome=failed&live=1")).await.expect(200).text;
    assert!(live.contains("<meta http-equiv=\"refresh\" content=\"5\">"), "{live}");
    assert!(live.contains("id=\"still\" href=\"/_dev/flows?outcome=failed\"") && live.contains("flw_"), "{live}");
}
