//! What a sign-in by password costs, and what it waits for: few statements, none of them while a hash is computed, and none
//! at all where there is no room for another hash.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use vestibule::config::limits::Rate;
use vestibule::crypto::Secret;
use vestibule::crypto::password::{Cost, Passwords};
use vestibule::model::id::UserId;
use vestibule::store::user_passwords;

use crate::passwords::{EMAIL, OTHER, PASSWORD, ada, settings, sign_in, start};
use crate::support::cost::Cost as Counted;
use crate::support::person::{APP, client};
use crate::support::processes::rounds;
use crate::support::{Answer, Browser, TestApp};
use crate::verification::form;

const SIGN_INS: &str = "/v1/client/sign_ins";

/// A form.
type Fields<'a> = &'a [(&'a str, &'a str)];

/// Statements, transactions that write, hashes.
type Costs = (usize, usize, usize);

/// Statements that are transactions of their own and write: the guess and the session.
const ALONE: [&str; 2] = ["with attempt as materialized", "with client as materialized"];

fn costs(cost: &Counted) -> Costs {
    let is_alone = |statement: &&String| ALONE.iter().any(|alone| statement.starts_with(alone));
    (cost.statements, cost.commits + cost.reported.iter().filter(is_alone).count(), cost.hashes)
}

/// Posts a form and tells what that cost.
async fn measure(app: &TestApp, browser: &Browser, path: &str, fields: Fields<'_>) -> (Answer, Costs) {
    let mut answer = None;
    let cost = app.cost(async { answer = Some(form(app, browser, path, fields).await) }).await;
    let costs = costs(&cost);
    println!("{path}: {costs:?} {:#?}", cost.reported);
    (answer.unwrap(), costs)
}

/// Begins a sign-in; returns what that cost, and where its first factor is attempted.
async fn begin(app: &TestApp, browser: &Browser, identifier: &str) -> (Costs, String) {
    let (begun, costs) = measure(app, browser, SIGN_INS, &[("identifier", identifier)]).await;
    let id = begun.expect(200).json()["response"]["id"].as_str().unwrap().to_owned();
    (costs, format!("{SIGN_INS}/{id}/attempt_first_factor"))
}

fn typed(password: &str) -> [(&str, &str); 2] {
    [("strategy", "password"), ("password", password)]
}

/// A server on which Ada has a password, whose instance and keys have been read.
async fn start_with_ada() -> (TestApp, Browser, String) {
    let app = start().await;
    let (browser, id) = ada(&app).await;
    sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(200);
    (app, browser, id)
}

#[tokio::test]
async fn two_requests_of_a_sign_in_cost_six_statements_and_three_commits() {
    let (app, owner, _) = start_with_ada().await;
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let stranger = app.browser();
    begin(&app, &stranger, EMAIL).await;
    // A browser without a cookie, one with a cookie that Ada does not know, and one that she does.
    for browser in [app.browser(), stranger, owner] {
        let (begun, path) = begin(&app, &browser, EMAIL).await;
        let (done, attempted) = measure(&app, &browser, &path, &typed(PASSWORD)).await;
        assert_eq!(done.expect(200).json()["response"]["status"], "complete");
        assert_eq!((begun, attempted), ((3, 1, 0), (3, 2, 1)));
    }
    // In one request, which need not be answered in between.
    let fields = [("strategy", "password"), ("identifier", EMAIL), ("password", PASSWORD)];
    let (done, at_once) = measure(&app, &app.browser(), SIGN_INS, &fields).await;
    assert_eq!(done.expect(200).json()["response"]["status"], "complete");
    assert_eq!(at_once, (5, 3, 1));
}

#[tokio::test]
async fn wrong_password_costs_one_statement_and_unknown_identifier_no_commit() {
    let (app, ..) = start_with_ada().await;
    let browser = app.browser();
    let (begun, path) = begin(&app, &browser, EMAIL).await;
    let (refused, attempted) = measure(&app, &browser, &path, &typed(OTHER)).await;
    assert_eq!(refused.expect(422).error_code(), "form_password_incorrect");
    assert_eq!((begun, attempted), ((3, 1, 0), (1, 1, 1)));
    let (refused, costs) = measure(&app, &app.browser(), SIGN_INS, &[("identifier", "nob@example.com")]).await;
    assert_eq!(refused.expect(422).error_code(), "form_identifier_not_found");
    assert_eq!(costs, (2, 0, 0));
}

