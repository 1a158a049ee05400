//! `/user/connections`, by forms and without script.

use std::time::Duration;

use super::portal::signed_in;
use super::visitor::{Form, between, open, state};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::code_for;

/// Presses a button, approves at the provider as `person`, and comes back.
async fn approve(app: &TestApp, browser: &Browser, page: &Answer, button: (&str, &str), person: &str) -> Answer {
    let mut there = Form::on(page).press(browser, button.0, button.1).await.expect(303);
    while there.status.is_redirection() {
        there = open(browser, there.location()).await;
    }
    let mut back = Form::on(&there.expect(200)).press(browser, "person", person).await;
    while back.status.is_redirection() {
        assert_eq!(back.location().origin().ascii_serialization(), app.origin());
        back = open(browser, back.location()).await;
    }
    back.expect(200)
}

#[tokio::test]
async fn somebody_connects_and_removes_an_account() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    let profile = open(&browser, app.url("/user")).await.expect(200);
    assert!(profile.text.contains("href=\"/user/connections\""));
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    assert_eq!(state(&page), ("user.connections".to_owned(), "connections".to_owned()));
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    for words in ["Google", "Ada Lovelace", "ada@example.com", "Connected on", "see your email address"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(page.text.contains("Connect Notion") && !page.text.contains("Connect Google"));

    let back = approve(&app, &browser, &page, ("strategy", "oauth_notion"), "ada@example.com").await;
    assert_eq!(state(&back).1, "reconnected");
    assert!(back.text.contains("The account is connected.") && !back.text.contains("Connect Notion"));

    let link = back.text.split("href=\"").find(|rest| rest.starts_with("/user/connections/remove")).unwrap();
    let link = link.split('"').next().unwrap();
    let asked = open(&browser, app.url(link)).await.expect(200);
    assert_eq!(state(&asked).1, "remove.confirm");
    let forged = Form::on(&asked).with("csrf", "x").press(&browser, "a", "b").await.expect(403);
    assert!(forged.text.contains("data-state=\"form-invalid\""));
    let gone = Form::on(&asked).press(&browser, "a", "b").await.expect(303);
    let page = open(&browser, gone.location()).await.expect(200);
    assert!(page.text.contains("The account was removed."));
    // The form of the page that was open in another tab: already done.
    Form::on(&asked).press(&browser, "a", "b").await.expect(303);
}

#[tokio::test]
async fn a_refused_connection_is_reported_and_can_be_tried_again() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    let mut there = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(303);
    while there.status.is_redirection() {
        there = open(&browser, there.location()).await;
    }
    let back = Form::on(&there).press(&browser, "deny", "1").await;
    let back = open(&browser, back.location()).await.expect(303);
    let page = open(&browser, back.location()).await.expect(200);
    assert_eq!(state(&page).1, "needs-attention");
    assert!(page.text.contains("Sign-in was cancelled.") && page.text.contains("Reconnect Notion"));
    let button = page.text.split("name=\"reconnect\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let back = approve(&app, &browser, &page, ("reconnect", &button), "ada@example.com").await;
    assert_eq!(state(&back).1, "reconnected");
    assert!(!back.text.contains("Reconnect"));
}

#[tokio::test]
async fn how_a_token_is_doing_is_said_and_a_lost_one_is_connected_again() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    assert!(page.text.contains("Working, expires ") && !page.text.contains("Reconnect Google"), "{}", page.text);
    let end = "update provider_tokens set expires_at = now() - interval '1 min'";
    sqlx::query(end).execute(&app.app().db).await.unwrap();
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    assert!(page.text.contains("; renewed when an app asks for it") && !page.text.contains("Reconnect Google"));
    // Nobody has asked for it yet, and nothing could be done if somebody did.
    sqlx::query("update provider_tokens set refresh_token_sealed = null").execute(&app.app().db).await.unwrap();
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    assert_eq!(state(&page).1, "needs-attention");
    let lost = "Needs to be connected again: Google did not allow us to renew it";
    assert!(page.text.contains(lost) && page.text.contains("Reconnect Google"), "{}", page.text);
    let button = page.text.split("name=\"reconnect\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let back = approve(&app, &browser, &page, ("reconnect", &button), "ada@example.com").await;
    assert_eq!(state(&back).1, "reconnected");
    assert!(back.text.contains("Working, expires ") && !back.text.contains("Reconnect Google"), "{}", back.text);
}

#[tokio::test]
async fn what_is_refused_is_said_on_the_page() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    let sign_in = open(&app.browser(), app.url("/user/connections")).await.expect(303);
    assert_eq!(sign_in.location().path(), "/sign-in");
    let change = r#"{"attributes": {"email_address": {"enabled": false, "required": false}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    let link = page.text.split("href=\"").find(|rest| rest.starts_with("/user/connections/remove")).unwrap();
    let asked = open(&browser, app.url(link.split('"').next().unwrap())).await.expect(200);
    let refused = Form::on(&asked).press(&browser, "a", "b").await.expect(422);
    assert_eq!(state(&refused).1, "error.remove");
    assert!(refused.text.contains("only way you can sign in"));
    let gone = open(&browser, app.url("/user/connections/remove?account=eac_nobody")).await.expect(303);
    assert_eq!(gone.location().path(), "/user/connections");
    // Nothing is left by which she could verify who she is.
    let change = r#"{"email": {"code": false, "link": false}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    app.advance(Duration::from_secs(11 * 60)).await;
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    let refused = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(422);
    assert_eq!(state(&refused).1, "error.refused");
    assert!(refused.text.contains("sign in again"), "{}", refused.text);
    let away = open(&browser, app.url("/user/reverify")).await.expect(303);
    assert_eq!(away.location().path(), "/user/connections");
}

