//! Links by mail.

use super::{form, messages, newest};
use crate::support::person::{APP, client};
use crate::support::{Answer, Browser, TestApp, send};
use http::Method;
use serde_json::Value;
use std::time::Duration;

const SESSIONS: &str = "select count(*) from sessions where instance_id = $1 and $2 = ''";

async fn settings(app: &TestApp, change: &str) {
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
}

/// An app whose instance sends links, with Ada.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    settings(&app, r#"{"email": {"link": true}, "attributes": {}}"#).await;
    app.person("ada").await;
    app
}

/// Begins for Ada with a link; returns the attempt and the link.
async fn begin(app: &TestApp, browser: &Browser) -> (Value, String) {
    let fields = [("identifier", "ada@example.com"), ("strategy", "email_link"), ("redirect_url", "/arrived?a=1#part")];
    let attempt = form(app, browser, "/v1/client/sign_ins", &fields).await.expect(200).json()["response"].clone();
    assert_eq!(attempt["first_factor_verification"]["object"], "verification_email_link");
    (attempt, link(app, "ada@example.com").await)
}

async fn link(app: &TestApp, to: &str) -> String {
    newest(app, to).await["link"].as_str().unwrap().to_owned()
}

/// Opens `link` as a browser does that shows pages.
async fn open(browser: &Browser, link: &str) -> Answer {
    browser.send(browser.request(Method::GET, link).header("accept", "text/html")).await
}

fn status(answer: &Answer) -> String {
    let location = answer.location();
    let mut pairs = location.query_pairs();
    pairs.find(|(key, _)| key == "__clerk_status").unwrap_or_else(|| panic!("{location}")).1.into_owned()
}

fn field(page: &Answer, name: &str) -> String {
    let from = page.text.find(&format!("name=\"{name}\" value=\"")).unwrap() + name.len() + 15;
    page.text[from..].split('"').next().unwrap().to_owned()
}

/// Opens `link` in a browser that did not ask for it, and presses the button there.
async fn press(app: &TestApp, other: &Browser, link: &str) -> Answer {
    let page = open(other, link).await.expect(200);
    let fields = [("token", field(&page, "token")), ("csrf", field(&page, "csrf"))];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let pressed = other.request(Method::POST, &app.url("/v1/verify")).header("origin", app.origin());
    let arrived = other.send(pressed.header("accept", "text/html").form(&fields)).await.expect(303);
    assert_eq!(status(&arrived), "verified");
    arrived
}

#[tokio::test]
async fn in_the_browser_that_asked_a_link_signs_in_at_once() {
    let app = app().await;
    let browser = app.browser();
    let (attempt, link) = begin(&app, &browser).await;
    assert!(link.starts_with(&app.url("/v1/verify?token=")), "{link}");
    let arrived = open(&browser, &link).await.expect(303);
    assert_eq!(status(&arrived), "verified");
    let location = arrived.location();
    assert!(location.as_str().starts_with(&format!("{APP}/arrived?a=1&__clerk_status=verified")), "{location}");
    assert_eq!(location.fragment(), Some("part"));
    let session = location.query_pairs().find(|(key, _)| key == "__clerk_created_session").unwrap().1.into_owned();
    let now = client(&app, &browser).await;
    assert_eq!(now["sessions"][0]["id"], session.as_str());
    assert_eq!(now["sign_in"]["status"], "complete", "the first tab reads it there");
    let path = format!("/v1/client/sign_ins/{}", attempt["id"].as_str().unwrap());
    let polled = browser.get(app.url(&path)).await.expect(200).json();
    assert_eq!(polled["response"]["created_session_id"], session.as_str());

    let again = open(&browser, &link).await.expect(400);
    assert!(again.text.contains("data-state=\"already-used\""), "{}", again.text);
}

