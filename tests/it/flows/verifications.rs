//! Codes, links and passwords: what stood in the way of each.

use std::time::Duration;

use serde_json::Value;

use super::{Replayed, as_page, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::verification::{code_for, form, newest};

const ADA: &str = "ada@example.com";

async fn settings(app: &TestApp, change: &str) {
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
}

/// Begins for Ada; returns the flow and the attempt's path.
async fn begin(app: &TestApp, browser: &Browser, fields: &[(&str, &str)]) -> (String, String) {
    let fields: Vec<(&str, &str)> = [("identifier", ADA)].into_iter().chain(fields.iter().copied()).collect();
    let begun = form(app, browser, "/v1/client/sign_ins", &fields).await.expect(200);
    (reference(&begun), format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap()))
}

async fn guess(app: &TestApp, browser: &Browser, attempt: &str, code: &str) -> Answer {
    let fields = [("strategy", "email_code"), ("code", code)];
    form(app, browser, &format!("{attempt}/attempt_first_factor"), &fields).await
}

/// A code that the right one is not.
async fn wrong_code(app: &TestApp) -> &'static str {
    if code_for(app, ADA).await == "000000" { "000001" } else { "000000" }
}

#[tokio::test]
async fn a_code_is_wrong_and_then_dead_and_the_next_one_is_right() {
    let app = TestApp::start().await;
    let program = app.program();
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let (flow, attempt) = begin(&app, &browser, &[("strategy", "email_code")]).await;
    let wrong = wrong_code(&app).await;
    let refused = guess(&app, &browser, &attempt, wrong).await.expect(422);
    assert_eq!((reference(&refused), refused.error_code()), (flow.clone(), "form_code_incorrect".to_owned()));
    app.reported(&program, &flow, &reasons::CREDENTIALS_WRONG_CODE).await;
    replayed(&program, &flow, Replayed::Unknown);
    for _ in 0..4 {
        guess(&app, &browser, &attempt, wrong).await.expect(422);
    }
    assert_eq!(guess(&app, &browser, &attempt, wrong).await.expect(400).error_code(), "verification_failed");
    app.reported(&program, &flow, &reasons::PROOF_DEAD_TRIES).await;
    replayed(&program, &flow, Replayed::Gone);

    let fields = [("strategy", "email_code")];
    form(&app, &browser, &format!("{attempt}/prepare_first_factor"), &fields).await.expect(200);
    let code = code_for(&app, ADA).await;
    guess(&app, &browser, &attempt, &code).await.expect(200);
    let shown = app.flow(&flow).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&"succeeded".into(), &Value::Null), "{shown}");
    assert_eq!((&shown["kind"], &shown["user_id"]), (&"sign_in".into(), &ada.user_id.as_str().into()));
    let names = steps(&shown);
    assert_eq!(names[..3], ["started", "proof_sent", "refused"]);
    assert_eq!(names[names.len() - 3..], ["proof_sent", "proof_checked", "session"]);
    assert_eq!(shown["steps"][1]["detail"]["to"], "a****@example.com");
    assert!(!shown.to_string().contains(&code) && !shown.to_string().contains(ADA), "{shown}");
}

#[tokio::test]
async fn a_code_is_too_old_or_was_never_sent() {
    let app = TestApp::start().await;
    let program = app.program();
    app.person("ada").await;
    let browser = app.browser();
    let (flow, attempt) = begin(&app, &browser, &[]).await;
    assert_eq!(guess(&app, &browser, &attempt, "123456").await.expect(400).error_code(), "verification_missing");
    app.reported(&program, &flow, &reasons::PROOF_DEAD_NONE).await;
    replayed(&program, &flow, Replayed::Gone);

    let browser = app.browser();
    let (flow, attempt) = begin(&app, &browser, &[("strategy", "email_code")]).await;
    let code = code_for(&app, ADA).await;
    app.advance(Duration::from_secs(11 * 60)).await;
    assert_eq!(guess(&app, &browser, &attempt, &code).await.expect(400).error_code(), "verification_expired");
    app.reported(&program, &flow, &reasons::PROOF_DEAD_EXPIRED).await;
    replayed(&program, &flow, Replayed::Gone);
}

#[tokio::test]
async fn codes_are_asked_for_too_often() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let program = app.program();
    app.person("ada").await;
    let browser = app.browser();
    let (flow, attempt) = begin(&app, &browser, &[("strategy", "email_code")]).await;
    let again = form(&app, &browser, &format!("{attempt}/prepare_first_factor"), &[("strategy", "email_code")]).await;
    assert_eq!(again.expect(429).error_code(), "verification_code_too_many_requests");
    app.reported(&program, &flow, &reasons::RATE_LIMITED_CODES).await;
    replayed(&program, &flow, Replayed::Unknown);
}

