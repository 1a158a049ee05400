//! Forged forms, and what a form says when it is refused.

use super::visitor::{Form, open, state};
use crate::support::TestApp;
use std::time::Duration;

const START: (&str, &str) = ("strategy", "oauth_google");

#[tokio::test]
async fn only_a_page_of_ours_can_post_its_form() {
    let app = TestApp::start().await;
    let (browser, own) = (app.browser(), app.origin());
    let form = Form::on(&open(&browser, app.url("/sign-in")).await.expect(200));
    let port = app.ports()[0];
    let by_address = format!("http://127.0.0.1:{port}");
    let foreign: [&[(&str, &str)]; 8] = [
        &[],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://localhost:3000")],
        &[("origin", &by_address)],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
    ];
    for headers in foreign {
        let refused = form.post(&browser, headers, &[START]).await.expect(403);
        assert_eq!(state(&refused), ("error".to_owned(), "form-invalid".to_owned()), "{headers:?}");
        assert!(refused.text.contains(r#"id="reload""#) && refused.text.contains("req_"));
    }
    for headers in [&[("origin", own.as_str())][..], &[("sec-fetch-site", "same-origin")][..]] {
        form.post(&browser, headers, &[START]).await.expect(303);
    }
}

#[tokio::test]
async fn the_hidden_field_belongs_to_one_browser_one_form_and_two_hours() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let form = Form::on(&open(&browser, app.url("/sign-in")).await);
    let of_another = Form::on(&open(&app.browser(), app.url("/sign-in")).await);
    let of_sign_up = Form::on(&open(&browser, app.url("/sign-up")).await);
    for field in ["", "x", of_another.field("csrf"), of_sign_up.field("csrf")] {
        form.clone().with("csrf", field).press(&browser, START.0, START.1).await.expect(403);
    }
    // Without a client cookie there is nothing the field could belong to.
    form.press(&app.browser(), START.0, START.1).await.expect(403);
    app.advance(Duration::from_secs(3600)).await;
    form.press(&browser, START.0, START.1).await.expect(303);
    app.advance(Duration::from_secs(3600)).await;
    form.press(&browser, START.0, START.1).await.expect(403);
}

#[tokio::test]
async fn a_spent_budget_keeps_the_form() {
    let app = TestApp::with(1, |config| config.limits.relaxed = false).await;
    let browser = app.browser();
    let form = Form::on(&open(&browser, app.url("/sign-in?redirect_url=/user")).await);
    // Ten seconds after the first start the next five are free: a slow machine gets a few more than five.
    let mut starts = 0;
    let refused = loop {
        let answer = form.press(&browser, START.0, START.1).await;
        if answer.status != 303 {
            break answer.expect(429);
        }
        starts += 1;
        assert!(starts < 50, "no limit");
    };
    assert!(starts >= 5, "{starts}");
    assert_eq!(state(&refused), ("sign-in.start".to_owned(), "rate-limited".to_owned()));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=11).contains(&seconds) && refused.text.contains(&format!("wait {seconds} seconds")));
    assert_eq!(Form::on(&refused).action, form.action, "the form is still there");
}

#[tokio::test]
async fn a_body_that_is_no_form_is_reported_on_a_page() {
    let app = TestApp::start().await;
    let browser = app.browser();
    open(&browser, app.url("/sign-in")).await;
    let send = |kind: &'static str, body: String| {
        let request = browser.request(http::Method::POST, &app.url("/sign-in"));
        browser.send(request.header("accept", "text/html").header("content-type", kind).body(body))
    };
    let refused = send("text/plain", "strategy=oauth_google".to_owned()).await.expect(415);
    assert_eq!(state(&refused), ("error".to_owned(), "media-type".to_owned()));
    let refused = send("application/x-www-form-urlencoded", "x".repeat(64 * 1024 + 1)).await.expect(413);
    assert_eq!(state(&refused), ("error".to_owned(), "too-large".to_owned()));
}

#[tokio::test]
async fn a_provider_that_cannot_be_started_is_reported_on_the_same_page() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let form = Form::on(&open(&browser, app.url("/sign-in")).await);
    for strategy in ["oauth_nope", "", "password", "\"><script>alert(1)</script>"] {
        let refused = form.press(&browser, "strategy", strategy).await.expect(422);
        assert_eq!(state(&refused), ("sign-in.start".to_owned(), "error.provider".to_owned()), "{strategy}");
        assert!(refused.text.contains("role=\"alert\"") && !refused.text.contains("alert(1)"));
        assert!(refused.text.contains("<title>Error: Sign in"));
    }
}
