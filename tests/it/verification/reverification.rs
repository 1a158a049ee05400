//! Who is signed in verifies it once more.

use super::{code_for, form};
use crate::support::person::client;
use crate::support::{Answer, Browser, TestApp};
use serde_json::json;
use std::time::Duration;
use vestibule::actions::client as clients;
use vestibule::actions::session::reverify::require_recent_verification;
use vestibule::model::problem::Error;

async fn act(app: &TestApp, browser: &Browser, session: &str, verb: &str, fields: &[(&str, &str)]) -> Answer {
    form(app, browser, &format!("/v1/client/sessions/{session}/verify{verb}"), fields).await
}

/// What an action that wants a recent verification would answer.
async fn demanded(app: &TestApp, browser: &Browser) -> Option<(&'static str, Option<String>)> {
    use vestibule::crypto::Lookup;
    let ctx = app.ctx().await;
    let hash = ctx.app.ring.lookup_hash(Lookup::ClientToken, &browser.cookie("localhost", "__client").unwrap());
    let client = clients::read(&ctx, Some(&hash)).await.unwrap().unwrap();
    match require_recent_verification(&ctx, &client.sessions[0]).await {
        Ok(()) => None,
        Err(Error::Problem(problem)) => {
            let reason = problem.errors[0].meta.get("reason").map(|reason| reason.as_str().unwrap().to_owned());
            Some((problem.code().name, reason))
        }
        Err(fault) => panic!("{fault}"),
    }
}

#[tokio::test]
async fn code_reverifies_the_session() {
    let app = TestApp::start().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let session = app.sign_in(&browser, &ada).await;
    assert_eq!(demanded(&app, &browser).await, Some(("session_reverification_required", None)), "never verified: -1");
    let refused =
        act(&app, &browser, &session, "/prepare_first_factor", &[("strategy", "email_code")]).await.expect(400);
    assert_eq!(refused.error_code(), "session_reverification_missing");

    let begun = act(&app, &browser, &session, "", &[("level", "multi_factor")]).await.expect(200).json();
    let shown = &begun["response"];
    assert_eq!((&shown["object"], &shown["status"]), (&"session_reverification".into(), &"needs_first_factor".into()));
    assert_eq!(shown["level"], "first_factor", "nobody has a second factor");
    assert_eq!(shown["first_factor_verification"], json!(null));
    assert_eq!(shown["supported_first_factors"][0]["strategy"], "email_code");
    assert_eq!(begun["client"]["sessions"][0]["id"], session.as_str());

    let prepared =
        act(&app, &browser, &session, "/prepare_first_factor", &[("strategy", "email_code")]).await.expect(200);
    assert_eq!(prepared.json()["response"]["first_factor_verification"]["status"], "unverified");
    let code = code_for(&app, &ada.email).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let fields = |code: &str| [("strategy".to_owned(), "email_code".to_owned()), ("code".to_owned(), code.to_owned())];
    let refused = fields(wrong);
    let refused: Vec<(&str, &str)> = refused.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let refused = act(&app, &browser, &session, "/attempt_first_factor", &refused).await.expect(422);
    assert_eq!(refused.error_code(), "form_code_incorrect");
    assert!(demanded(&app, &browser).await.is_some());
    let right = fields(&code);
    let right: Vec<(&str, &str)> = right.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let done = act(&app, &browser, &session, "/attempt_first_factor", &right).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    assert_eq!(done["response"]["session"]["factor_verification_age"], json!([0, -1]));
    let token = form(&app, &browser, &format!("/v1/client/sessions/{session}/tokens"), &[]).await.expect(200).json();
    assert_eq!(claims(token["jwt"].as_str().unwrap())["fva"], json!([0, -1]));
    assert_eq!(demanded(&app, &browser).await, None);
    app.advance(Duration::from_secs(11 * 60)).await;
    assert!(demanded(&app, &browser).await.is_some(), "ten minutes are recent, eleven are not");
}

fn claims(jwt: &str) -> serde_json::Value {
    use base64::Engine;
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn session_is_reverified_only_by_its_own_browser() {
    let app = TestApp::start().await;
    let (browser, other, ada) = (app.browser(), app.browser(), app.person("ada").await);
    let session = app.sign_in(&browser, &ada).await;
    app.sign_in(&other, &ada).await;
    let refused = act(&app, &other, &session, "", &[("level", "first_factor")]).await.expect(404);
    assert_eq!(refused.error_code(), "resource_not_found");
    let refused = act(&app, &browser, &session, "", &[("level", "third_factor")]).await.expect(422);
    assert_eq!(refused.error_code(), "form_param_value_invalid");
    act(&app, &browser, &session, "", &[("level", "first_factor")]).await.expect(200);
    let fields = [("strategy", "email_code"), ("code", "123456")];
    let refused = act(&app, &browser, &session, "/attempt_first_factor", &fields).await.expect(400);
    assert_eq!(refused.error_code(), "verification_missing", "nothing was sent");
    assert_eq!(client(&app, &browser).await["sessions"][0]["factor_verification_age"], json!([-1, -1]));
}

#[tokio::test]
async fn user_without_factor_gets_an_error_that_says_so() {
    let app = TestApp::start().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    app.sign_in(&browser, &ada).await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"email": {"code": false}}"#)
        .await;
    app.app().forget_directory();
    let reported = demanded(&app, &browser).await;
    assert_eq!(reported, Some(("session_reverification_required", Some("no_factor".to_owned()))));
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"reverification": false}"#)
        .await;
    app.app().forget_directory();
    assert_eq!(demanded(&app, &browser).await, None, "the instance does not ask for it");
}