#[tokio::test]
async fn an_identifier_or_a_password_is_wrong() {
    let app = TestApp::start().await;
    let program = app.program();
    settings(&app, r#"{"attributes": {"password": {"enabled": true}}}"#).await;
    let browser = app.browser();
    let refused =
        form(&app, &browser, "/v1/client/sign_ins", &[("identifier", "nobody@example.com")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_identifier_not_found");
    let flow = app.reported(&program, &reference(&refused), &reasons::CREDENTIALS_WRONG_IDENTIFIER).await;
    assert!(!flow.to_string().contains("nobody"), "{flow}");
    replayed(&program, &reference(&refused), Replayed::Unknown);

    sign_up_with_password(&app).await;
    let fields = [("strategy", "password"), ("identifier", ADA), ("password", "not-the-c4n4ry")];
    let refused = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(422);
    assert_eq!(refused.error_code(), "form_password_incorrect");
    let flow = app.reported(&program, &reference(&refused), &reasons::CREDENTIALS_WRONG_PASSWORD).await;
    assert!(!flow.to_string().contains("c4n4ry"), "{flow}");
    replayed(&program, &reference(&refused), Replayed::Unknown);
}

/// Ada signs up with an identifier, with a password.
async fn sign_up_with_password(app: &TestApp) {
    let browser = app.browser();
    let fields = [("email_address", ADA), ("password", "blauwale fliegen nie")];
    let begun = form(app, &browser, "/v1/client/sign_ups", &fields).await.expect(200);
    let path = format!("/v1/client/sign_ups/{}", begun.json()["response"]["id"].as_str().unwrap());
    form(app, &browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(app, ADA).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    form(app, &browser, &format!("{path}/attempt_verification"), &fields).await.expect(200);
}

/// An app that sends links, with Ada.
async fn with_links() -> TestApp {
    let app = TestApp::start().await;
    settings(&app, r#"{"email": {"link": true}, "attributes": {}}"#).await;
    app.person("ada").await;
    app
}

const BY_LINK: [(&str, &str); 2] = [("strategy", "email_link"), ("redirect_url", "/arrived")];

async fn link(app: &TestApp) -> String {
    newest(app, ADA).await["link"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_link_is_opened_elsewhere_and_then_where_it_belongs() {
    let app = with_links().await;
    let program = app.program();
    let (browser, other) = (app.browser(), app.browser());
    let (flow, _) = begin(&app, &browser, &BY_LINK).await;
    let link = link(&app).await;
    // The other browser is in the middle of a flow of its own, which this is not.
    let (own, _) = begin(&app, &other, &[]).await;
    let arrived = as_page(&other, &link).await.expect(303);
    assert!(arrived.location().as_str().contains("client_mismatch"));
    assert_eq!(reference(&arrived), flow);
    app.reported(&program, &flow, &reasons::PROOF_DEAD_OTHER_BROWSER).await;
    replayed(&program, &flow, Replayed::Gone);
    assert_eq!(steps(&app.flow(&own).await), ["started"]);
    let refused = other.get(&link).await.expect(403);
    assert_eq!(reference(&refused), flow);
    as_page(&browser, &link).await.expect(303);
    let shown = app.flow(&flow).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&"succeeded".into(), &Value::Null), "{shown}");
    assert!(steps(&shown).contains(&"proof_checked") && !shown.to_string().contains("token="), "{shown}");
}

#[tokio::test]
async fn a_link_is_stale_or_too_old() {
    let app = with_links().await;
    let program = app.program();
    let browser = app.browser();
    let (flow, attempt) = begin(&app, &browser, &BY_LINK).await;
    let first = link(&app).await;
    form(&app, &browser, &format!("{attempt}/prepare_first_factor"), &BY_LINK).await.expect(200);
    let second = link(&app).await;
    assert_eq!(reference(&as_page(&browser, &first).await.expect(400)), flow);
    app.reported(&program, &flow, &reasons::PROOF_DEAD_STALE).await;
    replayed(&program, &flow, Replayed::Gone);
    app.advance(Duration::from_secs(601)).await;
    assert!(as_page(&browser, &second).await.expect(303).location().as_str().contains("expired"));
    app.reported(&program, &flow, &reasons::PROOF_DEAD_EXPIRED).await;
    replayed(&program, &flow, Replayed::Gone);
}

#[tokio::test]
async fn a_sign_up_with_identifier_is_logged_from_start_to_session() {
    let app = TestApp::start().await;
    let program = app.program();
    settings(&app, r#"{"attributes": {}}"#).await;
    let browser = app.browser();
    let begun = form(&app, &browser, "/v1/client/sign_ups", &[("email_address", ADA)]).await.expect(200);
    let flow = reference(&begun);
    let path = format!("/v1/client/sign_ups/{}", begun.json()["response"]["id"].as_str().unwrap());
    form(&app, &browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let wrong = wrong_code(&app).await;
    let attempt = format!("{path}/attempt_verification");
    form(&app, &browser, &attempt, &[("strategy", "email_code"), ("code", wrong)]).await.expect(422);
    app.reported(&program, &flow, &reasons::CREDENTIALS_WRONG_CODE).await;
    let code = code_for(&app, ADA).await;
    form(&app, &browser, &attempt, &[("strategy", "email_code"), ("code", &code)]).await.expect(200);
    let shown = app.flow(&flow).await;
    assert_eq!((&shown["status"], &shown["kind"]), (&"succeeded".into(), &"sign_up".into()), "{shown}");
    let names = steps(&shown);
    assert_eq!((names[0], names[names.len() - 1]), ("started", "session"), "{names:?}");
}

/// The sign-up that takes a stranger's verified address over goes on in the same flow.
#[tokio::test]
async fn a_stranger_who_may_sign_up_stays_in_one_flow() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    let fields = [("identifier", ADA), ("strategy", "email_code"), ("sign_up_if_missing", "true")];
    let begun = form(&app, &browser, "/v1/client/sign_ins", &fields).await.expect(200);
    let attempt = format!("/v1/client/sign_ins/{}", begun.json()["response"]["id"].as_str().unwrap());
    let code = code_for(&app, ADA).await;
    guess(&app, &browser, &attempt, &code).await.expect(404);
    app.reported(&program, &reference(&begun), &reasons::TRANSFER_SIGN_UP).await;
    let moved = crate::support::person::transfer(&app, &browser, "sign_ups").await.expect(200);
    assert_eq!(reference(&moved), reference(&begun));
    assert_eq!(app.flow(&reference(&begun)).await["status"], "succeeded");
}
