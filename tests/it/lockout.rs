//! Lockout: tries are counted before they are believed, strangers' failures lock strangers out,
//! and a browser the user knows stays in.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use vestibule::actions::password;
use vestibule::config::limits::Rate;
use vestibule::context::Ctx;
use vestibule::crypto::Secret;
use vestibule::model::id::{ClientId, UserId};
use vestibule::model::problem::Error;
use vestibule::store::{directory, user_passwords};

use crate::support::TestApp;
use crate::support::browser::send;
use crate::support::person::{APP, client, go, sign_up};

const PASSWORD: &str = "blauwale fliegen nie";

/// A user with a password, and the browser they signed up with.
struct Person {
    id: UserId,
    known: ClientId,
}

async fn ctx(app: &TestApp, replica: usize) -> Ctx {
    let shared = Arc::clone(&app.apps[replica]);
    let instance = directory::by_id(&shared.db, &app.instance).await.unwrap().unwrap();
    Ctx::new(shared, Arc::new(instance), app.ctx().await.from)
}

async fn person(app: &TestApp, name: &str) -> Person {
    let id = sign_up(app, &app.browser(), "oauth_google", &format!("{name}@example.com")).await;
    let ctx = ctx(app, 0).await;
    let digest = ctx.app.passwords.hash(ctx.rng(), &Secret::from(PASSWORD.to_owned())).await.unwrap();
    let id = UserId::parse(&id).unwrap();
    user_passwords::set(&mut ctx.db(), &id, &digest).await.unwrap();
    let known: String =
        sqlx::query_scalar("select client_id from known_clients where instance_id = $1 and user_id = $2")
            .bind(app.instance.as_str())
            .bind(id.as_str())
            .fetch_one(&app.app().db)
            .await
            .unwrap();
    Person { id, known: ClientId::parse(&known).unwrap() }
}

fn stranger(ctx: &Ctx) -> ClientId {
    ClientId::new(ctx.now, ctx.rng())
}

async fn prove(ctx: &Ctx, user: Option<&UserId>, client: &ClientId, text: &str) -> Result<String, Error> {
    let place = loop {
        // Whoever finds the pool full comes again.
        match ctx.app.passwords.place() {
            Ok(place) => break place,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
        }
    };
    password::check_password(ctx, &place, user, client, &Secret::from(text.to_owned())).await
}

/// The code of the answer, or `ok`.
async fn try_password(ctx: &Ctx, user: &UserId, client: &ClientId, text: &str) -> String {
    match prove(ctx, Some(user), client, text).await {
        Ok(_) => "ok".to_owned(),
        Err(Error::Problem(problem)) => problem.code().name.to_owned(),
        Err(Error::Fault(fault)) => format!("fault: {}", fault.source),
    }
}

fn was_verified(code: &str) -> bool {
    ["ok", "form_password_incorrect", "account_lockout_warning"].contains(&code)
}

#[tokio::test]
async fn of_a_thousand_parallel_guesses_ten_are_verified_and_a_known_browser_stays_in() {
    let app = TestApp::with(2, |config| {
        config.database.max_connections = 12;
        config.database.acquire_timeout = std::time::Duration::from_secs(60);
    })
    .await;
    let ada = person(&app, "ada").await;
    let replicas = [ctx(&app, 0).await, ctx(&app, 1).await];
    let guesses = (0..1_000).map(|index| {
        let ctx = &replicas[index % 2];
        let (client, text) = (stranger(ctx), format!("wrong guess number {index}"));
        let ada = &ada;
        async move { try_password(ctx, &ada.id, &client, &text).await }
    });
    let codes = futures_util::future::join_all(guesses).await;
    let verified = codes.iter().filter(|code| was_verified(code)).count();
    assert_eq!(verified, 10);
    // All others were refused, or waited for the account until a busy machine's patience ended.
    let is_refused = |code: &str| code == "user_locked" || code.contains("lock timeout");
    assert!(codes.iter().all(|code| was_verified(code) || is_refused(code)), "{codes:?}");
    // The right password of a stranger is as good as a wrong one; the browser that Ada knows is not shut out.
    let now = ctx(&app, 0).await;
    assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "user_locked");
    assert_eq!(try_password(&now, &ada.id, &ada.known, PASSWORD).await, "ok");
    let shown = app.backend_get(&format!("/v1/users/{}", ada.id)).await.json();
    assert_eq!((&shown["locked"], &shown["verification_attempts_remaining"]), (&json!(true), &json!(0)));
    // An hour later the lock is over.
    app.advance(std::time::Duration::from_secs(3_601)).await;
    let later = ctx(&app, 1).await;
    assert_eq!(try_password(&later, &ada.id, &stranger(&later), PASSWORD).await, "ok");
}

