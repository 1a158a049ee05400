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
/// How many seconds somebody goes on trying.
const PATIENCE: u32 = 30;
/// How many people may be starting again while the next kill is prepared.
const RECOVERING: usize = 16;

/// A person on the way back from the provider.
struct AuthorizationRun {
    browser: Browser,
    person: String,
    callback: Url,
}

/// Somebody new signs up, over the process that lives.
async fn authorization(app: &TestApp, person: String) -> AuthorizationRun {
    let browser = app.browser_of_the_first();
    let begun = begin(app, &browser, "sign_ups", "oauth_google").await.expect(200);
    let callback = approve(&browser, provider_url(&begun), &person).await;
    AuthorizationRun { browser, person, callback }
}

/// Sends callbacks to the second process; who it was, and the status of an answer that came.
async fn callbacks(app: &TestApp, trips: Vec<AuthorizationRun>) -> Vec<(AuthorizationRun, Option<u16>)> {
    let victim = app.ports()[1];
    let asked = trips.into_iter().map(|authorization| async move {
        let answer = authorization.browser.try_get_at(victim, &authorization.callback).await;
        (authorization, answer.map(|answer| answer.status.as_u16()))
    });
    join_all(asked).await
}

/// How long callbacks of a process take that has just started; until a first kill tells better.
async fn typical(app: &TestApp) -> Duration {
    let trips = join_all((0..AT_ONCE).map(|one| authorization(app, format!("first-{one}@example.com")))).await;
    let begun = Instant::now();
    assert!(callbacks(app, trips).await.iter().all(|(_, status)| *status == Some(303)));
    begun.elapsed()
}

/// What a person does who got no answer: loads the page again, then starts again, at the process that lives.
async fn recover(app: Arc<TestApp>, authorization: AuthorizationRun) {
    let AuthorizationRun { browser, person, callback } = authorization;
    let reloaded = browser.get(callback).await;
    match reloaded.status.as_u16() {
        303 => {}
        400 => assert_eq!(reloaded.error_code(), "oauth_callback_invalid"),
        status => panic!("{person}: a reload answered {status}: {}", reloaded.text),
    }
    let mut begun = begin(&app, &browser, "sign_ups", "oauth_google").await;
    // The answer with the next client token was lost: for a moment the old one is taken for that of a request which
    // another one overtook, then for none.
    for _ in 0..PATIENCE {
        if begun.status != 409 {
            break;
        }
        assert_eq!(begun.error_code(), "resource_locked");
        tokio::time::sleep(Duration::from_secs(1)).await;
        begun = begin(&app, &browser, "sign_ups", "oauth_google").await;
    }
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
    let mut span = typical(&app).await;
    let (mut answered, mut cut) = (0, 0);
    let mut recovering = JoinSet::new();
    for kill in 0..kills() {
        app.gather_statistics(kill).await;
        let people = (0..AT_ONCE).map(|one| authorization(&app, format!("k{kill}-{one}@example.com")));
        let trips = join_all(people).await;
        let under_way = tokio::spawn({
            let app = Arc::clone(&app);
            async move { callbacks(&app, trips).await }
        });
        random_pause(span).await;
        app.kill(1);
        let mut answers = 0;
        for (authorization, status) in under_way.await.unwrap() {
            assert!(status.is_none_or(|status| status == 303), "{}: {status:?}", authorization.person);
            answers += u32::from(status.is_some());
            recovering.spawn(recover(Arc::clone(&app), authorization));
        }
        (answered, cut) = (answered + answers, cut + AT_ONCE - answers);
        // The moments spread over the whole callback, however busy the machine is: half of them shall be answered.
        span = if answers * 2 < AT_ONCE { span * 8 / 7 } else { span * 7 / 8 };
        while recovering.len() > RECOVERING {
            recovering.join_next().await.unwrap().unwrap();
        }
        app.restart(1).await;
    }
    while let Some(done) = recovering.join_next().await {
        done.unwrap();
    }
    println!("{} kills: {cut} callbacks cut off, {answered} answered before", kills());
    // Of so many moments, some lie before the answer and some after it; otherwise nothing was tested.
    assert!(kills() < 100 || (cut > 0 && answered > 0), "{cut} callbacks cut off, {answered} answered");
    consistent(&app, i64::from((kills() + 1) * AT_ONCE)).await;
}

/// One user per person, and nothing that hangs in the air, beside `tests/invariants.sql`.
async fn consistent(app: &TestApp, people: i64) {
    let count = async |statement| app.count(statement, "").await;
    assert_eq!(count("select count(*) from users where instance_id = $1 and $2 = ''").await, people);
    assert_eq!(count("select count(*) from external_accounts where instance_id = $1 and $2 = ''").await, people);
    let without_flow = "select count(*) from users u where instance_id = $1 and $2 = '' and not exists
        (select from audit_events a where a.user_id = u.id and a.action = 'user.created')";
    assert_eq!(count(without_flow).await, 0, "users whose beginning stands nowhere");
    let tokenless = "select count(*) from external_accounts e where instance_id = $1 and $2 = '' and not exists
        (select from provider_tokens t where t.external_account_id = e.id)";
    assert_eq!(count(tokenless).await, 0, "accounts without tokens");
    let orphans = "select count(*) from sessions s where s.instance_id = $1 and $2 = ''
        and not exists (select from sign_ins a where a.created_session_id = s.id)
        and not exists (select from sign_ups a where a.created_session_id = s.id)";
    assert_eq!(count(orphans).await, 0, "sessions that no attempt began");
    app.invariants().await;
}
