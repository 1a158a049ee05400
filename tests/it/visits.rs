//! A visit is worth no row: the client that a page needs is issued and not stored, and stored once it does something.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use vestibule::config::limits::Rate;

use crate::pages::portal::signed_in;
use crate::pages::visitor::{Form, open};
use crate::support::person::{APP, begin, client, go, provider_url};
use crate::support::rows::{more_than, rows};
use crate::support::{Answer, Browser, TestApp, send};

const START: (&str, &str) = ("strategy", "oauth_google");

/// The client token that a browser holds.
fn token(browser: &Browser) -> String {
    browser.cookie("localhost", "__client").unwrap()
}

/// A browser that holds this one.
fn holding(app: &TestApp, token: &str) -> Browser {
    let browser = app.browser();
    browser.set_cookie("localhost", "__client", token);
    browser
}

async fn make_client(app: &TestApp, browser: &Browser) -> Answer {
    browser.post_form(app.url("/v1/client"), APP, &[]).await.expect(200)
}

#[tokio::test]
async fn a_thousand_visits_leave_no_row() {
    let app = TestApp::start().await;
    let client = app.application(json!({})).await;
    let authorize = app.authorize_url(&client, &[]).to_string();
    let before = rows(&app).await;
    let browser = app.browser();
    let visit = async |method: Method, url: &str| {
        send(browser.raw(method, url).header("accept", "text/html").header("origin", APP)).await
    };
    for _ in 0..200 {
        for path in ["/sign-in", "/sign-up"] {
            visit(Method::GET, &app.url(path)).await.expect(200);
        }
        let made = visit(Method::POST, &app.url("/v1/client")).await.expect(200);
        assert!(made.set_cookies().iter().any(|line| line.starts_with("__client=")), "the client was issued");
        assert_eq!(visit(Method::GET, &app.url("/v1/client")).await.expect(200).json()["response"], Value::Null);
        visit(Method::GET, &authorize).await.expect(302);
    }
    // The flow log notes ten authorization requests a minute of an address; an hour is longer than the test takes.
    let mut left = more_than(&app, &before).await;
    let (flows, steps) = (left.remove("flows").unwrap_or(0), left.remove("flow_steps").unwrap_or(0));
    assert!((1..=100).contains(&flows) && steps <= 4 * flows, "{flows} flows of 200, {steps} steps");
    assert_eq!(left, [].into());
}

#[tokio::test]
async fn a_first_visit_writes_nothing_and_asks_for_no_client() {
    let app = TestApp::start().await;
    let browser = app.browser();
    open(&app.browser(), app.url("/sign-in")).await.expect(200);
    let first = app.cost(open(&browser, app.url("/sign-in"))).await;
    assert_eq!((first.statements, first.commits), (1, 0), "the providers alone: {first:#?}");
    let second = app.cost(open(&browser, app.url("/sign-in"))).await;
    assert_eq!((second.statements, second.commits), (3, 0), "{second:#?}");
}

#[tokio::test]
async fn an_issued_client_stays_the_same_until_it_signs_in() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let made = make_client(&app, &browser).await.json()["response"].clone();
    assert_eq!((&made["object"], &made["sessions"], &made["sign_in"]), (&json!("client"), &json!([]), &Value::Null));
    let issued = token(&browser);
    assert_eq!(client(&app, &browser).await, made, "the SDK finds what it was given");
    assert_eq!(make_client(&app, &browser).await.json()["response"], made);

    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200).json();
    assert_eq!(begun["client"]["id"], made["id"], "it is stored under the id it had");
    assert_eq!(token(&browser), issued);
    go(&app, &browser, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    assert_ne!(token(&browser), issued, "signing in replaces the token");
    assert_eq!(client(&app, &browser).await["id"], made["id"]);
    assert_eq!(app.count("select count(*) from clients where instance_id = $1 and id <> $2", "").await, 1);
}

#[tokio::test]
async fn forms_of_two_tabs_that_were_open_before_anything_was_stored_are_one_browsers() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let sign_in = Form::on(&open(&browser, app.url("/sign-in")).await);
    let sign_up = Form::on(&open(&browser, app.url("/sign-up")).await);
    for form in [&sign_in, &sign_up, &sign_in] {
        form.press(&browser, START.0, START.1).await.expect(303);
    }
    assert_eq!(app.count("select count(*) from clients where instance_id = $1 and id <> $2", "").await, 1);
}

