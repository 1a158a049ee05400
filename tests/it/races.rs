//! What may happen once, asked for by many at once of two server processes on one database.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::browser::{Answer, Browser};
use crate::support::person::{APP, approve, begin, go, provider_url};
use crate::support::processes::rounds;
use crate::verification::code_for;

/// How often the simulated Google was asked to trade a code.
async fn exchanges(app: &TestApp) -> i64 {
    let state = app.browser().get(app.url("/_dev/providers/google/state")).await.expect(200).json();
    state["calls"]["token"].as_i64().unwrap_or_default()
}

async fn users(app: &TestApp) -> i64 {
    app.count("select count(*) from users where instance_id = $1 and $2 = ''", "").await
}

/// Another browser with the same client token.
fn copy_of(app: &TestApp, browser: &Browser) -> Browser {
    let copy = app.browser();
    copy.set_cookie("localhost", "__client", &browser.cookie("localhost", "__client").unwrap());
    copy
}

/// Callbacks all at once: every one is sent to the same place, or asked to start again.
async fn arrived(browser: &Arc<Browser>, callbacks: Vec<url::Url>) -> Vec<Answer> {
    let tasks = callbacks.into_iter().map(|callback| {
        let browser = Arc::clone(browser);
        tokio::spawn(async move { browser.get(callback).await })
    });
    let answers: Vec<Answer> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    for answer in &answers {
        match answer.status.as_u16() {
            303 => assert_eq!(answer.location().as_str(), format!("{APP}/done")),
            400 => assert_eq!(answer.error_code(), "oauth_callback_invalid"),
            status => panic!("{status}: {}", answer.text),
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 303));
    answers
}

#[tokio::test]
async fn of_twenty_equal_callbacks_one_exchanges_and_all_go_to_one_place() {
    let app = TestApp::processes(2).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let browser = Arc::new(app.browser());
        let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
        let callback = approve(&browser, provider_url(&begun), &format!("p{round}@example.com")).await;
        arrived(&browser, vec![callback; 20]).await;
        let made = i64::from(round) + 1;
        assert_eq!((exchanges(&app).await, users(&app).await), (made, made), "one exchange and one user a round");
    }
}

#[tokio::test]
async fn of_ten_codes_for_one_state_one_is_exchanged() {
    let app = TestApp::processes(2).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let browser = Arc::new(app.browser());
        let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
        let mut callbacks = Vec::new();
        for person in 0..10 {
            let hint = format!("p{round}-{person}@example.com");
            callbacks.push(approve(&browser, provider_url(&begun), &hint).await);
        }
        arrived(&browser, callbacks).await;
        let made = i64::from(round) + 1;
        assert_eq!((exchanges(&app).await, users(&app).await), (made, made), "one exchange and one user a round");
        let sessions = app.count("select count(*) from sessions where instance_id = $1 and $2 = ''", "").await;
        assert_eq!(sessions, made);
    }
}

#[tokio::test]
async fn of_ten_transfers_one_makes_a_user() {
    let app = TestApp::processes(2).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let browser = app.browser();
        go(&app, &browser, "sign_ins", "oauth_google", &format!("p{round}@example.com")).await.expect(303);
        let url = app.url("/v1/client/sign_ups");
        let transfers = (0..10).map(|_| {
            let (copy, url) = (copy_of(&app, &browser), url.clone());
            tokio::spawn(async move { copy.post_form(url, APP, &[("transfer", "true")]).await })
        });
        let answers: Vec<Answer> = join_all(transfers).await.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| answer.status.as_u16() < 500));
        assert_eq!(answers.iter().filter(|answer| answer.status.is_success()).count(), 1);
        assert_eq!(users(&app).await, i64::from(round) + 1);
    }
}

#[tokio::test]
async fn of_ten_sign_ups_with_one_account_one_makes_a_user() {
    let app = TestApp::processes(2).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let person = format!("p{round}@example.com");
        let mut callbacks = Vec::new();
        for _ in 0..10 {
            let browser = app.browser();
            let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
            let callback = approve(&browser, provider_url(&begun), &person).await;
            callbacks.push(tokio::spawn(async move { browser.get(callback).await.expect(303) }));
        }
        let places: Vec<String> =
            join_all(callbacks).await.into_iter().map(|done| done.unwrap().location().into()).collect();
        assert_eq!(places.iter().filter(|place| **place == format!("{APP}/done")).count(), 1, "{places:?}");
        assert_eq!(users(&app).await, i64::from(round) + 1);
    }
}

#[tokio::test]
async fn of_ten_sign_ups_with_one_address_one_owns_it() {
    let app = TestApp::processes(2).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let address = format!("p{round}@example.com");
        let mut callbacks = Vec::new();
        for other in 0..10 {
            let browser = app.browser();
            let begun = begin(&app, &browser, "sign_ups", "oauth_google").await.expect(200);
            let callback = approve(&browser, provider_url(&begun), &format!("p{round}-{other}@example.com")).await;
            callbacks.push((browser, callback));
        }
        share_address(&app, round, &address).await;
        let tasks = callbacks
            .into_iter()
            .map(|(browser, callback)| tokio::spawn(async move { browser.get(callback).await.expect(303) }));
        for done in join_all(tasks).await {
            done.unwrap();
        }
        let owners = "select count(distinct user_id) from identifications
            where instance_id = $1 and value_key = $2 and status = 'verified' and kind = 'email_address'";
        assert_eq!(app.count(owners, &address).await, 1, "round {round}");
        assert_eq!(users(&app).await, i64::from(round) + 1, "the others are asked whether they are that user");
    }
}

