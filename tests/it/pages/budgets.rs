//! Every form of our pages has a budget: posted often enough, it is refused, and says so on its own page.

use std::time::Duration;

use http::Method;
use vestibule::config::limits::Rate;
use vestibule::http::route::{Caller, Limit};
use vestibule::http::router;

use super::visitor::{Form, open, state};
use crate::support::person::{APP, begin, go, sign_up};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::code_for;

/// What may be posted as often as one likes, and why nobody gains by it.
const EXEMPT: &[(&str, &str)] = &[
    ("/user/sign-out", "ends one's own session, which is there once"),
    ("/user/connections/remove", "takes away one's own accounts, one after the other, after a recent verification"),
    ("/oauth-consent", "the decision of somebody who is signed in, about an application that asked them"),
];

/// The forms whose handlers spend the budget: path, field, and what is typed into it again and again.
const FORMS: &[(&str, &str, &str)] = &[
    ("/sign-in", "identifier", "nobody@example.com"),
    ("/sign-in/factor-one", "code", "x"),
    ("/sign-in/factor-one", "password", "drei ziegen im regen"),
    ("/sign-in/link", "code", "x"),
    ("/sign-in/reset-password", "identifier", "nobody@example.com"),
    ("/sign-in/reset-password", "code", "x"),
    ("/sign-in/reset-password", "new-password", "12345678"),
    ("/sign-up", "email_address", "x"),
    ("/sign-up/continue", "username", "a b"),
    ("/sign-up/verify-email-address", "code", "x"),
    ("/user/connections", "strategy", "oauth_notion"),
    ("/user/reverify", "code", "x"),
];

const BUDGET: u32 = 8;
const ADA: &str = "ada@example.com";
const PASSWORD: &str = "blauwale fliegen nie";

/// Budgets of an hour, so that no slow machine begins a second one.
async fn app(settings: &str) -> TestApp {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        let rate = Rate { count: BUDGET, window: Duration::from_secs(3600) };
        let rates = &mut config.limits.rates;
        (rates.create_attempt, rates.attempt_proof, rates.authorize) = (rate, rate, rate);
        rates.send_again = Rate { count: 10, window: Duration::from_secs(1) };
    })
    .await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", settings).await;
    app.app().forget_directory();
    app
}

async fn page(app: &TestApp, browser: &Browser, path: &str) -> Answer {
    open(browser, app.url(path)).await.expect(200)
}

/// Presses a button, and goes on to the next page.
async fn press(browser: &Browser, page: &Answer, (field, value): (&str, &str)) -> Answer {
    let form = Form::with_a(page, &format!("name=\"{field}\""));
    let form = if field == "email_address" { form.with("password", PASSWORD) } else { form };
    let answer = form.press(browser, field, value).await;
    if answer.status.is_redirection() { open(browser, answer.location()).await } else { answer }
}

/// Somebody with a password, who signed up on the portal.
async fn has_signed_up(app: &TestApp) {
    let browser = app.browser();
    let start = page(app, &browser, "/sign-up").await;
    let asked = press(&browser, &start, ("email_address", ADA)).await.expect(200);
    press(&browser, &asked, ("code", &code_for(app, ADA).await)).await.expect(200);
}

/// The page with the form, on the way to which a part of the budget is spent.
async fn on_the_way(app: &TestApp, browser: &Browser, path: &str, field: &str) -> Answer {
    match (path, field) {
        ("/sign-in" | "/sign-up", _) => page(app, browser, path).await,
        ("/sign-up/continue", _) => {
            go(app, browser, "sign_ups", "oauth_google", ADA).await.expect(303);
            page(app, browser, path).await
        }
        ("/sign-up/verify-email-address", _) => {
            let start = page(app, browser, "/sign-up").await;
            press(browser, &start, ("email_address", ADA)).await.expect(200)
        }
        ("/user/connections" | "/user/reverify", _) => {
            sign_up(app, browser, "oauth_google", ADA).await;
            if path == "/user/reverify" {
                app.advance(Duration::from_secs(11 * 60)).await;
            }
            page(app, browser, path).await
        }
        (_, "identifier") => {
            page(app, browser, "/sign-in").await;
            page(app, browser, path).await
        }
        ("/sign-in/reset-password", _) => {
            has_signed_up(app).await;
            page(app, browser, "/sign-in").await;
            let asked = press(browser, &page(app, browser, path).await, ("identifier", ADA)).await.expect(200);
            if field == "code" {
                return asked;
            }
            press(browser, &asked, ("code", &code_for(app, ADA).await)).await.expect(200)
        }
        _ => {
            if field == "password" {
                has_signed_up(app).await;
            } else {
                sign_up(app, &app.browser(), "oauth_google", ADA).await;
            }
            let start = page(app, browser, "/sign-in").await;
            press(browser, &start, ("identifier", ADA)).await.expect(200);
            page(app, browser, path).await
        }
    }
}