/// Presses the first button of `page` by which a code is sent, and types what came.
async fn prove(app: &TestApp, browser: &Browser, page: &Answer) -> Answer {
    assert_eq!(state(page), ("user.reverify".to_owned(), "methods".to_owned()), "{}", page.text);
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));
    let method = between(between(&page.text, "id=\"method-1\"", ">"), "value=\"", "\"").to_owned();
    let asked = Form::with_a(page, "method-1").press(browser, "method", &method).await.expect(200);
    assert_eq!(state(&asked), ("user.reverify".to_owned(), "code".to_owned()));
    let code = code_for(app, "ada@example.com").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = Form::with_a(&asked, "name=\"code\"").press(browser, "code", wrong).await.expect(422);
    assert_eq!(state(&refused).1, "error.code");
    Form::with_a(&refused, "name=\"code\"").press(browser, "code", &code).await.expect(303)
}

#[tokio::test]
async fn old_session_is_reverified_and_returns_to_the_page() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    app.advance(Duration::from_secs(11 * 60)).await;
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    let sent = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(303);
    assert_eq!(sent.location().as_str(), app.url("/user/reverify"));
    let stranger = open(&app.browser(), sent.location()).await.expect(303);
    assert_eq!(stranger.location().path(), "/sign-in");
    let verified = prove(&app, &browser, &open(&browser, sent.location()).await.expect(200)).await;
    assert_eq!(verified.location().as_str(), app.url("/user/connections?done=confirmed"));
    let page = open(&browser, verified.location()).await.expect(200);
    assert!(page.text.contains("Thank you, it is you."), "{}", page.text);
    let back = approve(&app, &browser, &page, ("strategy", "oauth_notion"), "ada@example.com").await;
    assert_eq!(state(&back).1, "reconnected");
    let again = open(&browser, app.url("/user/reverify")).await.expect(303);
    assert_eq!(again.location().path(), "/user/connections", "nothing is to be verified now");

    // The same before an account is removed, and back to the question.
    app.advance(Duration::from_secs(11 * 60)).await;
    let late = open(&browser, app.url("/user/connections?done=confirmed")).await.expect(200);
    assert!(!late.text.contains("it is you"), "the address alone says nothing");
    let link = late.text.split("href=\"").find(|rest| rest.starts_with("/user/connections/remove")).unwrap();
    let link = link.split('"').next().unwrap().to_owned();
    let asked = open(&browser, app.url(&link)).await.expect(200);
    let sent = Form::on(&asked).press(&browser, "a", "b").await.expect(303);
    assert_eq!(sent.location().path(), "/user/reverify");
    let verified = prove(&app, &browser, &open(&browser, sent.location()).await.expect(200)).await;
    assert_eq!(verified.location().as_str(), app.url(&link));
    let asked = open(&browser, verified.location()).await.expect(200);
    let removed = Form::on(&asked).press(&browser, "a", "b").await.expect(303);
    assert_eq!(removed.location().as_str(), app.url("/user/connections?done=removed"));
}

#[tokio::test]
async fn password_reverifies_on_the_page() {
    let app = TestApp::start().await;
    let change = r#"{"attributes": {"password": {"enabled": true}, "email_address": {"verify_at_sign_up": false}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-up")).await.expect(200);
    let form = Form::with_a(&page, "name=\"password\"").with("password", "blauwale fliegen nie");
    form.press(&browser, "email_address", "ada@example.com").await.expect(303);
    app.advance(Duration::from_secs(11 * 60)).await;
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    let sent = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(303);
    let asked = open(&browser, sent.location()).await.expect(200);
    assert_eq!(state(&asked), ("user.reverify".to_owned(), "password".to_owned()));
    let form = Form::with_a(&asked, "name=\"password\"");
    let refused = form.press(&browser, "password", "drei ziegen im regen").await.expect(422);
    assert_eq!(state(&refused).1, "error.credentials");
    let form = Form::with_a(&refused, "name=\"password\"");
    let verified = form.press(&browser, "password", "blauwale fliegen nie").await.expect(303);
    assert_eq!(verified.location().as_str(), app.url("/user/connections?done=confirmed"));
    let page = open(&browser, verified.location()).await.expect(200);
    let on = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(303);
    assert_ne!(on.location().path(), "/user/reverify");
}

#[tokio::test]
async fn a_provider_for_connecting_only_is_offered_here() {
    let app = TestApp::start().await;
    let browser = signed_in(&app).await;
    sqlx::query("update provider_configs set authenticatable = false where provider = 'notion'")
        .execute(&app.app().db)
        .await
        .unwrap();
    let start = open(&app.browser(), app.url("/sign-in")).await.expect(200);
    assert!(!start.text.contains("provider-notion"));
    let page = open(&browser, app.url("/user/connections")).await.expect(200);
    assert!(page.text.contains("id=\"provider-notion\""));
}
