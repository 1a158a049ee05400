//! One of two server processes is killed at random moments of callbacks. Whatever was cut off is there as a whole or not
//! at all, and the person's new start works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinSet;
use url::Url;

use crate::support::TestApp;
use crate::support::browser::Browser;
use crate::support::person::{APP, approve, begin, client, provider_url, transfer};
use crate::support::processes::{kills, random_pause};

/// How many callbacks are under way at each kill.
const AT_ONCE: u32 = 3;
/// How many people may be starting again while the next kill is prepared.
const RECOVERING: usize = 16;

/// A person on the way back from the provider.
struct Trip {
    browser: Browser,
    person: String,
    callback: Url,
}

/// Somebody new signs up, over the process that lives.
async fn trip(app: &TestApp, person: String) -> Trip {
    let browser = app.browser_of_the_first();
    let begun = begin(app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), &person).await;
    Trip { browser, person, callback }
}

/// How long a callback takes here and now; the longest of a few.
async fn typical(app: &TestApp) -> Duration {
    let mut longest = Duration::ZERO;
    for warm in 0..4 {
        let trip = trip(app, format!("warm{warm}@example.com")).await;
        let begun = Instant::now();
        trip.browser.try_get_at(app.ports()[1], &trip.callback).await.expect("an answer").expect(303);
        longest = if warm == 0 { Duration::ZERO } else { longest.max(begun.elapsed()) };
    }
    longest
}

/// What a person does who got no answer: loads the page again, then starts again, at the process that lives.
async fn recover(app: Arc<TestApp>, trip: Trip) {
    let Trip { browser, person, callback } = trip;
    let reloaded = browser.get(callback).await;
    match reloaded.status.as_u16() {
        303 => {}
        400 => assert_eq!(reloaded.error_code(), "oauth_callback_invalid"),
        status => panic!("{person}: a reload answered {status}: {}", reloaded.text),
    }
    let begun = begin(&app, &browser, "sign_ups", "oauth_google").await;
    match begun.status.as_u16() {
        200 => {
            let callback = approve(&browser, provider_url(&begun), &person).await;
            let back = browser.get(callback).await.expect(303);
            if back.location().as_str() != format!("{APP}/done") {
                // The user is there: what was cut off had been done.
                transfer(&app, &browser, "sign_ins").await.expect(200);
            }
        }
        400 => assert_eq!(begun.error_code(), "session_exists", "{person}"),
        status => panic!("{person}: a new start answered {status}: {}", begun.text),
    }
    let found = client(&app, &browser).await;
    let address = &found["sessions"][0]["user"]["email_addresses"][0]["email_address"];
    assert_eq!(address.as_str(), Some(person.as_str()), "the new start works");
}

#[tokio::test]
async fn a_killed_callback_is_done_as_a_whole_or_not_at_all() {
    let app = Arc::new(TestApp::processes(2).await);
    let victim = app.ports()[1];
    let span = typical(&app).await * 5 / 4;
    let (mut answered, mut cut) = (0, 0);
    let mut recovering = JoinSet::new();
    for kill in 0..kills() {
        let people = (0..AT_ONCE).map(|one| trip(&app, format!("k{kill}-{one}@example.com")));
        let trips = join_all(people).await;
        let callbacks: Vec<_> = trips
            .into_iter()
            .map(|trip| {
                tokio::spawn(async move {
                    let answer = trip.browser.try_get_at(victim, &trip.callback).await;
                    (trip, answer)
                })
            })
            .collect();
        random_pause(span).await;
        app.kill(1);
        for done in callbacks {
            let (trip, answer) = done.await.unwrap();
            match answer {
                Some(answer) => {
                    answer.expect(303);
                    answered += 1;
                }
                None => cut += 1,
            }
            recovering.spawn(recover(Arc::clone(&app), trip));
        }
        while recovering.len() > RECOVERING {
            recovering.join_next().await.unwrap().unwrap();
        }
        app.restart(1).await;
    }
    while let Some(done) = recovering.join_next().await {
        done.unwrap();
    }
    println!("{} kills: {cut} callbacks cut off, {answered} answered before", kills());
    consistent(&app, i64::from(kills() * AT_ONCE) + 4).await;
}

/// One user per person, and nothing that hangs in the air, beside `tests/invariants.sql`.
async fn consistent(app: &TestApp, people: i64) {
    let count = async |statement| app.count(statement, "").await;
    assert_eq!(count("select count(*) from users where instance_id = $1 and $2 = ''").await, people);
    assert_eq!(count("select count(*) from external_accounts where instance_id = $1 and $2 = ''").await, people);
    let untold = "select count(*) from users u where instance_id = $1 and $2 = '' and not exists
        (select from audit_events a where a.user_id = u.id and a.action = 'user.created')";
    assert_eq!(count(untold).await, 0, "users whose beginning stands nowhere");
    let tokenless = "select count(*) from external_accounts e where instance_id = $1 and $2 = '' and not exists
        (select from provider_tokens t where t.external_account_id = e.id)";
    assert_eq!(count(tokenless).await, 0, "accounts without tokens");
    let orphans = "select count(*) from sessions s where s.instance_id = $1 and $2 = ''
        and not exists (select from sign_ins a where a.created_session_id = s.id)
        and not exists (select from sign_ups a where a.created_session_id = s.id)";
    assert_eq!(count(orphans).await, 0, "sessions that no attempt began");
    app.invariants().await;
}
