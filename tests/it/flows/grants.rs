//! The token endpoint: why there are no tokens, reported where the grant came from, or in a flow of its own.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Replayed, Reported, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::browser::{Answer, Browser, send};
use crate::support::oauth::{CHALLENGE, OAuthClient, VERIFIER, member, parameters};

const PKCE: [(&str, &str); 2] = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];

/// A client that asks nobody, and Ada, signed in.
async fn setting(app: &TestApp) -> (OAuthClient, Browser) {
    let client = app.application(json!({ "consent_screen_enabled": false })).await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    app.sign_in(&browser, &ada).await;
    (client, browser)
}

/// A code, and the flow that it belongs to.
async fn code(app: &TestApp, browser: &Browser, client: &OAuthClient, change: &[(&str, &str)]) -> (String, String) {
    let answer = browser.get(app.authorize_url(client, change)).await.expect(302);
    (parameters(&answer.location())["code"].clone(), reference(&answer))
}

/// The last step of a flow.
fn last(flow: &Value) -> &Value {
    flow["steps"].as_array().unwrap().last().unwrap()
}

#[tokio::test]
async fn a_code_fails_where_it_came_from() {
    let app = TestApp::start().await;
    let program = app.program();
    let (client, browser) = setting(&app).await;
    type Changes<'a> = &'a [(&'a str, &'a str)];
    let rows: [(Changes<'_>, Changes<'_>, Reported, Replayed); 6] = [
        (&PKCE, &[("code_verifier", &VERIFIER.replace('d', "e"))], reasons::PKCE_FAILED_WRONG, Replayed::Unknown),
        (&PKCE, &[], reasons::PKCE_FAILED_ABSENT, Replayed::Unknown),
        (&[], &[("code_verifier", VERIFIER)], reasons::PKCE_FAILED_UNEXPECTED, Replayed::Unknown),
        (
            &[],
            &[("redirect_uri", "https://client.example/other")],
            reasons::GRANT_MISMATCH_REDIRECT_URI,
            Replayed::Unknown,
        ),
        (&[], &[("redirect_uri", "")], reasons::GRANT_MISMATCH_REDIRECT_URI, Replayed::Unknown),
        (&[], &[("resource", "https://api.example")], reasons::CLIENT_REQUEST_INVALID_INVALID_TARGET, Replayed::Stands),
    ];
    for (asked, sent, reported, replay) in rows {
        let (code, flow) = code(&app, &browser, &client, asked).await;
        let refused = app.redeem(&client, &code, sent).await.expect(400);
        assert_eq!(reference(&refused), flow, "{} {}", reported.reason, reported.detail);
        let shown = app.reported(&program, &flow, &reported).await;
        assert_eq!(steps(&shown), ["started", "validated", "code_issued", "code_failed"]);
        assert_eq!(last(&shown)["detail"]["client_id"], client.id, "{shown}");
        assert!(!shown.to_string().contains(&code), "{shown}");
        replayed(&program, &flow, replay);
        // The right request succeeds, and the flow with it.
        let right: Changes<'_> = if asked.is_empty() { &[] } else { &[("code_verifier", VERIFIER)] };
        app.redeem(&client, &code, right).await.expect(200);
        let shown = app.flow(&flow).await;
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("succeeded"), &Value::Null), "{shown}");
    }
}

#[tokio::test]
async fn a_code_is_used_twice_or_too_late_or_its_user_is_gone() {
    let app = TestApp::start().await;
    let program = app.program();
    let (client, browser) = setting(&app).await;
    let (used, flow) = code(&app, &browser, &client, &[]).await;
    app.redeem(&client, &used, &[]).await.expect(200);
    assert_eq!(reference(&app.redeem(&client, &used, &[]).await.expect(400)), flow);
    let shown = app.reported(&program, &flow, &reasons::GRANT_REUSED_CODE).await;
    assert_eq!(last(&shown)["name"], "code_failed", "the tokens have ended with it");
    replayed(&program, &flow, Replayed::Gone);

    let (banned, flow) = code(&app, &browser, &client, &[]).await;
    app.execute("update users set banned_at = now() where instance_id = $1 and $2 = ''", "").await;
    assert_eq!(reference(&app.redeem(&client, &banned, &[]).await.expect(400)), flow);
    app.reported(&program, &flow, &reasons::GRANT_ENDED_USER).await;
    app.execute("update users set banned_at = null where instance_id = $1 and $2 = ''", "").await;

    let (late, flow) = code(&app, &browser, &client, &[]).await;
    app.advance(Duration::from_secs(3600)).await;
    assert_eq!(reference(&app.redeem(&client, &late, &[]).await.expect(400)), flow);
    app.reported(&program, &flow, &reasons::GRANT_ENDED_CODE).await;
    replayed(&program, &flow, Replayed::Gone);
}

