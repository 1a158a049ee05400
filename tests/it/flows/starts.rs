//! Starts that are refused.

use super::{Replayed, reasons, reference, replayed, steps};
use crate::support::TestApp;
use crate::support::person::{APP, begin, sign_up};

#[tokio::test]
async fn a_provider_that_may_not_be_used() {
    let app = TestApp::start().await;
    let program = app.program();
    let change = async |statement: &'static str| {
        sqlx::query(statement).execute(&app.app().db).await.unwrap();
    };
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_nope").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_unsupported_provider");
    assert!(refused.json()["errors"][0]["meta"].as_object().unwrap().is_empty(), "no reason in an API's answer");
    let reported = reasons::PROVIDER_UNAVAILABLE_UNKNOWN;
    let flow = app.reported(&program, &reference(&refused), &reported).await;
    assert_eq!(steps(&flow), ["started", "refused"]);
    replayed(&program, &reference(&refused), Replayed::Stands);
    assert_eq!((&flow["kind"], &flow["steps"][0]["detail"]["strategy"]), (&"sign_in".into(), &"oauth_nope".into()));

    change("update provider_configs set enabled = false where provider = 'google'").await;
    let refused = begin(&app, &app.browser(), "sign_ups", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_provider_not_enabled");
    let reported = reasons::PROVIDER_UNAVAILABLE_DISABLED;
    let flow = app.reported(&program, &reference(&refused), &reported).await;
    assert!(flow["hint"].as_str().unwrap().contains("vestibule provider"), "{flow}");
    assert_eq!((&flow["kind"], &flow["again"]), (&"sign_up".into(), &"no: app".into()));
    let disabled = reference(&refused);
    replayed(&program, &disabled, Replayed::Stands);

    change("update provider_configs set enabled = true, authenticatable = false where provider = 'google'").await;
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_non_authenticatable_provider");
    let connect_only = reference(&refused);
    let reported = reasons::PROVIDER_UNAVAILABLE_CONNECT_ONLY;
    app.reported(&program, &connect_only, &reported).await;
    replayed(&program, &connect_only, Replayed::Stands);

    change(
        "update provider_configs set authenticatable = true, credentials = 'custom', client_id = null
         where provider = 'google'",
    )
    .await;
    let refused = begin(&app, &app.browser(), "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "oauth_config_missing");
    let reported = reasons::CREDENTIALS_UNUSABLE_MISSING;
    let flow = app.reported(&program, &reference(&refused), &reported).await;
    assert!(flow["hint"].as_str().unwrap().contains(&app.url("/v1/oauth_callback")), "{flow}");
    let missing = reference(&refused);
    replayed(&program, &missing, Replayed::Stands);
    change("update provider_configs set credentials = 'simulated' where provider = 'google'").await;
    for mended in [&missing, &disabled, &connect_only] {
        replayed(&program, mended, Replayed::Gone);
    }
}

#[tokio::test]
async fn a_target_that_may_not_be_used() {
    let app = TestApp::start().await;
    let program = app.program();
    let long = format!("{APP}/{}", "a".repeat(2100));
    let cases = [
        (None, 422, "form_param_missing", reasons::REDIRECT_INVALID_MISSING),
        (Some("https://[broken"), 422, "invalid_redirect_url", reasons::REDIRECT_INVALID_UNPARSEABLE),
        (Some("javascript:alert(1)"), 422, "prohibited_redirect_url", reasons::REDIRECT_INVALID_SCHEME),
        (Some(long.as_str()), 422, "redirect_url_too_long", reasons::REDIRECT_INVALID_LONG),
        (
            Some("https://evil.example/cb?token=c4n4ry"),
            422,
            "redirect_url_domain_mismatch",
            reasons::REDIRECT_UNLISTED_API,
        ),
    ];
    for (target, status, code, reported) in cases {
        let mut form = vec![("strategy", "oauth_google")];
        form.extend(target.map(|target| ("redirect_url", target)));
        let refused = app.browser().post_form(app.url("/v1/client/sign_ins"), APP, &form).await.expect(status);
        assert_eq!(refused.error_code(), code);
        let flow = app.reported(&program, &reference(&refused), &reported).await;
        assert!(!flow.to_string().contains("c4n4ry"), "{flow}");
        replayed(&program, &reference(&refused), Replayed::Stands);
        if reported.reason == "redirect_unlisted" {
            let list = "insert into instance_origins (instance_id, origin, kind, created_at) values ($1, $2, 'allowed', now())";
            app.execute(list, "https://evil.example").await;
            replayed(&program, &reference(&refused), Replayed::Gone);
        }
    }
    let browser = app.browser();
    let request = browser.request(http::Method::POST, &app.url("/v1/client/sign_ins"));
    let form = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];
    let refused = browser.send(request.header("sec-fetch-site", "same-origin").form(&form)).await.expect(422);
    let reported = reasons::REDIRECT_INVALID_RELATIVE;
    app.reported(&program, &reference(&refused), &reported).await;
}

#[tokio::test]
async fn somebody_is_signed_in_already() {
    let app = TestApp::start().await;
    let program = app.program();
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let refused = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(400);
    assert_eq!(refused.error_code(), "session_exists");
    let reported = reasons::ALREADY_SIGNED_IN_START;
    app.reported(&program, &reference(&refused), &reported).await;
    replayed(&program, &reference(&refused), Replayed::Stands);
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    replayed(&program, &reference(&refused), Replayed::Gone);
}

/// A request that is refused for what it is, not for what it wants, is no flow.
#[tokio::test]
async fn a_malformed_request_begins_no_flow() {
    let app = TestApp::start().await;
    let form = [("strategy", "oauth_google"), ("redirect_url", "/x"), ("oidc_prompt", "nonsense")];
    let refused = app.browser().post_form(app.url("/v1/client/sign_ins"), APP, &form).await.expect(422);
    assert!(refused.header("x-vestibule-flow").is_none());
    let list = app.browser().get(app.url("/_dev/flows.json")).await.expect(200).json();
    assert_eq!(list["flows"].as_array().unwrap().len(), 0, "{list}");
}
