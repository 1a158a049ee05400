//! Signing in, up and out on our own pages, without script, by way of a simulated provider.

use super::visitor::{Form, between, open, state};
use crate::support::TestApp;
use crate::support::{Answer, Browser};

/// A browser in which Ada is signed in.
pub async fn signed_in(app: &TestApp) -> Browser {
    let browser = app.browser();
    let back = sign_in_as(app, &browser, "/sign-in", "ada@example.com").await;
    assert_eq!(back.location().as_str(), app.url("/user"));
    browser
}

/// Presses "Continue with Google" at `path`, and there the button of a saved person; returns the answer to the callback.
pub async fn sign_in_as(app: &TestApp, browser: &Browser, path: &str, person: &str) -> Answer {
    let there = at_provider(app, browser, path).await;
    let back = Form::on(&there).press(browser, "person", person).await;
    assert!(back.status.is_redirection(), "{}", back.text);
    open(browser, back.location()).await.expect(303)
}

/// Presses "Continue with Google" at `path`; returns the provider's page.
async fn at_provider(app: &TestApp, browser: &Browser, path: &str) -> Answer {
    let page = open(browser, app.url(path)).await.expect(200);
    assert!(page.text.contains("Continue with Google"));
    let started = Form::on(&page).press(browser, "strategy", "oauth_google").await.expect(303);
    let mut there = open(browser, started.location()).await;
    while there.status.is_redirection() {
        there = open(browser, there.location()).await;
    }
    there.expect(200)
}

#[tokio::test]
async fn a_stranger_signs_in_sees_the_profile_and_signs_out() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let asked = open(&browser, app.url("/user")).await.expect(303).location();
    let path = format!("{}?{}", asked.path(), asked.query().unwrap());
    // Nobody has this account yet: the transfer to a sign-up happens on the server, and nobody sees it.
    let back = sign_in_as(&app, &browser, &path, "ada@example.com").await;
    assert_eq!(back.location().as_str(), app.url("/user"));

    let profile = open(&browser, app.url("/user")).await.expect(200);
    assert_eq!(state(&profile), ("user.profile".to_owned(), "profile".to_owned()));
    for words in ["ada@example.com", "Primary", "Verified", "Linked to Google", "Connected on"] {
        assert!(profile.text.contains(words), "{words}: {}", profile.text);
    }
    assert_eq!(open(&browser, app.url("/sign-in")).await.expect(303).location().as_str(), app.url("/user"));

    let before = browser.cookie("localhost", "__client");
    let out = Form::on(&profile).press(&browser, "x", "y").await.expect(303);
    assert_eq!(out.location().as_str(), app.url("/sign-in"));
    assert_ne!(browser.cookie("localhost", "__client"), before, "a copy of the old token is dead");
    assert_eq!(browser.cookie("localhost", "__client_uat").as_deref(), Some("0"));
    let page = open(&browser, app.url("/sign-in")).await.expect(200);
    assert_eq!(state(&page), ("sign-in.start".to_owned(), "notice".to_owned()));
    let again = open(&browser, app.url("/sign-in")).await.expect(200);
    assert_ne!(state(&again).1, "notice", "a notice is shown once");
    assert!(between(&again.text, "id=\"provider-google\"", "</button>").contains("Used last"));
    open(&browser, app.url("/user")).await.expect(303);
    // The form of the page that was open in another tab: already done.
    Form::on(&profile).press(&browser, "x", "y").await.expect(303);
}

#[tokio::test]
async fn a_known_person_who_signs_up_is_signed_in() {
    let app = TestApp::start().await;
    signed_in(&app).await;
    let elsewhere = app.browser();
    let path = "/sign-up?redirect_url=http%3A%2F%2Flocalhost%3A3000%2Fwelcome";
    let back = sign_in_as(&app, &elsewhere, path, "ada@example.com").await;
    assert_eq!(back.location().as_str(), "http://localhost:3000/welcome");
    open(&elsewhere, app.url("/user")).await.expect(200);
    let counted = app.backend_get("/v1/users/count").await;
    assert!(counted.status != 200 || counted.json()["total_count"] == 1, "{}", counted.text);
}

#[tokio::test]
async fn cancelling_is_reported_and_leads_back_with_the_target_stored() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let there = at_provider(&app, &browser, "/sign-in?redirect_url=/user%3Fa%3D1").await;
    let back = Form::on(&there).press(&browser, "deny", "1").await;
    let back = open(&browser, back.location()).await.expect(303);
    assert_eq!(back.location().path(), "/sign-in/sso-callback");
    let reported = open(&browser, back.location()).await.expect(200);
    assert_eq!(state(&reported), ("provider.error".to_owned(), "cancelled".to_owned()));
    assert!(reported.text.contains("<title>Error: ") && reported.text.contains("flw_"));
    let start = between(between(&reported.text, "id=\"try-again\"", "</a>"), "href=\"", "\"");
    let page = open(&browser, reported.url.join(start).unwrap()).await.expect(200);
    assert!(page.text.contains("%2Fuser%3Fa%3D1"), "the target is kept: {}", page.text);
}

#[tokio::test]
async fn a_callback_page_without_an_attempt_leads_to_the_start() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let sent = open(&browser, app.url("/sign-in/sso-callback?redirect_url=/user")).await.expect(303);
    assert_eq!(sent.location().path(), "/sign-in");
    let page = open(&browser, sent.location()).await.expect(200);
    assert_eq!(state(&page).1, "notice");
    assert!(page.text.contains("took too long"));
}

#[tokio::test]
async fn a_callback_that_nobody_asked_for_is_reported_on_a_page_or_as_json() {
    let app = TestApp::start().await;
    let reported = open(&app.browser(), app.url("/v1/oauth_callback?code=x&state=made-up-state")).await.expect(400);
    assert_eq!(state(&reported), ("provider.error".to_owned(), "start_again".to_owned()));
    let reported = app.browser().get(app.url("/v1/oauth_callback?code=x")).await.expect(400);
    assert_eq!(reported.error_code(), "oauth_callback_invalid");
}

#[tokio::test]
async fn the_names_the_sdk_builds_lead_to_the_start_pages() {
    let app = TestApp::start().await;
    let browser = app.browser();
    for (path, to) in [("/sign-in/create?a=1&b=%2F", "/sign-up?a=1&b=%2F"), ("/sign-in/tasks", "/sign-in")] {
        assert_eq!(open(&browser, app.url(path)).await.expect(303).location().as_str(), app.url(to));
    }
}

#[tokio::test]
async fn one_press_on_the_development_index_signs_in() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let index = open(&browser, app.url("/_dev")).await.expect(200);
    assert!(index.text.contains(&app.publishable_key) && !index.text.contains(&app.secret_key));
    let mut answer = Form::on(&index).press(&browser, "person", "bob@example.com").await.expect(303);
    while answer.status.is_redirection() {
        answer = open(&browser, answer.location()).await;
    }
    assert_eq!(state(&answer.expect(200)).0, "user.profile");
    // Every link leads to something.
    for link in index.text.split("<li><a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_ne!(open(&browser, app.url(link)).await.status, 404, "{link}");
    }
}
