//! Signing in and up without a provider, step by step, without script.

use super::portal::sign_in_as;
use super::visitor::{Form, between, open, state};
use crate::proof::{code_for, messages};
use crate::support::{Answer, Browser, TestApp};

/// The published defaults: an address must be proven when somebody signs up.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"attributes": {}}"#).await;
    app.app().forget_directory();
    app
}

/// Presses a form's button and follows it to the next page.
async fn press(browser: &Browser, form: &Form, name: &str, value: &str) -> Answer {
    let mut answer = form.press(browser, name, value).await;
    while answer.status.is_redirection() && answer.location().host_str() == Some("localhost") {
        answer = open(browser, answer.location()).await;
    }
    answer
}

fn by_hand(page: &Answer, field: &str) -> Form {
    Form::with_a(page, &format!("name=\"{field}\""))
}

async fn begin(app: &TestApp, browser: &Browser, path: &str, field: &str, value: &str) -> Answer {
    let page = open(browser, app.url(path)).await.expect(200);
    press(browser, &by_hand(&page, field), field, value).await
}

#[tokio::test]
async fn a_person_signs_in_with_a_code() {
    let app = app().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let asked =
        begin(&app, &browser, "/sign-in?redirect_url=/user%3Fa%3D1", "identifier", &ada.email).await.expect(200);
    assert_eq!(state(&asked), ("sign-in.factor-one".to_owned(), "code".to_owned()));
    assert!(asked.text.contains("a****@example.com") && !asked.text.contains(&ada.email), "{}", asked.text);
    let code = code_for(&app, &ada.email).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let mut refused = press(&browser, &by_hand(&asked, "code"), "code", wrong).await.expect(422);
    assert_eq!(state(&refused).1, "error.code");
    assert!(!refused.text.contains("Tries left") && refused.text.contains("<title>Error: "), "{}", refused.text);
    for left in ["2", "1"] {
        for _ in 0..if left == "2" { 2 } else { 1 } {
            refused = press(&browser, &by_hand(&refused, "code"), "code", wrong).await.expect(422);
        }
        assert!(refused.text.contains(&format!("Tries left: {left}.")), "{}", refused.text);
    }
    let again = press(&browser, &Form::with_a(&refused, "resend-code"), "send", "again").await.expect(200);
    assert_eq!(state(&again).1, "code.resent");
    assert_eq!(messages(&app, &ada.email).await.len(), 2);
    let code = code_for(&app, &ada.email).await;
    let done = by_hand(&again, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user?a=1"));
    open(&browser, app.url("/user")).await.expect(200);
    let after = open(&browser, app.url("/sign-in/factor-one")).await.expect(303);
    assert_eq!(after.location().path(), "/user", "the step is over: on to the target");
    let twice = by_hand(&again, "code").press(&browser, "code", &code).await;
    assert!(twice.status.is_redirection() || twice.status == 403, "a second post is no second sign-in: {twice:?}");
}

#[tokio::test]
async fn five_wrong_codes_want_a_new_one() {
    let app = app().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let mut page = begin(&app, &browser, "/sign-in", "identifier", &ada.email).await.expect(200);
    for _ in 0..6 {
        page = press(&browser, &by_hand(&page, "code"), "code", "x").await.expect(422);
    }
    assert_eq!(state(&page).1, "error.expired");
    assert!(!page.text.contains("name=\"code\""), "nothing to type into: {}", page.text);
    let again = press(&browser, &Form::with_a(&page, "resend-code"), "send", "again").await.expect(200);
    assert_eq!(state(&again).1, "code.resent");
}

#[tokio::test]
async fn a_stranger_is_told_on_the_field() {
    let app = app().await;
    let browser = app.browser();
    let told = begin(&app, &browser, "/sign-in", "identifier", "nobody@example.com").await.expect(422);
    assert_eq!(state(&told), ("sign-in.start".to_owned(), "error.field".to_owned()));
    assert!(told.text.contains("value=\"nobody@example.com\"") && told.text.contains("aria-invalid"), "{}", told.text);
    let lost = open(&browser, app.url("/sign-in/factor-one")).await.expect(303);
    assert_eq!(lost.location().path(), "/sign-in");
}

#[tokio::test]
async fn a_person_signs_up_with_a_code() {
    let app = app().await;
    let browser = app.browser();
    let asked = begin(&app, &browser, "/sign-up", "email_address", "new@example.com").await.expect(200);
    assert_eq!(state(&asked), ("sign-up.verify".to_owned(), "verify.email".to_owned()));
    let refused = press(&browser, &by_hand(&asked, "code"), "code", "x").await.expect(422);
    assert_eq!(state(&refused).1, "error.verify");
    let code = code_for(&app, "new@example.com").await;
    let done = by_hand(&refused, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    let profile = open(&browser, app.url("/user")).await.expect(200);
    assert!(profile.text.contains("new@example.com"), "{}", profile.text);
    let taken = begin(&app, &app.browser(), "/sign-up", "email_address", "new@example.com").await.expect(422);
    assert_eq!(state(&taken).1, "error.field");
}

#[tokio::test]
async fn a_provider_without_an_address_asks_for_one() {
    let app = app().await;
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-up")).await.expect(200);
    let started = Form::on(&page).press(&browser, "strategy", "oauth_notion").await.expect(303);
    let mut there = open(&browser, started.location()).await;
    while there.status.is_redirection() {
        there = open(&browser, there.location()).await;
    }
    let asked = press(&browser, &Form::on(&there), "person", "cyd").await.expect(200);
    assert_eq!(state(&asked), ("sign-up.continue".to_owned(), "continue.email-needed".to_owned()), "{}", asked.text);
    assert!(between(&asked.text, "<h1>", "</form>").contains("Signing up with Notion"), "{}", asked.text);
    let wrong = press(&browser, &by_hand(&asked, "email_address"), "email_address", "nonsense").await.expect(422);
    assert_eq!(state(&wrong).1, "error.field");
    let code_page = press(&browser, &by_hand(&wrong, "email_address"), "email_address", "cyd@example.com").await;
    assert_eq!(state(&code_page).1, "verify.email", "{}", code_page.text);
    let code = code_for(&app, "cyd@example.com").await;
    let done = by_hand(&code_page, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    let profile = open(&browser, app.url("/user")).await.expect(200);
    assert!(profile.text.contains("Notion") && profile.text.contains("cyd@example.com"), "{}", profile.text);
}

#[tokio::test]
async fn whoever_proves_the_address_joins_the_account() {
    let app = app().await;
    let owner = app.browser();
    sign_in_as(&app, &owner, "/sign-in", "ada@example.com").await;
    let users = "select count(*) from users where instance_id = $1 and $2 = ''";
    assert_eq!(app.count(users, "").await, 1);
    let browser = app.browser();
    let back = sign_in_as(&app, &browser, "/sign-in", "eve@example.com").await;
    let mut page = open(&browser, back.location()).await;
    while page.status.is_redirection() {
        page = open(&browser, page.location()).await;
    }
    assert_eq!(state(&page), ("sign-in.link".to_owned(), "confirm".to_owned()), "{}", page.text);
    assert!(page.text.contains("a****@example.com") && !page.text.contains("ada@example.com"), "{}", page.text);
    assert!(messages(&app, "ada@example.com").await.is_empty(), "nothing is sent before it is asked for");
    let method = between(between(&page.text, "id=\"method-1\"", ">"), "value=\"", "\"").to_owned();
    let proof = press(&browser, &Form::with_a(&page, "method-1"), "method", &method).await.expect(200);
    assert_eq!(state(&proof).1, "proof");
    let code = code_for(&app, "ada@example.com").await;
    let done = by_hand(&proof, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    assert_eq!(app.count(users, "").await, 1, "joined, not doubled");
    assert_eq!(app.count("select count(*) from external_accounts where instance_id = $1 and $2 = ''", "").await, 2);
}

#[tokio::test]
async fn a_browser_that_lost_an_answer_is_told_to_wait_and_then_gets_in() {
    let app = app().await;
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-in")).await.expect(200);
    let lost = app.browser();
    lost.set_cookie("localhost", "__client", &browser.cookie("localhost", "__client").unwrap());
    sign_in_as(&app, &browser, "/sign-in", "ada").await;
    let now = "update client_tokens set superseded_at = now() where instance_id = $1 and superseded_at is not null
        and $2 = ''";
    for (part, name, value) in
        [("name=\"strategy\"", "strategy", "oauth_google"), ("name=\"identifier\"", "identifier", "x@y.z")]
    {
        app.execute(now, "").await;
        let told = Form::with_a(&page, part).press(&lost, name, value).await.expect(429);
        assert_eq!((state(&told).1.as_str(), told.header("retry-after")), ("rate-limited", Some("3")), "{name}");
        assert!(told.set_cookies().iter().all(|cookie| !cookie.starts_with("__client=")));
    }
    // As it was: the session is younger than the old token's end.
    let then = "update client_tokens set superseded_at = (select min(created_at) from sessions where instance_id = $1)
        where instance_id = $1 and superseded_at is not null and $2 = ''";
    app.execute(then, "").await;
    app.advance(std::time::Duration::from_secs(3)).await;
    let done = sign_in_as(&app, &lost, "/sign-in", "ada").await;
    assert_eq!(done.location().as_str(), app.url("/user"));
}
