//! A stranger's browser, a copied client token, and many requests at once.

use std::sync::Arc;
use std::time::Duration;

use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{APP, approve, begin, client, provider_url, sign_up};
use crate::support::processes::rounds;

/// Another browser with the same client token.
fn copy_of(app: &TestApp, browser: &Browser) -> Browser {
    let copy = app.browser();
    copy.set_cookie("localhost", "__client", &browser.cookie("localhost", "__client").unwrap());
    copy
}

fn hands_out_a_token(answer: &Answer) -> bool {
    answer.set_cookies().iter().any(|line| line.starts_with("__client="))
}

async fn sign_out(app: &TestApp, browser: &Browser) -> Answer {
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await
}

async fn users(app: &TestApp) -> i64 {
    app.backend_get("/v1/users/count").await.json()["total_count"].as_i64().unwrap()
}

#[tokio::test]
async fn a_replaced_client_token_finishes_no_authorization_and_writes_nothing() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let begun = begin(&app, &browser, "sign_ins", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "ada@example.com").await;
    let copy = copy_of(&app, &browser);
    sign_out(&app, &browser).await.expect(200);
    let refused = copy.get(callback.as_str()).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid");
    assert!(refused.set_cookies().is_empty());
    for (path, form) in [
        ("/v1/client/sessions?_method=DELETE", vec![]),
        ("/v1/client/sign_ups", vec![("transfer", "true")]),
        ("/v1/client?_method=DELETE", vec![]),
    ] {
        assert!(!hands_out_a_token(&copy.post_form(app.url(path), APP, &form).await), "{path}");
    }
    // The attempt is still there for the browser whose it is.
    let arrived = browser.get(callback.as_str()).await.expect(303);
    assert_eq!(arrived.location().as_str(), format!("{APP}/sso-callback"));
}

/// The simulated provider answers while this transaction does not hold its table.
async fn hold_the_provider(app: &TestApp) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = app.db.pool().await.begin().await.unwrap();
    sqlx::query("lock table simulator_tokens in access exclusive mode").execute(&mut *held).await.unwrap();
    held
}

/// A callback whose provider is slow; returns once its state is consumed.
async fn slow_callback(app: &TestApp, browser: &Arc<Browser>, url: url::Url) -> tokio::task::JoinHandle<Answer> {
    let asking = Arc::clone(browser);
    let task = tokio::spawn(async move { asking.get(url).await });
    let consumed = "select count(*) from provider_authorizations where consumed_at is not null and finished_at is null";
    while sqlx::query_scalar::<_, i64>(consumed).fetch_one(&app.app().db).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    task
}

/// Fixation by a slow provider: what began under a client token must not end as a session after the token was replaced,
/// because its answer would hand the next token to whoever holds the old one.
#[tokio::test]
async fn a_slow_provider_s_answer_counts_only_for_the_client_token_and_attempt_it_was_asked_for() {
    let app = TestApp::start().await;
    for replace in ["sign out", "start again", "another authorization"] {
        let attacker = Arc::new(app.browser());
        let begun = begin(&app, &attacker, "sign_ups", "oauth_google").await.expect(200);
        let callback = approve(&attacker, provider_url(&begun), "mallory@example.com").await;
        let victim = copy_of(&app, &attacker);
        let held = hold_the_provider(&app).await;
        let late = slow_callback(&app, &attacker, callback).await;
        let attempt = begun.json()["response"]["id"].as_str().unwrap().to_owned();
        let added = format!("/v1/client/sign_ups/{attempt}?_method=PATCH");
        let again = [("strategy", "oauth_google"), ("redirect_url", "/x")];
        match replace {
            "sign out" => sign_out(&app, &victim).await.expect(200),
            "another authorization" => victim.post_form(app.url(&added), APP, &again).await.expect(200),
            _ => begin(&app, &victim, "sign_ins", "oauth_google").await.expect(200),
        };
        held.rollback().await.unwrap();
        let late = late.await.unwrap().expect(400);
        assert_eq!(late.error_code(), "oauth_callback_invalid", "{replace}");
        assert!(late.set_cookies().is_empty());
        assert!(client(&app, &victim).await["sessions"].as_array().unwrap().is_empty(), "{replace}");
        assert_eq!(users(&app).await, 0);
    }
}