#[tokio::test]
async fn requests_at_once_store_one_client() {
    let app = TestApp::replicas(2).await;
    let browser = app.browser();
    let id = make_client(&app, &browser).await.json()["response"]["id"].clone();
    let starts = (0..10).map(|_| begin(&app, &browser, "sign_ins", "oauth_google"));
    for begun in futures_util::future::join_all(starts).await {
        assert_eq!(begun.expect(200).json()["client"]["id"], id);
    }
    assert_eq!(app.count("select count(*) from clients where instance_id = $1 and id <> $2", "").await, 1);
    assert_eq!(app.count("select count(*) from client_tokens where instance_id = $1 and client_id <> $2", "").await, 1);
}

/// What a browser is shown that presents `planted`: no client, and another token as soon as it gets one.
async fn is_nobody(app: &TestApp, planted: &str, why: &str) {
    let read = holding(app, planted).get(app.url("/v1/client")).await.expect(200).json();
    assert_eq!(read["response"], Value::Null, "{why}");
    let browser = holding(app, planted);
    make_client(app, &browser).await;
    assert_ne!(token(&browser), planted, "{why}: a page gives out another");
    let browser = holding(app, planted);
    begin(app, &browser, "sign_ins", "oauth_google").await.expect(200);
    assert_ne!(token(&browser), planted, "{why}: what is stored is ours");
    let form = Form::on(&open(&app.browser(), app.url("/sign-in")).await);
    form.press(&holding(app, planted), START.0, START.1).await.expect(403);
}

#[tokio::test]
async fn a_token_that_we_did_not_sign_is_never_stored() {
    let app = TestApp::start().await;
    app.second_instance().await;
    let browser = app.browser();
    make_client(&app, &browser).await;
    let (issued, signed) = (token(&browser), token(&signed_in(&app).await));
    let parts: Vec<&str> = issued.split('.').collect();
    let [secret, id, signature] = parts[..] else { panic!("{issued}") };
    let other = app.browser();
    make_client(&app, &other).await;
    let other = token(&other);
    let of_other: Vec<&str> = other.split('.').collect();
    for (why, forged) in [
        ("chosen", "attacker".to_owned()),
        ("no signature", format!("{secret}.{id}.")),
        ("another secret", format!("{}.{id}.{signature}", of_other[0])),
        ("another client", format!("{secret}.{}.{signature}", of_other[1])),
        ("another signature", format!("{secret}.{id}.{}", of_other[2])),
        ("more", format!("{issued}.")),
        ("the end of a stored one", format!("{signed}.{id}.{signature}")),
    ] {
        is_nobody(&app, &forged, why).await;
    }
    // The same ring signs for every instance.
    let host = app.origin().replace("http://localhost", "other.localhost");
    let request = app.browser().raw(Method::POST, &app.url("/v1/client")).header("origin", APP);
    let there = send(request.header("host", host)).await.expect(200);
    let line = there.set_cookies().into_iter().find(|line| line.starts_with("__client=")).unwrap();
    let foreign = line.trim_start_matches("__client=").split(';').next().unwrap().to_owned();
    is_nobody(&app, &foreign, "another instance's").await;
}

#[tokio::test]
async fn a_token_is_stored_once_and_names_nobody_after_it_was_replaced() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let id = make_client(&app, &browser).await.json()["response"]["id"].clone();
    let planted = token(&browser);
    go(&app, &browser, "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    app.advance(Duration::from_secs(11)).await;
    is_nobody(&app, &planted, "replaced").await;
    let browser = holding(&app, &planted);
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200).json();
    assert_ne!(begun["client"]["id"], id, "the client that signed in is not this one");
    assert_eq!(begun["client"]["sessions"], json!([]));
}

#[tokio::test]
async fn a_removed_client_does_not_come_back() {
    let app = TestApp::start().await;
    let browser = app.browser();
    make_client(&app, &browser).await;
    let stored = token(&browser);
    begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    browser.send(browser.request(Method::DELETE, &app.url("/v1/client")).header("origin", APP)).await.expect(200);
    is_nobody(&app, &stored, "removed").await;
}