/// Where nobody may learn who has an account.
#[tokio::test]
async fn strangers_cost_as_much_as_users_where_nobody_may_learn_who_is_one() {
    let (app, ..) = start_with_ada().await;
    settings(&app, r#"{"enumeration_protection": "strict"}"#).await;
    app.browser().get(app.url("/v1/environment")).await.expect(200);
    for identifier in [EMAIL, "nob@example.com"] {
        let browser = app.browser();
        let (begun, path) = begin(&app, &browser, identifier).await;
        let (refused, attempted) = measure(&app, &browser, &path, &typed(OTHER)).await;
        assert_eq!(refused.expect(422).error_code(), "form_password_incorrect");
        assert_eq!((begun, attempted), ((3, 1, 0), (1, 1, 1)), "{identifier}");
    }
}

/// A person who is turned away has cost the database nothing: the place in the pool comes before the first statement.
#[tokio::test]
async fn full_pool_refuses_before_any_statement() {
    let (app, owner, _) = start_with_ada().await;
    let browser = app.browser();
    let (_, path) = begin(&app, &browser, EMAIL).await;
    let session = client(&app, &owner).await["sessions"][0]["id"].as_str().unwrap().to_owned();
    let reset = path.replace("attempt_first_factor", "reset_password");
    let verify = format!("/v1/client/sessions/{session}/verify/attempt_first_factor");
    let at_once = [("strategy", "password"), ("identifier", EMAIL), ("password", PASSWORD)];
    let sign_up = [("email_address", "bob@example.com"), ("password", PASSWORD)];
    let requests: [(&Browser, &str, Fields<'_>); 5] = [
        (&browser, &path, &typed(PASSWORD)),
        (&browser, SIGN_INS, &at_once),
        (&browser, &reset, &[("password", OTHER)]),
        (&owner, &verify, &typed(PASSWORD)),
        (&browser, "/v1/client/sign_ups", &sign_up),
    ];
    let shared = Arc::clone(app.app());
    let places: Vec<_> = std::iter::from_fn(|| shared.passwords.place().ok()).collect();
    assert_eq!(places.len() % 9, 0, "one at work and eight in the queue for each core");
    for (browser, path, fields) in requests {
        let (refused, costs) = measure(&app, browser, path, fields).await;
        assert_eq!(refused.expect(503).header("retry-after"), Some("1"), "{path}");
        assert_eq!(costs, (0, 0, 0), "{path}");
    }
    drop(places);
    form(&app, &browser, &path, &typed(PASSWORD)).await.expect(200);
}

/// With one connection in the pool, the guess can be seen in the database while its hash is computed: it is counted and
/// committed before, and holds nothing meanwhile.
#[tokio::test]
async fn guess_is_counted_before_its_hash_which_holds_no_connection() {
    let app = TestApp::with(1, |config| config.database.max_connections = 1).await;
    settings(&app, r#"{"attributes": {"password": {"enabled": true}}}"#).await;
    let (_, id) = ada(&app).await;
    // A hash that takes seconds.
    let slow = Passwords::new(Cost { memory: 65_536, passes: 40 }, 1);
    let ctx = app.ctx().await;
    let digest = slow.hash(ctx.rng(), &Secret::from(PASSWORD.to_owned())).await.unwrap();
    let user = UserId::parse(&id).unwrap();
    user_passwords::set(&mut ctx.db(), &user, &digest).await.unwrap();
    let browser = app.browser();
    let (_, path) = begin(&app, &browser, EMAIL).await;
    let counted = "select count(*) from users where instance_id = $1 and id = $2 and failed_attempts = 1";
    let fields = typed(PASSWORD);
    let mut request = std::pin::pin!(form(&app, &browser, &path, &fields));
    let is_seen = async {
        while app.count(counted, &id).await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        answer = &mut request => panic!("answered before the guess was seen: {answer:?}"),
        () = is_seen => {}
    }
    request.await.expect(200);
    assert_eq!(app.count(counted, &id).await, 0, "it was right, and is taken back");
}

/// Hashing takes its time. Here something happens in the moment after the guess was counted, each time something else that
/// stands in the way of the session.
#[tokio::test]
async fn right_password_signs_nobody_in_if_anything_changed_while_it_was_compared() {
    let changes = [
        ("delete from user_passwords where user_id = new.id", 422, "form_password_incorrect"),
        ("update user_passwords set digest = digest || 'x' where user_id = new.id", 422, "form_password_incorrect"),
        (
            "update users set banned_at = now() where id = new.id;
             update sessions set status = 'revoked', ended_at = now() where user_id = new.id",
            403,
            "user_banned",
        ),
        ("update users set locked_at = now(), lock_reason = 'admin' where id = new.id", 403, "user_locked"),
        ("update sign_ins set replaced_at = now() where replaced_at is null", 403, "resource_forbidden"),
        ("update client_tokens set superseded_at = now()", 404, "resource_not_found"),
    ];
    for (change, status, code) in changes {
        let app = start().await;
        let (_, id) = ada(&app).await;
        let browser = app.browser();
        let (_, path) = begin(&app, &browser, EMAIL).await;
        let trigger = format!(
            "create function interfere() returns trigger language plpgsql as $$ begin {change}; return null; end $$;
             create constraint trigger interfere after update on users deferrable initially deferred for each row
                 when (new.failed_attempts > old.failed_attempts) execute function interfere();"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(&app.app().db).await.unwrap();
        let sessions =
            "select count(*) from sessions where instance_id = $1 and user_id = $2 and strategy = 'password'";
        let before = app.count(sessions, &id).await;
        let refused = form(&app, &browser, &path, &typed(PASSWORD)).await.expect(status);
        assert_eq!(refused.error_code(), code, "{change}");
        assert!(app.count(sessions, &id).await <= before, "{change}");
        let counted = "select count(*) from users where instance_id = $1 and id = $2 and failed_attempts > 0
            and lock_reason is distinct from 'admin'";
        assert_eq!(app.count(counted, &id).await, 0, "the guess is taken back: {change}");
    }
}

/// As `lockout` has it for the steps one by one: the guess that locks the account opens it again if it is right.
#[tokio::test]
async fn tenth_guess_that_is_right_signs_in() {
    let (app, _, id) = start_with_ada().await;
    let browser = app.browser();
    let (_, path) = begin(&app, &browser, EMAIL).await;
    for _ in 0..9 {
        form(&app, &browser, &path, &typed(OTHER)).await.expect(422);
    }
    let (done, costs) = measure(&app, &browser, &path, &typed(PASSWORD)).await;
    assert_eq!(done.expect(200).json()["response"]["status"], "complete");
    assert_eq!(costs, (3, 2, 1));
    let user = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!((&user["locked"], &user["verification_attempts_remaining"]), (&json!(false), &json!(10)));
}

/// Fails the transaction in which an account is locked unless that is written down in it: a process that is killed after the
/// lock was committed writes nothing any more.
async fn no_lock_without_its_entry(app: &TestApp) {
    let checks = "
        create function locks_are_told() returns trigger language plpgsql as $$ begin
            if not exists (select from audit_events e where e.action = 'user.locked'
                and e.user_id = to_jsonb(new) ->> tg_argv[0] and e.xmin = pg_current_xact_id()::xid)
            then raise exception 'a lock without its entry'; end if;
            return null; end $$;
        create constraint trigger strangers after update on users deferrable initially deferred for each row
            when (old.locked_at is null and new.locked_at is not null) execute function locks_are_told('id');
        create constraint trigger known after update on known_clients deferrable initially deferred for each row
            when (old.locked_until is null and new.locked_until is not null) execute function locks_are_told('user_id');";
    sqlx::raw_sql(checks).execute(&app.app().db).await.unwrap();
}

/// The entries of a user's locks and of their ends.
async fn reported(app: &TestApp, user: &str) -> (i64, i64) {
    let count = async |statement| app.count(statement, user).await;
    (
        count(
            "select count(*) from audit_events where instance_id = $1 and user_id = $2 and action = 'user.locked'
            and reason = 'failures' and ip_address is not null and request_id is not null",
        )
        .await,
        count("select count(*) from audit_events where instance_id = $1 and user_id = $2 and action = 'user.unlocked'")
            .await,
    )
}

#[tokio::test]
async fn lock_and_its_entry_are_committed_together() {
    let (app, owner, id) = start_with_ada().await;
    no_lock_without_its_entry(&app).await;
    // A stranger, whose last guess is right, and then wrong.
    let stranger = app.browser();
    let (_, path) = begin(&app, &stranger, EMAIL).await;
    for _ in 0..9 {
        form(&app, &stranger, &path, &typed(OTHER)).await.expect(422);
    }
    assert_eq!(reported(&app, &id).await, (0, 0));
    form(&app, &stranger, &path, &typed(PASSWORD)).await.expect(200);
    assert_eq!(reported(&app, &id).await, (1, 1), "it was locked for as long as a hash takes");
    let stranger = app.browser();
    let (_, path) = begin(&app, &stranger, EMAIL).await;
    for _ in 0..10 {
        form(&app, &stranger, &path, &typed(OTHER)).await.expect(422);
    }
    assert_eq!(reported(&app, &id).await, (2, 1));
    assert_eq!(form(&app, &stranger, &path, &typed(PASSWORD)).await.expect(403).error_code(), "user_locked");
    // A browser that she knows, on its own guesses: in a sign-in, and then in a session, one statement after the other.
    let session = client(&app, &owner).await["sessions"][0]["id"].as_str().unwrap().to_owned();
    let verify = format!("/v1/client/sessions/{session}/verify");
    form(&app, &owner, &verify, &[("level", "first_factor")]).await.expect(200);
    for _ in 0..10 {
        form(&app, &owner, &format!("{verify}/attempt_first_factor"), &typed(OTHER)).await.expect(422);
    }
    assert_eq!(reported(&app, &id).await, (3, 1));
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    app.advance(Duration::from_secs(3_601)).await;
    let (_, path) = begin(&app, &owner, EMAIL).await;
    for _ in 0..9 {
        form(&app, &owner, &path, &typed(OTHER)).await.expect(422);
    }
    form(&app, &owner, &path, &typed(PASSWORD)).await.expect(200);
    assert_eq!(reported(&app, &id).await, (4, 2));
}

/// A browser that the user knows has guesses of its own, and gives strangers none by signing in.
#[tokio::test]
async fn known_browser_guesses_on_its_own_budget() {
    let (app, owner, id) = start_with_ada().await;
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    for _ in 0..10 {
        sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(422);
    }
    let (_, path) = begin(&app, &owner, EMAIL).await;
    let mut codes = Vec::new();
    for _ in 0..9 {
        codes.push(form(&app, &owner, &path, &typed(OTHER)).await.expect(422).error_code());
    }
    assert_eq!(codes[..7], vec!["form_password_incorrect"; 7]);
    assert_eq!(codes[7..], vec!["account_lockout_warning"; 2]);
    let (done, costs) = measure(&app, &owner, &path, &typed(PASSWORD)).await;
    assert_eq!(done.expect(200).json()["response"]["status"], "complete");
    assert_eq!(costs, (3, 2, 1));
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!((&shown["locked"], &shown["verification_attempts_remaining"]), (&json!(true), &json!(0)));
    let own = "select count(*) from known_clients where instance_id = $1 and user_id = $2 and failed_attempts = 0
        and locked_until is null";
    assert_eq!(app.count(own, &id).await, 2, "both browsers she signed in from");
    assert_eq!(sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(403).error_code(), "user_locked");
}

/// Ten wrong ones lock a known browser out as a stranger, whose budget is another.
#[tokio::test]
async fn known_browser_that_spent_its_budget_is_a_stranger() {
    let (app, owner, id) = start_with_ada().await;
    owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    let (_, path) = begin(&app, &owner, EMAIL).await;
    for _ in 0..10 {
        form(&app, &owner, &path, &typed(OTHER)).await.expect(422);
    }
    let tries = async || {
        let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
        shown["verification_attempts_remaining"].as_i64().unwrap()
    };
    assert_eq!(tries().await, 10);
    form(&app, &owner, &path, &typed(OTHER)).await.expect(422);
    assert_eq!(tries().await, 9);
}

#[tokio::test]
async fn guesses_of_one_address_are_counted_over_all_accounts_and_right_ones_are_not() {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        config.limits.rates = config.limits.rates.times(1_000);
        config.limits.rates.failed_proofs = Rate { count: 3, window: Duration::from_secs(3_600) };
    })
    .await;
    settings(&app, r#"{"attributes": {"password": {"enabled": true}}}"#).await;
    let (_, id) = ada(&app).await;
    for _ in 0..3 {
        sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(200);
        sign_in(&app, &app.browser(), EMAIL, OTHER).await.expect(422);
    }
    let refused = sign_in(&app, &app.browser(), EMAIL, PASSWORD).await.expect(429);
    assert_eq!(refused.error_code(), "too_many_requests");
    let seconds: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    // What the address may not try does not count on the account.
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!(shown["verification_attempts_remaining"], 9);
}

/// Guesses all at once, of two servers, from as many sign-ins as there are: ten are looked at.
#[tokio::test]
async fn of_a_thousand_parallel_guesses_of_a_password_ten_are_verified() {
    let guesses = usize::try_from(rounds() * 2).unwrap().max(100);
    let app = TestApp::with(2, |config| {
        config.database.max_connections = 12;
        config.database.acquire_timeout = Duration::from_secs(60);
    })
    .await;
    settings(&app, r#"{"attributes": {"password": {"enabled": true}}}"#).await;
    app.apps[1].forget_directory();
    let (_, id) = ada(&app).await;
    let mut attempts = Vec::new();
    for _ in 0..10 {
        let browser = app.browser();
        let (_, path) = begin(&app, &browser, EMAIL).await;
        attempts.push((browser, path));
    }
    let guess = async |index: usize| loop {
        let (browser, path) = &attempts[index % attempts.len()];
        let answer = form(&app, browser, path, &typed(OTHER)).await;
        // Whoever finds the pool full comes again.
        if answer.status != 503 {
            return answer.error_code();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let codes = join_all((0..guesses).map(guess)).await;
    let was_verified = |code: &&String| ["form_password_incorrect", "account_lockout_warning"].contains(&code.as_str());
    assert_eq!(codes.iter().filter(was_verified).count(), 10, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| *code == "user_locked").count(), guesses - 10, "{codes:?}");
    let (browser, path) = &attempts[0];
    assert_eq!(form(&app, browser, path, &typed(PASSWORD)).await.expect(403).error_code(), "user_locked");
    let shown = app.backend_get(&format!("/v1/users/{id}")).await.json();
    assert_eq!((&shown["locked"], &shown["verification_attempts_remaining"]), (&json!(true), &json!(0)));
}

/// The answer shows the finished sign-in as it stands in the database.
#[tokio::test]
async fn finished_sign_in_is_shown_as_it_is_stored() {
    let (app, ..) = start_with_ada().await;
    let browser = app.browser();
    let (_, path) = begin(&app, &browser, EMAIL).await;
    let prepare = path.replace("attempt_", "prepare_");
    form(&app, &browser, &prepare, &[("strategy", "email_code")]).await.expect(200);
    let done = form(&app, &browser, &path, &typed(PASSWORD)).await.expect(200).json();
    let ctx = app.ctx().await;
    let id = done["response"]["id"].as_str().unwrap();
    let stored = vestibule::store::attempts::sign_in(&mut ctx.db(), id).await.unwrap().unwrap();
    let mut shown = vestibule::http::views::sign_in::sign_in(&stored, &ctx.instance, ctx.now);
    shown["first_factor_verification"]["status"] = done["response"]["first_factor_verification"]["status"].clone();
    assert_eq!(done["response"], shown);
    assert_eq!(shown["first_factor_verification"]["strategy"], "email_code");
}