#[tokio::test]
async fn a_known_browser_has_ten_tries_of_its_own_which_lock_nobody_else() {
    let app = TestApp::start().await;
    let ada = person(&app, "ada").await;
    let now = ctx(&app, 0).await;
    let mut codes = Vec::new();
    for _ in 0..11 {
        codes.push(try_password(&now, &ada.id, &ada.known, "wrong").await);
    }
    assert_eq!(codes[..7], vec!["form_password_incorrect"; 7]);
    assert_eq!(codes[7..10], vec!["account_lockout_warning"; 3]);
    // Its own tries are used up; from here on it is a stranger like any other, and those have all of theirs.
    assert_eq!(codes[10], "form_password_incorrect");
    assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "ok");
}

/// Both APIs say how many tries strangers have left by the rule that is enforced.
#[tokio::test]
async fn the_tries_that_are_left_are_counted_by_the_instances_rule() {
    let app = TestApp::start().await;
    set_attempts(&app, "5").await;
    let ada = person(&app, "ada").await;
    let browser = app.browser();
    go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    let left = async || {
        let user = app.backend_get(&format!("/v1/users/{}", ada.id)).await.expect(200).json();
        crate::shapes::assert_published("backend", "User", &user);
        let own = client(&app, &browser).await["sessions"][0]["user"].clone();
        let member = "verification_attempts_remaining";
        assert_eq!((&own["locked"], &own[member]), (&user["locked"], &user[member]), "the other API");
        (user["locked"] == true, user[member].clone())
    };
    assert_eq!(left().await, (false, json!(5)));
    let now = ctx(&app, 0).await;
    for tries in [4, 3, 2, 1, 0] {
        assert!(was_verified(&try_password(&now, &ada.id, &stranger(&now), "wrong").await));
        assert_eq!(left().await, (tries == 0, json!(tries)));
    }
    assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "user_locked");
    // A stricter or milder rule counts what failed before it.
    set_attempts(&app, "7").await;
    assert_eq!(left().await, (true, json!(2)));
    // A lock that is over gave all tries back, and accounts that never lock have no number of them.
    set_attempts(&app, "5").await;
    app.advance(std::time::Duration::from_secs(3_601)).await;
    assert_eq!(left().await, (false, json!(5)));
    let later = ctx(&app, 0).await;
    assert!(was_verified(&try_password(&later, &ada.id, &stranger(&later), "wrong").await));
    assert_eq!(left().await, (false, json!(4)));
    set_attempts(&app, "0").await;
    assert_eq!(left().await, (false, json!(null)));
}

/// Sets after how many failures accounts lock.
async fn set_attempts(app: &TestApp, attempts: &str) {
    let change =
        "update instances set settings = jsonb_set(settings, '{lockout}', jsonb_build_object('attempts', $2::int))
        where id = $1";
    app.execute(change, attempts).await;
    app.app().forget_directory();
}

#[tokio::test]
async fn a_right_password_takes_its_try_back() {
    let app = TestApp::start().await;
    let ada = person(&app, "ada").await;
    let now = ctx(&app, 0).await;
    for _ in 0..9 {
        assert!(was_verified(&try_password(&now, &ada.id, &stranger(&now), "wrong").await));
    }
    // The tenth is right, and so are the next: no lock.
    for _ in 0..3 {
        assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "ok");
    }
    assert_eq!(try_password(&now, &ada.id, &stranger(&now), "wrong").await, "account_lockout_warning");
    assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "user_locked");
    // While the right ones were compared the account was locked, too, and both is written down.
    let locks =
        "select count(*) filter (where action = 'user.locked') - count(*) filter (where action = 'user.unlocked')
        from audit_events where instance_id = $1 and user_id = $2";
    assert_eq!(app.count(locks, ada.id.as_str()).await, 1);
}

/// A provider's verification is as good as ever: who is locked out by strangers' guesses hears so after it, and only on
/// a browser that is a stranger, too.
#[tokio::test]
async fn a_known_browser_signs_in_by_provider_while_strangers_are_locked_out() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let id = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    browser.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let lock = "update users set failed_attempts = 10, locked_at = now(), locked_until = now() + interval '1 h',
        lock_reason = 'attempts' where instance_id = $1 and id = $2";
    app.execute(lock, &id).await;
    let elsewhere = app.browser();
    go(&app, &elsewhere, "sign_ins", "oauth_google", "ada@example.com").await;
    let refused = client(&app, &elsewhere).await;
    assert_eq!(refused["sign_in"]["first_factor_verification"]["error"]["code"], "user_locked");
    go(&app, &browser, "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    assert_eq!(client(&app, &browser).await["sessions"][0]["user"]["id"], id.as_str());
    let locked = "select count(*) from users where instance_id = $1 and id = $2 and failed_attempts = 10";
    assert_eq!(app.count(locked, &id).await, 1, "strangers have no new tries");
}

#[tokio::test]
async fn a_refusal_says_how_long() {
    let app = TestApp::start().await;
    let ada = person(&app, "ada").await;
    let now = ctx(&app, 0).await;
    for _ in 0..10 {
        try_password(&now, &ada.id, &stranger(&now), "wrong").await;
    }
    // The clock goes on meanwhile.
    let later = ctx(&app, 0).await;
    let refused = prove(&later, Some(&ada.id), &stranger(&later), "x").await;
    let Err(Error::Problem(problem)) = refused else { panic!("let in") };
    assert_eq!(vestibule::http::status::of_problem(&problem), 403);
    let seconds = problem.errors[0].meta["lockout_expires_in_seconds"].as_i64().unwrap();
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
}