#[tokio::test]
async fn an_issued_client_is_good_for_a_day_and_replaced_before() {
    let app = TestApp::start().await;
    let browser = app.browser();
    make_client(&app, &browser).await;
    let first = token(&browser);
    app.advance(Duration::from_secs(11 * 3600)).await;
    open(&browser, app.url("/sign-in")).await.expect(200);
    assert_eq!(token(&browser), first);
    app.advance(Duration::from_secs(2 * 3600)).await;
    open(&browser, app.url("/sign-in")).await.expect(200);
    assert_ne!(token(&browser), first, "one that would end under the form is replaced");
    let begun = begin(&app, &holding(&app, &first), "sign_ins", "oauth_google").await.expect(200);
    assert!(!begun.set_cookies().iter().any(|line| line.starts_with("__client=")), "it is good until then");

    let second = token(&browser);
    app.advance(Duration::from_secs(24 * 3600)).await;
    is_nobody(&app, &second, "a day old").await;
}

/// What a browser can ask for again and again without an account, and what has a budget since it leaves something.
#[tokio::test]
async fn signing_out_of_nothing_leaves_no_row_and_guessed_nonces_are_counted() {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        config.limits.rates.create_attempt = Rate { count: 5, window: Duration::from_secs(3600) };
    })
    .await;
    let browser = app.browser();
    begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let before = rows(&app).await;
    let sign_out = async || {
        let out = browser.request(Method::DELETE, &app.url("/v1/client/sessions")).header("origin", APP);
        browser.send(out).await
    };
    for _ in 0..4 {
        let held = token(&browser);
        sign_out().await.expect(200);
        assert_ne!(token(&browser), held, "a copy is dead");
        assert!(client(&app, &browser).await["sign_in"]["id"].is_string(), "the browser is the same");
    }
    // It has the budget of what anybody may begin. Beyond it nothing is written, nor for a session of nobody.
    let held = token(&browser);
    let written = async || {
        app.count(
            "select sum(xmin::text::bigint + xmax::text::bigint)::bigint from client_tokens where instance_id = $1
            and client_id <> $2",
            "",
        )
        .await
    };
    let seen = written().await;
    for _ in 0..3 {
        let refused = sign_out().await.expect(429);
        assert!(refused.error_code() == "too_many_requests" && refused.header("retry-after").is_some());
        let end = app.url("/v1/client/sessions/sess_000000000000000000000000000/end");
        assert_eq!(browser.post_form(end, APP, &[]).await.expect(404).error_code(), "resource_not_found");
    }
    assert_eq!((token(&browser), written().await), (held, seen));
    // Refusals that belong to no attempt are noted, ten a minute.
    let mut left = more_than(&app, &before).await;
    let (flows, steps) = (left.remove("flows").unwrap_or(0), left.remove("flow_steps").unwrap_or(0));
    assert!(flows <= 6 && steps <= flows, "{flows} flows, {steps} steps");
    assert_eq!(left, [].into());

    let guess = app.url("/v1/client?_is_native=1&rotating_token_nonce=x");
    let mut guesses = 0;
    let refused = loop {
        let request = app.browser().raw(Method::GET, &guess).header("authorization", token(&browser));
        let answer = send(request).await;
        if answer.status == 429 {
            break answer;
        }
        guesses += 1;
        assert!(answer.status == 200 && guesses < 30, "no limit");
    };
    assert!(guesses >= 3 && refused.error_code() == "too_many_requests", "{guesses}");
    assert!(refused.header("retry-after").is_some());
    let left = more_than(&app, &before).await;
    assert_eq!(left.get("audit_events"), Some(&guesses), "{left:?}");
}

#[tokio::test]
async fn approvals_of_a_simulated_provider_are_counted() {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        config.limits.rates.authorize = Rate { count: 4, window: Duration::from_secs(3600) };
    })
    .await;
    let browser = app.browser();
    let there = provider_url(&begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200));
    let mut approved = 0;
    let refused = loop {
        let hint = format!("person{approved}@example.com");
        let mut url = there.clone();
        url.query_pairs_mut().append_pair("login_hint", &hint).append_pair("auto", "1");
        let answer = browser.get(url).await;
        if answer.status == 429 {
            break answer;
        }
        approved += 1;
        assert!(answer.status == 302 && approved < 50, "no limit: {}", answer.status);
    };
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        app.count("select count(*) from simulator_people where instance_id = $1 and provider <> $2", "").await,
        approved
    );
}