#[tokio::test]
async fn a_scanner_changes_nothing() {
    let app = app().await;
    let browser = app.browser();
    let (_, link) = begin(&app, &browser).await;
    let scanner = app.browser();
    for request in [
        scanner.raw(Method::GET, &link),
        scanner.raw(Method::HEAD, &link),
        browser.request(Method::HEAD, &link),
        browser.request(Method::GET, &link).header("sec-purpose", "prefetch"),
        browser.request(Method::GET, &link).header("purpose", "prefetch"),
    ] {
        send(request).await;
    }
    let open_verifications =
        "select count(*) from verifications where instance_id = $1 and status = 'unverified' and $2 = ''";
    assert_eq!(app.count(open_verifications, "").await, 1);
    assert_eq!(app.count(SESSIONS, "").await, 0);
    settings(&app, r#"{"email": {"link": true, "same_device": false}}"#).await;
    let page = send(scanner.raw(Method::GET, &link).header("accept", "text/html")).await.expect(200);
    assert!(page.text.contains("data-state=\"confirm\""), "{}", page.text);
    assert_eq!(app.count(open_verifications, "").await, 1, "a button is only shown");
    assert_eq!(status(&open(&browser, &link).await.expect(303)), "verified");
}

#[tokio::test]
async fn another_browser_is_refused_where_the_same_one_is_demanded() {
    let app = app().await;
    let (browser, other) = (app.browser(), app.browser());
    let (_, link) = begin(&app, &browser).await;
    assert_eq!(status(&open(&other, &link).await.expect(303)), "client_mismatch");
    let refused = other.get(&link).await.expect(403);
    assert_eq!(refused.error_code(), "sign_in_email_link_not_same_client");
    assert_eq!(app.count(SESSIONS, "").await, 0);
    assert_eq!(status(&open(&browser, &link).await.expect(303)), "verified", "the link is still good where it belongs");
}

#[tokio::test]
async fn where_any_browser_may_open_it_the_first_tab_finishes() {
    let app = app().await;
    settings(&app, r#"{"email": {"link": true, "same_device": false}}"#).await;
    let (browser, other) = (app.browser(), app.browser());
    let (attempt, link) = begin(&app, &browser).await;
    let page = open(&other, &link).await.expect(200);
    let token = field(&page, "token");
    let forged = other.post_form(app.url("/v1/verify"), &app.origin(), &[("token", &token)]).await.expect(403);
    assert_eq!(forged.error_code(), "vestibule_form_invalid");
    let arrived = press(&app, &other, &link).await;
    assert!(!arrived.location().as_str().contains("created_session"), "no session for the one that pressed");
    assert_eq!(app.count(SESSIONS, "").await, 0);

    let path = format!("/v1/client/sign_ins/{}", attempt["id"].as_str().unwrap());
    let polled = browser.get(app.url(&path)).await.expect(200).json();
    assert_eq!(polled["response"]["status"], "complete", "{polled}");
    assert_eq!(polled["client"]["sessions"][0]["id"], polled["response"]["created_session_id"]);
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1);
}

const ANY_DEVICE: &str =
    r#"{"email": {"link": true, "same_device": false}, "attributes": {"password": {"enabled": true}}}"#;

/// A tab that nobody looks at for ten minutes does not finish by itself.
#[tokio::test]
async fn a_link_opened_elsewhere_counts_for_ten_minutes() {
    let app = app().await;
    settings(&app, ANY_DEVICE).await;
    for (seconds, finished) in [(540, "complete"), (600, "needs_first_factor")] {
        let browser = app.browser();
        let (attempt, link) = begin(&app, &browser).await;
        press(&app, &app.browser(), &link).await;
        app.advance(Duration::from_secs(seconds)).await;
        let path = format!("/v1/client/sign_ins/{}", attempt["id"].as_str().unwrap());
        let polled = browser.get(app.url(&path)).await.expect(200).json();
        assert_eq!(polled["response"]["status"], finished, "{polled}");
    }
    assert_eq!(app.count(SESSIONS, "").await, 1);
}

/// Whoever had the mailbox for a moment has nothing once its owner has chosen a new password; also if they ask just
/// then.
#[tokio::test]
async fn a_new_password_ends_what_a_link_has_verified() {
    let app = app().await;
    settings(&app, ANY_DEVICE).await;
    let choose = async |password: &str| {
        let browser = app.browser();
        let begun = form(&app, &browser, "/v1/client/sign_ins", &[("identifier", "ada@example.com")]).await;
        let id = begun.expect(200).json()["response"]["id"].as_str().unwrap().to_owned();
        app.execute("update sign_ins set status = 'needs_new_password' where instance_id = $1 and id = $2", &id).await;
        let path = format!("/v1/client/sign_ins/{id}/reset_password");
        form(&app, &browser, &path, &[("password", password)]).await.expect(200);
    };
    let thief = app.browser();
    let (attempt, link) = begin(&app, &thief).await;
    press(&app, &app.browser(), &link).await;
    choose("drei ziegen im regen").await;
    let path = app.url(&format!("/v1/client/sign_ins/{}", attempt["id"].as_str().unwrap()));
    assert_eq!(thief.get(&path).await.expect(404).error_code(), "resource_not_found");

    // The thief's tab asks while the reset goes on: it waits for the user, and finds the attempt replaced.
    let (attempt, link) = begin(&app, &thief).await;
    press(&app, &app.browser(), &link).await;
    let id = attempt["id"].as_str().unwrap();
    let mut reset = app.db.pool().await.begin().await.unwrap();
    sqlx::query("select from users for no key update").execute(&mut *reset).await.unwrap();
    let path = app.url(&format!("/v1/client/sign_ins/{id}"));
    let replaces = async {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&app.app().db).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        let replace = "update sign_ins set replaced_at = now() where id = $1";
        sqlx::query(replace).bind(id).execute(&mut *reset).await.unwrap();
        reset.commit().await.unwrap();
    };
    let (asked, ()) = tokio::join!(thief.get(&path), replaces);
    assert_ne!(asked.json()["response"]["status"], "complete", "{}", asked.text);
    assert!(client(&app, &thief).await["sessions"].as_array().unwrap().is_empty());
    assert_eq!(app.count(SESSIONS, "").await, 1, "the owner's");
}