#[tokio::test]
async fn a_stranger_writes_nothing_into_the_flow_of_a_code() {
    let app = TestApp::start().await;
    let program = app.program();
    let (client, browser) = setting(&app).await;
    let other = app.application(json!({})).await;
    let (code, flow) = code(&app, &browser, &client, &[]).await;
    let own = |answer: &Answer| {
        let own = reference(answer);
        assert_ne!(own, flow);
        own
    };
    let refused = own(&app.redeem(&other, &code, &[]).await.expect(400));
    let shown = app.reported(&program, &refused, &reasons::GRANT_MISMATCH_CLIENT).await;
    assert_eq!((&shown["kind"], steps(&shown)), (&json!("token"), vec!["code_failed"]));
    replayed(&program, &refused, Replayed::Unknown);

    let wrong = OAuthClient { secret: Some("wrong".to_owned()), ..client.clone() };
    let refused = own(&app.redeem(&wrong, &code, &[]).await.expect(401));
    let shown = app.reported(&program, &refused, &reasons::CLIENT_AUTH_FAILED).await;
    assert_eq!(last(&shown)["detail"]["client_id"], client.id);
    assert!(!shown.to_string().contains("wrong"), "neither of the two is named: {shown}");
    replayed(&program, &refused, Replayed::Unknown);
    assert_eq!(steps(&app.flow(&flow).await), ["started", "validated", "code_issued"]);
    app.redeem(&client, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_is_used_twice_or_unknown_or_somebody_else_s() {
    let app = TestApp::start().await;
    let program = app.program();
    let (client, browser) = setting(&app).await;
    let (code, flow) = code(&app, &browser, &client, &[]).await;
    let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
    let first = member(&tokens, "refresh_token");
    let other = app.application(json!({})).await;
    let refused = reference(&app.refresh(&other, first).await.expect(400));
    let shown = app.reported(&program, &refused, &reasons::GRANT_MISMATCH_CLIENT).await;
    assert_eq!(steps(&shown), ["refresh_failed"]);
    let unknown = reference(&app.refresh(&client, "ort_unknown").await.expect(400));
    app.reported(&program, &unknown, &reasons::GRANT_ENDED_REFRESH).await;
    assert_ne!(unknown, flow);

    let wider = [("grant_type", "refresh_token"), ("refresh_token", first), ("scope", "openid public_metadata")];
    assert_eq!(reference(&app.token(&client, &wider).await.expect(400)), flow);
    let reported_scope = reasons::CLIENT_REQUEST_INVALID_INVALID_SCOPE;
    app.reported(&program, &flow, &reported_scope).await;
    assert_eq!(reference(&app.refresh(&client, first).await.expect(200)), flow);
    assert_eq!(reference(&app.refresh(&client, first).await.expect(200)), flow, "its answer may have been lost");
    assert_eq!(last(&app.flow(&flow).await)["detail"]["repetition"], true);
    app.advance(Duration::from_secs(60)).await;
    assert_eq!(reference(&app.refresh(&client, first).await.expect(400)), flow);
    let shown = app.reported(&program, &flow, &reasons::GRANT_REUSED_REFRESH).await;
    assert_eq!(last(&shown)["name"], "reuse_detected");
    assert!(!shown.to_string().contains(first), "{shown}");
    replayed(&program, &flow, Replayed::Gone);
}

#[tokio::test]
async fn a_grant_outlives_its_flow() {
    let app = TestApp::start().await;
    let (client, browser) = setting(&app).await;
    app.execute(
        "update instances set settings = jsonb_set(settings, '{oauth}', coalesce(settings -> 'oauth', '{}')
             || '{\"refresh_token_lifetime\": 2592000}') where id = $1 and $2 = ''",
        "",
    )
    .await;
    app.app().forget_directory();
    let (code, flow) = code(&app, &browser, &client, &[]).await;
    let tokens = app.redeem(&client, &code, &[]).await.expect(200).json();
    let before = steps(&app.flow(&flow).await).len();
    app.advance(Duration::from_secs(8 * 86_400)).await;
    let first = member(&tokens, "refresh_token");
    let refreshed = app.refresh(&client, first).await.expect(200);
    assert!(refreshed.header("x-vestibule-flow").is_none(), "{refreshed:?}");
    app.advance(Duration::from_secs(60)).await;
    let reused = reference(&app.refresh(&client, first).await.expect(400));
    assert_ne!(reused, flow);
    let shown = app.flow(&reused).await;
    assert_eq!((&shown["kind"], &shown["reason"]), (&json!("token"), &json!("grant_reused")), "{shown}");
    assert_eq!(steps(&app.flow(&flow).await).len(), before);
}

#[tokio::test]
async fn a_token_request_that_is_no_good_has_a_flow_of_its_own() {
    let app = TestApp::start().await;
    let program = app.program();
    let client = app.application(json!({})).await;
    let rows = [
        (vec![], reasons::CLIENT_REQUEST_INVALID_INVALID_REQUEST),
        (vec![("grant_type", "password")], reasons::CLIENT_REQUEST_INVALID_UNSUPPORTED_GRANT_TYPE),
    ];
    for (form, reported) in rows {
        let refused = reference(&app.token(&client, &form).await.expect(400));
        let shown = app.reported(&program, &refused, &reported).await;
        assert_eq!((&shown["kind"], steps(&shown)), (&json!("token"), vec!["refused"]));
        replayed(&program, &refused, Replayed::Stands);
    }
    let nobody = send(app.browser().raw(Method::POST, &app.url("/oauth/token")).form(&[("grant_type", "password")]));
    app.reported(&program, &reference(&nobody.await.expect(401)), &reasons::CLIENT_AUTH_FAILED).await;
    // Ten per minute and address are stored; the others are refused all the same.
    let mut stored = 3;
    for _ in 0..12 {
        let refused = app.token(&client, &[]).await.expect(400);
        stored += usize::from(refused.header("x-vestibule-flow").is_some());
    }
    assert_eq!(stored, 10);
}