/// Whoever waits for the client's lock while its token is replaced must not act with the old one.
#[tokio::test]
async fn of_two_acts_with_one_token_only_one_gets_the_next_token() {
    let app = TestApp::replicas(2).await;
    for round in 0..rounds() {
        let browser = Arc::new(app.browser());
        sign_up(&app, &browser, "oauth_google", &format!("p{round}@example.com")).await;
        let mut held = app.db.pool().await.begin().await.unwrap();
        sqlx::query("select from clients for update").execute(&mut *held).await.unwrap();
        let url = app.url("/v1/client/sessions?_method=DELETE");
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (copy, url) = (copy_of(&app, &browser), url.clone());
                tokio::spawn(async move { copy.post_form(url, APP, &[]).await })
            })
            .collect();
        let waiting =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        while tasks.iter().all(|task| !task.is_finished())
            && sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *held).await.unwrap() < 2
        {
            tokio::task::yield_now().await;
        }
        held.rollback().await.unwrap();
        let mut winners = 0;
        for task in tasks {
            winners += usize::from(hands_out_a_token(&task.await.unwrap()));
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn a_banned_user_is_signed_out_everywhere_at_once() {
    let app = TestApp::replicas(2).await;
    let browser = app.browser();
    let user = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let session = client(&app, &browser).await["sessions"][0]["id"].as_str().unwrap().to_owned();
    app.execute("update users set banned_at = now() where instance_id = $1 and id = $2", &user).await;
    for _ in 0..2 {
        assert!(client(&app, &browser).await["sessions"].as_array().unwrap().is_empty());
        for act in ["tokens", "touch"] {
            let url = app.url(&format!("/v1/client/sessions/{session}/{act}"));
            let refused = browser.post_form(url, APP, &[]).await;
            assert!(refused.status.is_client_error(), "{act}: {}", refused.text);
            assert!(!refused.text.contains("jwt"), "{act}");
        }
        assert_eq!(browser.get(app.url("/v1/me")).await.status, 401);
        let handshake = app.url("/v1/client/handshake?redirect_url=http://localhost:3000/");
        browser.get(handshake).await.expect(307);
        let token = browser.cookie("localhost", "__clerk_handshake").unwrap();
        let directives = crate::support::oauth::claims(&token)["handshake"].to_string();
        assert!(directives.contains("__session=;") && !directives.contains("__session=ey"), "{directives}");
    }
    // What a ban does to the rows comes with the ban itself.
    app.execute("delete from sessions where instance_id = $1 and user_id = $2", &user).await;
}

#[tokio::test]
async fn the_handshake_goes_to_no_foreign_origin_however_it_is_spelled() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let hostile = [
        "https://evil.example",
        "http://evil.example/",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "http://localhost@evil.example/",
        "http://localhost:3000@evil.example",
        "http://evil.example\\@localhost/",
        "http://localhost.evil.example/",
        "http://evil.example#@localhost",
        "http://evil.example?localhost",
        "http://evil.example/localhost",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://localhost/",
        "ws://localhost/",
        "blob:http://localhost/x",
        "about:blank",
        "view-source:http://localhost",
        "intent://localhost#Intent;end",
        "myapp://callback",
        " http://evil.example",
        "http://local\thost/",
        "http://localhost/\r\nSet-Cookie: a=b",
        "http://localhost/%0d%0aX\n",
        "http://user:pass@localhost/",
        "http://[::1%25eth0]/",
        "http://localhost:99999/",
        "http://ｅｖｉｌ.example/",
        "http://127.0.0.1.evil.example/",
        "http://0.0.0.0/",
        "http://128.0.0.1/",
        "http://[::2]/",
        "",
        "relative/path",
        "/path",
        "?x=y",
        "#f",
        "http://",
        "https://",
        "http://localhost\\.evil.example",
    ];
    for page in hostile {
        let mut url: url::Url = app.url("/v1/client/handshake").parse().unwrap();
        url.query_pairs_mut().append_pair("redirect_url", page);
        let refused = browser.get(url).await;
        assert!(refused.status.is_client_error(), "{page:?}: {} {:?}", refused.status, refused.header("location"));
        assert!(refused.header("location").is_none() && refused.set_cookies().is_empty(), "{page:?}");
    }
}

#[tokio::test]
async fn a_callback_can_not_be_moved_to_another_instance_or_browser() {
    let app = TestApp::start().await;
    app.second_instance().await;
    let (browser, victim) = (app.browser(), app.browser());
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), "mallory@example.com").await;
    // Login forgery: the victim opens the attacker's link, with a client of their own or without one.
    for _ in 0..2 {
        let refused = victim.get(callback.as_str()).await.expect(400);
        assert!(refused.set_cookies().is_empty());
        begin(&app, &victim, "sign_ins", "oauth_google").await.expect(200);
    }
    // The same browser at another instance's host.
    let elsewhere = callback.as_str().replace("localhost", "other.localhost");
    let token = browser.cookie("localhost", "__client").unwrap();
    let request = browser.raw(http::Method::GET, callback.as_str());
    let host = url::Url::parse(&elsewhere).unwrap();
    let host = format!("{}:{}", host.host_str().unwrap(), host.port().unwrap());
    let foreign = request.header("host", host).header("cookie", format!("__client={token}"));
    let refused = crate::support::browser::send(foreign).await.expect(400);
    assert_eq!(refused.error_code(), "oauth_callback_invalid");
    browser.get(callback).await.expect(303);
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(client(&app, &victim).await["sessions"].as_array().unwrap().len(), 0);
}