#[tokio::test]
async fn every_form_of_a_page_is_refused_at_last() {
    for (path, field, value) in FORMS {
        let settings = match *path {
            "/sign-up/continue" => r#"{"attributes": {"username": {"enabled": true, "required": true}}}"#,
            _ => r#"{"attributes": {"password": {"enabled": true}}}"#,
        };
        let app = app(settings).await;
        let browser = app.browser();
        let form = Form::on(&on_the_way(&app, &browser, path, field).await);
        assert!(form.action.starts_with(&app.url(path)), "{path}: {}", form.action);
        let mut posts = 0;
        let refused = loop {
            let answer = form.press(&browser, field, value).await;
            if answer.status == 429 {
                break answer;
            }
            posts += 1;
            assert!(answer.status.as_u16() < 500 && posts <= BUDGET, "{path} {field}: no limit: {}", answer.status);
        };
        assert!(posts > 0, "{path} {field}: the way there took everything");
        assert_eq!(state(&refused).1, "rate-limited", "{path} {field}");
        let wait = refused.header("retry-after").unwrap_or_else(|| panic!("{path} {field}: no Retry-After"));
        assert!(refused.text.contains(&format!("{wait} second")), "{path} {field}: the page names another time");
        assert_eq!(Form::on(&refused).action, form.action, "{path} {field}: the form is still there");
    }
}

/// A new page has its budget in its rules, or is walked above, or has a reason to have none.
#[tokio::test]
async fn no_page_forgets_its_budget() {
    let app = app("{}").await;
    let mut counted = 0;
    for route in router::routes() {
        if route.rules.caller != Caller::Page || route.method == Method::GET {
            continue;
        }
        let is_walked = FORMS.iter().any(|form| form.0 == route.path);
        let is_exempt = EXEMPT.iter().any(|exempt| exempt.0 == route.path);
        if route.rules.limit == Limit::Unlimited {
            assert!(is_walked != is_exempt, "{} has no budget", route.path);
            continue;
        }
        counted += 1;
        assert!(!is_walked && !is_exempt, "{}", route.path);
        let post = async || app.browser().post_form(app.url(route.path), &app.origin(), &[("a", "b")]).await;
        for _ in 0..BUDGET {
            post().await;
        }
        assert_eq!(post().await.status, 429, "{}", route.path);
    }
    assert!(counted >= 3, "{counted}");
    let known = router::routes().iter().map(|route| route.path).collect::<Vec<_>>();
    assert!(
        FORMS.iter().map(|form| form.0).chain(EXEMPT.iter().map(|exempt| exempt.0)).all(|path| known.contains(&path))
    );
}

/// An authorization at a provider inside an attempt costs what one costs that begins an attempt; what is mailed is
/// counted elsewhere.
#[tokio::test]
async fn authorizations_inside_an_attempt_are_counted() {
    for (kind, step) in [("sign_ins", "prepare_first_factor"), ("sign_ups", "prepare_verification")] {
        let app = app("{}").await;
        let browser = app.browser();
        let begun = match kind {
            "sign_ups" => begin(&app, &browser, kind, "oauth_google").await.expect(200).json(),
            _ => {
                sign_up(&app, &app.browser(), "oauth_google", ADA).await;
                let who = [("identifier", ADA)];
                browser.post_form(app.url("/v1/client/sign_ins"), APP, &who).await.expect(200).json()
            }
        };
        let path = app.url(&format!("/v1/client/{kind}/{}/{step}", begun["response"]["id"].as_str().unwrap()));
        let authorization = [("strategy", "oauth_google"), ("redirect_url", "/sso-callback")];
        let mut trips = 0;
        let refused = loop {
            let answer = browser.post_form(&path, APP, &authorization).await;
            if answer.status == 429 {
                break answer;
            }
            answer.expect(200);
            trips += 1;
            assert!(trips < BUDGET, "{kind}: no limit");
        };
        assert!(trips > 1 && refused.error_code() == "too_many_requests", "{kind}: {trips}");
        let mailed = browser.post_form(&path, APP, &[("strategy", "email_code")]).await;
        assert_ne!(mailed.status, 429, "{kind}");
    }
}