/// Gives everybody of a round the same address at their provider.
async fn share_address(app: &TestApp, round: u32, address: &str) {
    let like = format!("p{round}-%");
    let people: Vec<(String, String)> =
        sqlx::query_as("select provider, provider_user_id from simulator_people where login_hint like $1")
            .bind(like)
            .fetch_all(&app.app().db)
            .await
            .unwrap();
    assert_eq!(people.len(), 10);
    for (provider, id) in people {
        let url = app.url(&format!("/_dev/providers/{provider}/state"));
        let switch = json!({"set_email": {(id.as_str()): address}});
        let browser = app.browser();
        browser.send(browser.raw(http::Method::POST, &url).json(&switch)).await.expect(200);
    }
}

#[tokio::test]
async fn of_ten_redemptions_of_a_code_one_wins() {
    let app = TestApp::processes(2).await;
    let client = app.application(json!({})).await;
    let browser = app.browser();
    let person = app.person("ada").await;
    app.sign_in(&browser, &person).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let code = app.code(&browser, &client, &[]).await;
        let answers = join_all((0..10).map(|_| app.redeem(&client, &code, &[]))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        let errors: BTreeSet<String> = lost.iter().map(|answer| answer.json()["error"].to_string()).collect();
        assert_eq!(errors, [Value::from("invalid_grant").to_string()].into());
    }
    let grants = app.count("select count(*) from oauth_grants where instance_id = $1 and $2 = ''", "").await;
    assert_eq!(grants, i64::from(rounds()));
}

#[tokio::test]
async fn of_ten_uses_of_an_e_mail_code_one_makes_a_user() {
    let app = TestApp::processes(2).await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"attributes": {}}"#).await;
    for round in 0..rounds() {
        app.gather_statistics(round).await;
        let (browser, address) = (app.browser(), format!("p{round}@example.com"));
        let url = app.url("/v1/client/sign_ups");
        let begun = browser.post_form(&url, APP, &[("email_address", address.as_str())]).await.expect(200).json();
        let attempt = format!("{url}/{}", begun["response"]["id"].as_str().unwrap());
        let ask = [("strategy", "email_code")];
        browser.post_form(format!("{attempt}/prepare_verification"), APP, &ask).await.expect(200);
        let code = code_for(&app, &address).await;
        let uses = (0..10).map(|_| {
            let (copy, url, code) = (copy_of(&app, &browser), format!("{attempt}/attempt_verification"), code.clone());
            tokio::spawn(async move {
                copy.post_form(url, APP, &[("strategy", "email_code"), ("code", code.as_str())]).await
            })
        });
        let answers: Vec<Answer> = join_all(uses).await.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| answer.status.as_u16() < 500));
        let done =
            answers.iter().filter(|answer| answer.status == 200 && answer.json()["response"]["status"] == "complete");
        assert_eq!(done.count(), 1, "{:?}", answers.iter().map(|answer| &answer.text).collect::<Vec<_>>());
        let made = i64::from(round) + 1;
        let sessions = app.count("select count(*) from sessions where instance_id = $1 and $2 = ''", "").await;
        assert_eq!((users(&app).await, sessions), (made, made));
    }
}

/// A code has a million values, an account ten tries: over as many sign-ins, addresses and processes as there are.
#[tokio::test]
async fn of_a_thousand_parallel_guesses_of_codes_ten_are_verified() {
    const SIGN_INS: usize = 10;
    // As many as one address of the network may try at once.
    const AT_ONCE: usize = 25;
    let guesses = usize::try_from(rounds() * 2).unwrap().max(100);
    let app = TestApp::processes(2).await;
    go(&app, &app.browser(), "sign_ups", "oauth_google", "ada@example.com").await.expect(303);
    let (mut tasks, mut last) = (Vec::new(), None);
    for _ in 0..SIGN_INS {
        let browser = app.browser();
        let fields = [("identifier", "ada@example.com"), ("strategy", "email_code")];
        let begun = browser.post_form(app.url("/v1/client/sign_ins"), APP, &fields).await.expect(200).json();
        let id = begun["response"]["id"].as_str().unwrap();
        let url = app.url(&format!("/v1/client/sign_ins/{id}/attempt_first_factor"));
        for start in (0..guesses / SIGN_INS).step_by(AT_ONCE) {
            let copy = Arc::new(copy_of(&app, &browser));
            for _ in start..(start + AT_ONCE).min(guesses / SIGN_INS) {
                let (copy, url) = (Arc::clone(&copy), url.clone());
                // Seven digits are no code.
                let fields = [("strategy", "email_code"), ("code", "1234567")];
                tasks.push(async move { copy.post_form(url, APP, &fields).await });
            }
        }
        last = Some((browser, url));
    }
    assert_eq!(tasks.len(), guesses / SIGN_INS * SIGN_INS);
    let answers = join_all(tasks.into_iter().map(tokio::spawn)).await.into_iter().map(Result::unwrap);
    let codes: Vec<String> = answers.map(|answer| answer.error_code()).collect();
    let verified = |code: &&String| ["form_code_incorrect", "account_lockout_warning"].contains(&code.as_str());
    assert_eq!(codes.iter().filter(verified).count(), 10, "{codes:?}");
    // The right code comes too late.
    let (browser, url) = last.unwrap();
    let code = code_for(&app, "ada@example.com").await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    assert_eq!(browser.post_form(url, APP, &fields).await.expect(403).error_code(), "user_locked");
}
