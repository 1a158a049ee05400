//! Signing in and up without a provider, step by step, without script.

use super::portal::sign_in_as;
use super::visitor::{Form, between, open, state};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::{code_for, messages};

/// The published defaults: an address must be verified when somebody signs up.
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

fn with_identifier(page: &Answer, field: &str) -> Form {
    Form::with_a(page, &format!("name=\"{field}\""))
}

async fn begin(app: &TestApp, browser: &Browser, path: &str, field: &str, value: &str) -> Answer {
    let page = open(browser, app.url(path)).await.expect(200);
    press(browser, &with_identifier(&page, field), field, value).await
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
    let mut refused = press(&browser, &with_identifier(&asked, "code"), "code", wrong).await.expect(422);
    assert_eq!(state(&refused).1, "error.code");
    assert!(!refused.text.contains("Tries left") && refused.text.contains("<title>Error: "), "{}", refused.text);
    for left in ["2", "1"] {
        for _ in 0..if left == "2" { 2 } else { 1 } {
            refused = press(&browser, &with_identifier(&refused, "code"), "code", wrong).await.expect(422);
        }
        assert!(refused.text.contains(&format!("Tries left: {left}.")), "{}", refused.text);
    }
    let again = press(&browser, &Form::with_a(&refused, "resend-code"), "send", "again").await.expect(200);
    assert_eq!(state(&again).1, "code.resent");
    assert_eq!(messages(&app, &ada.email).await.len(), 2);
    let code = code_for(&app, &ada.email).await;
    let done = with_identifier(&again, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user?a=1"));
    open(&browser, app.url("/user")).await.expect(200);
    let after = open(&browser, app.url("/sign-in/factor-one")).await.expect(303);
    assert_eq!(after.location().path(), "/user", "the step is over: on to the target");
    let twice = with_identifier(&again, "code").press(&browser, "code", &code).await;
    assert!(twice.status.is_redirection() || twice.status == 403, "a second post is no second sign-in: {twice:?}");
}

#[tokio::test]
async fn five_wrong_codes_want_a_new_one() {
    let app = app().await;
    let (browser, ada) = (app.browser(), app.person("ada").await);
    let mut page = begin(&app, &browser, "/sign-in", "identifier", &ada.email).await.expect(200);
    for _ in 0..6 {
        page = press(&browser, &with_identifier(&page, "code"), "code", "x").await.expect(422);
    }
    assert_eq!(state(&page).1, "error.expired");
    assert!(!page.text.contains("name=\"code\""), "nothing to type into: {}", page.text);
    let again = press(&browser, &Form::with_a(&page, "resend-code"), "send", "again").await.expect(200);
    assert_eq!(state(&again).1, "code.resent");
}

#[tokio::test]
async fn a_stranger_is_reported_on_the_field() {
    let app = app().await;
    let browser = app.browser();
    let reported = begin(&app, &browser, "/sign-in", "identifier", "nobody@example.com").await.expect(422);
    assert_eq!(state(&reported), ("sign-in.start".to_owned(), "error.field".to_owned()));
    assert!(
        reported.text.contains("value=\"nobody@example.com\"") && reported.text.contains("aria-invalid"),
        "{}",
        reported.text
    );
    let lost = open(&browser, app.url("/sign-in/factor-one")).await.expect(303);
    assert_eq!(lost.location().path(), "/sign-in");
}

#[tokio::test]
async fn a_person_signs_up_with_a_code() {
    let app = app().await;
    let browser = app.browser();
    let asked = begin(&app, &browser, "/sign-up", "email_address", "new@example.com").await.expect(200);
    assert_eq!(state(&asked), ("sign-up.verify".to_owned(), "verify.email".to_owned()));
    let refused = press(&browser, &with_identifier(&asked, "code"), "code", "x").await.expect(422);
    assert_eq!(state(&refused).1, "error.verify");
    let code = code_for(&app, "new@example.com").await;
    let done = with_identifier(&refused, "code").press(&browser, "code", &code).await.expect(303);
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
    let wrong =
        press(&browser, &with_identifier(&asked, "email_address"), "email_address", "nonsense").await.expect(422);
    assert_eq!(state(&wrong).1, "error.field");
    let code_page =
        press(&browser, &with_identifier(&wrong, "email_address"), "email_address", "cyd@example.com").await;
    assert_eq!(state(&code_page).1, "verify.email", "{}", code_page.text);
    let code = code_for(&app, "cyd@example.com").await;
    let done = with_identifier(&code_page, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    let profile = open(&browser, app.url("/user")).await.expect(200);
    assert!(profile.text.contains("Notion") && profile.text.contains("cyd@example.com"), "{}", profile.text);
}

#[tokio::test]
async fn verified_address_joins_the_account() {
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
    let verification = press(&browser, &Form::with_a(&page, "method-1"), "method", &method).await.expect(200);
    assert_eq!(state(&verification).1, "proof");
    let code = code_for(&app, "ada@example.com").await;
    let done = with_identifier(&verification, "code").press(&browser, "code", &code).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    assert_eq!(app.count(users, "").await, 1, "joined, not doubled");
    assert_eq!(app.count("select count(*) from external_accounts where instance_id = $1 and $2 = ''", "").await, 2);
}

#[tokio::test]
async fn a_browser_that_lost_an_answer_is_reported_to_wait_and_then_gets_in() {
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
        let reported = Form::with_a(&page, part).press(&lost, name, value).await.expect(429);
        assert_eq!(
            (state(&reported).1.as_str(), reported.header("retry-after")),
            ("rate-limited", Some("3")),
            "{name}"
        );
        assert!(reported.set_cookies().iter().all(|cookie| !cookie.starts_with("__client=")));
    }
    // As it was: the session is younger than the old token's end.
    let then = "update client_tokens set superseded_at = (select min(created_at) from sessions where instance_id = $1)
        where instance_id = $1 and superseded_at is not null and $2 = ''";
    app.execute(then, "").await;
    app.advance(std::time::Duration::from_secs(3)).await;
    let done = sign_in_as(&app, &lost, "/sign-in", "ada").await;
    assert_eq!(done.location().as_str(), app.url("/user"));
}
const PASSWORD: &str = "blauwale fliegen nie";
const OTHER: &str = "drei ziegen im regen";

/// People may have passwords, and must verify their address.
async fn with_passwords() -> TestApp {
    let app = TestApp::start().await;
    let change = r#"{"attributes": {"password": {"enabled": true}}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    app
}

/// Signs up on the portal with a password; the browser is signed in.
async fn signs_up(app: &TestApp, browser: &Browser, address: &str) {
    let page = open(browser, app.url("/sign-up")).await.expect(200);
    assert!(page.text.contains("autocomplete=\"new-password\"") && page.text.contains("At least 8 characters."));
    let form = with_identifier(&page, "email_address");
    let weak = press(browser, &form.clone().with("password", "Password123!"), "email_address", address).await;
    let weak = weak.expect(422);
    assert_eq!(state(&weak).1, "error.field");
    assert!(weak.text.contains("id=\"password-problem\"") && weak.text.contains(address), "{}", weak.text);
    assert!(!weak.text.contains("Password123!"), "what was typed as a password is not shown again");
    let form = with_identifier(&weak, "email_address").with("password", PASSWORD);
    let asked = press(browser, &form, "email_address", address).await.expect(200);
    assert_eq!(state(&asked).1, "verify.email");
    let code = code_for(app, address).await;
    with_identifier(&asked, "code").press(browser, "code", &code).await.expect(303);
    open(browser, app.url("/user")).await.expect(200);
}

#[tokio::test]
async fn a_person_signs_up_and_in_with_a_password() {
    let app = with_passwords().await;
    signs_up(&app, &app.browser(), "ada@example.com").await;
    // At once.
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-in?redirect_url=/user%3Fa%3D1")).await.expect(200);
    let form = with_identifier(&page, "identifier");
    let wrong = press(&browser, &form.clone().with("password", OTHER), "identifier", "ada@example.com").await;
    let wrong = wrong.expect(422);
    assert_eq!(state(&wrong), ("sign-in.start".to_owned(), "error.field".to_owned()));
    assert!(wrong.text.contains("id=\"password-problem\"") && !wrong.text.contains(OTHER), "{}", wrong.text);
    let form = with_identifier(&wrong, "identifier").with("password", PASSWORD);
    let done = form.press(&browser, "identifier", "ada@example.com").await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user?a=1"));
    open(&browser, app.url("/user")).await.expect(200);
    // In two steps; nothing is sent to somebody who can type their password.
    let browser = app.browser();
    let asked = begin(&app, &browser, "/sign-in", "identifier", "ada@example.com").await.expect(200);
    assert_eq!(state(&asked), ("sign-in.factor-one".to_owned(), "password".to_owned()));
    assert_eq!(messages(&app, "ada@example.com").await.len(), 1, "that of the sign-up");
    let refused = press(&browser, &with_identifier(&asked, "password"), "password", OTHER).await.expect(422);
    assert_eq!(state(&refused).1, "error.credentials");
    assert!(!refused.text.contains(OTHER));
    let done = with_identifier(&refused, "password").press(&browser, "password", PASSWORD).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user"));
    open(&browser, app.url("/user")).await.expect(200);
    // Or by a code after all.
    let browser = app.browser();
    let asked = begin(&app, &browser, "/sign-in", "identifier", "ada@example.com").await.expect(200);
    let method = between(between(&asked.text, "id=\"method-1\"", ">"), "value=\"", "\"").to_owned();
    let sent = press(&browser, &Form::with_a(&asked, "method-1"), "method", &method).await.expect(200);
    assert_eq!(state(&sent).1, "code");
    let code = code_for(&app, "ada@example.com").await;
    with_identifier(&sent, "code").press(&browser, "code", &code).await.expect(303);
    open(&browser, app.url("/user")).await.expect(200);
}

#[tokio::test]
async fn user_without_password_is_shown_the_other_factors() {
    let app = with_passwords().await;
    sign_in_as(&app, &app.browser(), "/sign-in", "ada@example.com").await;
    let browser = app.browser();
    let page = open(&browser, app.url("/sign-in")).await.expect(200);
    let form = with_identifier(&page, "identifier").with("password", PASSWORD);
    let asked = press(&browser, &form, "identifier", "ada@example.com").await.expect(200);
    assert_eq!(state(&asked), ("sign-in.factor-one".to_owned(), "code".to_owned()));
    let code = code_for(&app, "ada@example.com").await;
    with_identifier(&asked, "code").press(&browser, "code", &code).await.expect(303);
    open(&browser, app.url("/user")).await.expect(200);
}

#[tokio::test]
async fn wrong_passwords_are_counted_and_the_page_says_how_many_are_left() {
    let app = with_passwords().await;
    signs_up(&app, &app.browser(), "ada@example.com").await;
    let browser = app.browser();
    let mut page = begin(&app, &browser, "/sign-in", "identifier", "ada@example.com").await.expect(200);
    for _ in 0..8 {
        page = press(&browser, &with_identifier(&page, "password"), "password", OTHER).await.expect(422);
    }
    assert!(page.text.contains("2 tries left"), "{}", page.text);
    for _ in 0..2 {
        page = press(&browser, &with_identifier(&page, "password"), "password", OTHER).await.expect(422);
    }
    assert!(page.text.contains("0 tries left"), "{}", page.text);
    with_identifier(&page, "password").press(&browser, "password", PASSWORD).await.expect(403);
    // On the start page, too.
    let start = open(&browser, app.url("/sign-in")).await.expect(200);
    let form = with_identifier(&start, "identifier").with("password", PASSWORD);
    let reported = form.press(&browser, "identifier", "ada@example.com").await.expect(403);
    assert_eq!(state(&reported), ("sign-in.start".to_owned(), "error.provider".to_owned()));
    assert!(reported.text.contains("locked"), "{}", reported.text);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_step_by_step() {
    let app = with_passwords().await;
    let elsewhere = app.browser();
    signs_up(&app, &elsewhere, "ada@example.com").await;
    let browser = app.browser();
    let start = open(&browser, app.url("/sign-in?redirect_url=/user%3Fa%3D1")).await.expect(200);
    let link = between(between(&start.text, "id=\"forgot-password\"", ">"), "href=\"", "\"").to_owned();
    let asked = open(&browser, app.url(&link)).await.expect(200);
    assert_eq!(state(&asked), ("sign-in.reset".to_owned(), "reset.begin".to_owned()));
    let reported =
        press(&browser, &with_identifier(&asked, "identifier"), "identifier", "nobody@example.com").await.expect(422);
    assert_eq!(state(&reported).1, "error.reset");
    let asked =
        press(&browser, &with_identifier(&reported, "identifier"), "identifier", "ada@example.com").await.expect(200);
    assert_eq!(state(&asked), ("sign-in.reset".to_owned(), "code".to_owned()));
    assert!(asked.text.contains("a****@example.com") && !asked.text.contains("ada@example.com"), "{}", asked.text);
    let code = code_for(&app, "ada@example.com").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = press(&browser, &with_identifier(&asked, "code"), "code", wrong).await.expect(422);
    assert_eq!(state(&refused).1, "error.code");
    let again = press(&browser, &Form::with_a(&refused, "resend-code"), "send", "again").await.expect(200);
    assert_eq!(state(&again).1, "code.resent");
    let code = code_for(&app, "ada@example.com").await;
    let choose = press(&browser, &with_identifier(&again, "code"), "code", &code).await.expect(200);
    assert_eq!(state(&choose), ("sign-in.reset".to_owned(), "reset.new".to_owned()));
    assert!(choose.text.contains("you will be signed out") && choose.text.contains("At least 8 characters."));
    let weak = press(&browser, &with_identifier(&choose, "new-password"), "new-password", "12345678").await.expect(422);
    assert_eq!(state(&weak).1, "error.reset");
    assert!(!weak.text.contains("12345678"));
    // A reload shows where it stands.
    assert_eq!(state(&open(&browser, app.url(&link)).await.expect(200)).1, "reset.new");
    let done = with_identifier(&weak, "new-password").press(&browser, "new-password", OTHER).await.expect(303);
    assert_eq!(done.location().as_str(), app.url("/user?a=1"));
    open(&browser, app.url("/user")).await.expect(200);
    assert_eq!(open(&elsewhere, app.url("/user")).await.expect(303).location().path(), "/sign-in");
    // With somebody else in the middle of it.
    let browser = app.browser();
    open(&browser, app.url("/sign-in")).await.expect(200);
    let asked = begin(&app, &browser, "/sign-in/reset-password", "identifier", "ada@example.com").await.expect(200);
    assert_eq!(state(&asked).1, "code");
    let other = between(between(&asked.text, "id=\"edit\"", ">"), "href=\"", "\"").replace("&#38;", "&");
    assert_eq!(state(&open(&browser, app.url(&other)).await.expect(200)).1, "reset.begin");
}

#[tokio::test]
async fn where_there_are_no_passwords_there_is_nothing_to_reset() {
    let app = app().await;
    let browser = app.browser();
    let start = open(&browser, app.url("/sign-in")).await.expect(200);
    assert!(!start.text.contains("forgot-password") && !start.text.contains("type=\"password\""));
    let sent = open(&browser, app.url("/sign-in/reset-password")).await.expect(303);
    assert_eq!(sent.location().path(), "/sign-in");
    let up = open(&browser, app.url("/sign-up")).await.expect(200);
    assert!(!up.text.contains("type=\"password\""));
}