/// Lists of stolen passwords: one try per account, many accounts.
#[tokio::test]
async fn failures_of_one_address_are_counted_over_all_accounts() {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        config.limits.rates = config.limits.rates.times(100);
        config.limits.rates.failed_proofs = Rate { count: 5, window: std::time::Duration::from_secs(3_600) };
    })
    .await;
    let ada = person(&app, "ada").await;
    let now = ctx(&app, 0).await;
    for _ in 0..5 {
        assert_eq!(try_password(&now, &ada.id, &stranger(&now), PASSWORD).await, "ok", "what is right costs nothing");
        let refused = prove(&now, None, &stranger(&now), "wrong").await;
        assert!(matches!(refused, Err(Error::Problem(problem)) if problem.code().name == "form_password_incorrect"));
    }
    assert_eq!(try_password(&now, &ada.id, &ada.known, PASSWORD).await, "too_many_requests");
    let mut elsewhere = now.clone();
    elsewhere.from.ip = Some([198, 51, 100, 7].into());
    assert_eq!(try_password(&elsewhere, &ada.id, &ada.known, PASSWORD).await, "ok");
}

/// A guess is counted before its password is hashed. Whoever hangs up in between must not keep the lock out of the
/// records.
#[tokio::test]
async fn lock_is_audited_although_the_guesser_hangs_up() {
    let app = TestApp::start().await;
    let ada = person(&app, "ada").await;
    let change = r#"{"attributes": {"password": {"enabled": true}}, "lockout": {"attempts": 5}}"#;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", change).await;
    app.app().forget_directory();
    // Others keep the hashing pool at work, so that the guess waits for its hash.
    let others = ctx(&app, 0).await;
    let busy = tokio::spawn(async move {
        loop {
            let text = Secret::from(PASSWORD.to_owned());
            let hashes = (0..8).map(|_| others.app.passwords.hash(others.rng(), &text));
            futures_util::future::join_all(hashes).await;
        }
    });
    let mut hung_up = 0;
    for guess in 1..=5 {
        let browser = app.browser();
        let fields = [("identifier", "ada@example.com")];
        let begun = browser.post_form(app.url("/v1/client/sign_ins"), APP, &fields).await.expect(200).json();
        let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", begun["response"]["id"].as_str().unwrap());
        let counted = async {
            let failures = "select failed_attempts::bigint from users where instance_id = $1 and id = $2";
            while app.count(failures, ada.id.as_str()).await < guess {}
        };
        tokio::select! {
            _ = browser.post_form(app.url(&path), APP, &[("strategy", "password"), ("password", "wrong")]) => {}
            () = counted => hung_up += 1,
        }
    }
    busy.abort();
    assert!(hung_up > 0, "every answer came before its guess was seen to be counted");
    let locks = "select count(*) from audit_events where instance_id = $1 and action = 'user.locked' and user_id = $2";
    let wait = std::time::Duration::from_secs(20);
    let audited = async { while app.count(locks, ada.id.as_str()).await == 0 {} };
    tokio::time::timeout(wait, audited).await.expect("an audit entry of the lock");
}

#[tokio::test]
async fn a_backend_locks_unlocks_bans_and_unbans() {
    let app = TestApp::start().await;
    let browser = app.browser();
    let id = sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    let act = async |verb: &str| {
        let url = app.url(&format!("/v1/users/{id}/{verb}"));
        send(app.browser().raw(Method::POST, &url).bearer_auth(&app.secret_key)).await.expect(200).json()
    };
    for _ in 0..2 {
        let locked = act("lock").await;
        assert_eq!(locked["locked"], true);
        assert!((3_590..=3_600).contains(&locked["lockout_expires_in_seconds"].as_i64().unwrap()));
    }
    assert_eq!(client(&app, &browser).await["sessions"].as_array().unwrap().len(), 1, "present sessions go on");
    // Locked by an operator, even a known browser gets no try.
    let (now, user) = (ctx(&app, 0).await, UserId::parse(&id).unwrap());
    let known: String = sqlx::query_scalar("select client_id from known_clients where user_id = $1")
        .bind(&id)
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert_eq!(try_password(&now, &user, &ClientId::parse(&known).unwrap(), "x").await, "user_locked");
    let unlocked = act("unlock").await;
    assert_eq!((&unlocked["locked"], &unlocked["lockout_expires_in_seconds"]), (&json!(false), &json!(null)));
    for _ in 0..2 {
        assert_eq!(act("ban").await["banned"], true);
    }
    assert!(client(&app, &browser).await["sessions"].as_array().unwrap().is_empty(), "a ban ends sessions at once");
    assert_eq!(act("unban").await["banned"], false);
    let bans = "select count(*) from audit_events where instance_id = $1 and action = 'user.banned' and user_id = $2";
    assert_eq!(app.count(bans, &id).await, 2);
}