#[tokio::test]
async fn stale_late_and_invented_links_are_distinguished() {
    let app = app().await;
    let browser = app.browser();
    let (attempt, first) = begin(&app, &browser).await;
    let path = format!("/v1/client/sign_ins/{}/prepare_first_factor", attempt["id"].as_str().unwrap());
    form(&app, &browser, &path, &[("strategy", "email_link"), ("redirect_url", "/arrived")]).await.expect(200);
    let second = link(&app, "ada@example.com").await;
    assert_eq!(browser.get(&first).await.expect(400).error_code(), "verification_link_token_stale");
    let page = open(&browser, &first).await.expect(400);
    assert!(page.text.contains("data-state=\"failed\""), "{}", page.text);
    let invented = app.url("/v1/verify?token=invented");
    assert_eq!(browser.get(&invented).await.expect(400).error_code(), "verification_link_token_invalid");
    assert_eq!(browser.get(app.url("/v1/verify")).await.expect(400).error_code(), "missing_query_parameter");
    app.advance(Duration::from_secs(601)).await;
    assert_eq!(status(&open(&browser, &second).await.expect(303)), "expired");
    assert_eq!(browser.get(&second).await.expect(400).error_code(), "verification_link_token_expired");
}

#[tokio::test]
async fn a_replaced_attempt_takes_no_verification() {
    let app = app().await;
    let browser = app.browser();
    let (_, link) = begin(&app, &browser).await;
    form(&app, &browser, "/v1/client/sign_ins", &[("identifier", "ada@example.com")]).await.expect(200);
    assert_eq!(status(&open(&browser, &link).await.expect(303)), "failed");
    assert_eq!(app.count(SESSIONS, "").await, 0);
}

#[tokio::test]
async fn poisoned_hosts_leave_the_link_as_it_is() {
    let app = app().await;
    let browser = app.browser();
    let fields = [("identifier", "ada@example.com"), ("strategy", "email_link"), ("redirect_url", "/arrived")];
    let request = browser
        .request(Method::POST, &app.url("/v1/client/sign_ins"))
        .header("origin", APP)
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "host=evil.example")
        .header("x-original-host", "evil.example")
        .form(&fields);
    browser.send(request).await.expect(200);
    let message = newest(&app, "ada@example.com").await;
    assert!(message["link"].as_str().unwrap().starts_with(&app.url("/v1/verify?token=")), "{message}");
    assert!(!message.to_string().contains("evil"), "{message}");
    let own = app.url("/v1/client/sign_ins").replace("localhost", "127.0.0.1");
    let request = browser.raw(Method::POST, &own).header("origin", APP).form(&fields);
    send(request).await;
    for message in messages(&app, "ada@example.com").await {
        assert!(
            message["link"].as_str().unwrap().starts_with(&app.origin()),
            "the configured origin, whatever the host"
        );
    }
}

#[tokio::test]
async fn a_sign_up_is_finished_by_its_link() {
    let app = app().await;
    let browser = app.browser();
    let begun = form(&app, &browser, "/v1/client/sign_ups", &[("email_address", "new@example.com")]).await.expect(200);
    let path = format!("/v1/client/sign_ups/{}/prepare_verification", begun.json()["response"]["id"].as_str().unwrap());
    form(&app, &browser, &path, &[("strategy", "email_link"), ("redirect_url", "/arrived")]).await.expect(200);
    let link = link(&app, "new@example.com").await;
    let refused = app.browser().get(&link).await.expect(403);
    assert_eq!(refused.error_code(), "sign_up_email_link_not_same_client");
    let arrived = open(&browser, &link).await.expect(303);
    assert_eq!(status(&arrived), "verified");
    let now = client(&app, &browser).await;
    assert_eq!(now["sign_up"]["status"], "complete");
    let email = &now["sessions"][0]["user"]["email_addresses"][0];
    assert_eq!(
        (&email["email_address"], &email["verification"]["strategy"]),
        (&"new@example.com".into(), &"email_link".into())
    );
}
