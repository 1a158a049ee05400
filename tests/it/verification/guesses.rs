//! A guess counts before it is believed.

use super::{ask, client_of, messages, newest};
use crate::support::TestApp;
use std::time::Duration;
use vestibule::actions::verification::check::{Guess, Guesser, check};
use vestibule::context::Ctx;
use vestibule::model::id::ClientId;
use vestibule::model::problem::Error;
use vestibule::model::strategy::Strategy;
use vestibule::model::verification::Role;

const ADA: &str = "ada@example.com";
const OWNER: &str = "sia_2O4BCh3zUONvWlZHtBXv6s6tm7u";

/// What `code` turns out to be: `right`, or the code of the refusal.
async fn guess(ctx: &Ctx, client: &ClientId, code: &str) -> &'static str {
    let mut db = ctx.db();
    let mut tx = db.begin().await.unwrap();
    let who = Guesser { owner: OWNER, role: Role::FirstFactor, strategy: &Strategy::EmailCode, client, user: None };
    let outcome = check(ctx, &mut tx.connection(), &who, code).await;
    tx.commit().await.unwrap();
    match outcome {
        Ok(Guess::Right(asked)) => {
            assert_eq!(asked.address.as_deref(), Some(ADA));
            "right"
        }
        Ok(Guess::Wrong(problem)) => problem.code().name,
        Err(Error::Problem(problem)) => problem.code().name,
        Err(fault) => panic!("{fault}"),
    }
}

/// The code in the newest message, and one that it is not.
async fn codes(app: &TestApp) -> (String, &'static str) {
    let code = newest(app, ADA).await["code"].as_str().unwrap().to_owned();
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    (code, wrong)
}

#[tokio::test]
async fn the_right_code_counts_once() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    assert_eq!(guess(&ctx, &client, "123456").await, "verification_missing");
    ask(&ctx, &client, OWNER, ADA).await;
    let (code, wrong) = codes(&app).await;
    assert_eq!(guess(&ctx, &client, wrong).await, "form_code_incorrect");
    assert_eq!(guess(&ctx, &client, &code).await, "right");
    assert_eq!(guess(&ctx, &client, &code).await, "verification_already_verified");
}

#[tokio::test]
async fn the_sixth_guess_fails_with_the_right_code() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    let (code, wrong) = codes(&app).await;
    for _ in 0..5 {
        assert_eq!(guess(&ctx, &client, wrong).await, "form_code_incorrect");
    }
    assert_eq!(guess(&ctx, &client, &code).await, "verification_failed");
    assert_eq!(guess(&ctx, &client, wrong).await, "verification_failed");
}

#[tokio::test]
async fn a_hundred_parallel_guesses_count_as_a_hundred() {
    let app = TestApp::with(1, |config| config.database.max_connections = 12).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    let (code, wrong) = codes(&app).await;
    let guesses = (0..100).map(|_| guess(&ctx, &client, wrong));
    let outcomes = futures_util::future::join_all(guesses).await;
    let believed = outcomes.iter().filter(|outcome| **outcome == "form_code_incorrect").count();
    assert_eq!(believed, 5, "five were looked at, the others found the code dead: {outcomes:?}");
    assert_eq!(guess(&ctx, &client, &code).await, "verification_failed");
}

#[tokio::test]
async fn of_parallel_right_guesses_one_is_right() {
    let app = TestApp::with(1, |config| config.database.max_connections = 12).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    let (code, _) = codes(&app).await;
    let guesses = (0..10).map(|_| guess(&ctx, &client, &code));
    let outcomes = futures_util::future::join_all(guesses).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "right").count(), 1, "{outcomes:?}");
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_another_client() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let (mine, other) = (client_of(&ctx).await, client_of(&ctx).await);
    ask(&ctx, &mine, OWNER, ADA).await;
    let (code, _) = codes(&app).await;
    assert_eq!(guess(&ctx, &other, &code).await, "verification_missing");
    assert_eq!(guess(&ctx, &mine, &code).await, "right");
}

#[tokio::test]
async fn a_new_code_kills_the_old_one() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    let (first, _) = codes(&app).await;
    let mut second = first.clone();
    while second == first {
        ask(&ctx, &client, OWNER, ADA).await;
        second = codes(&app).await.0;
    }
    assert_eq!(guess(&ctx, &client, &first).await, "form_code_incorrect");
    assert_eq!(guess(&ctx, &client, &second).await, "right");
}

#[tokio::test]
async fn a_code_lives_ten_minutes() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    let (code, _) = codes(&app).await;
    app.advance(Duration::from_secs(601)).await;
    assert_eq!(guess(&app.ctx().await, &client, &code).await, "verification_expired");
}

#[tokio::test]
async fn test_addresses_are_sent_nothing_and_accept_a_fixed_code() {
    const TEST: &str = "ada+clerk_test@example.com";
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, TEST).await;
    assert!(messages(&app, TEST).await.is_empty());
    let mut db = ctx.db();
    let mut tx = db.begin().await.unwrap();
    let who =
        Guesser { owner: OWNER, role: Role::FirstFactor, strategy: &Strategy::EmailCode, client: &client, user: None };
    let outcome = check(&ctx, &mut tx.connection(), &who, "424242").await;
    assert!(matches!(outcome, Ok(Guess::Right(_))), "{outcome:?}");
    tx.commit().await.unwrap();

    app.execute(r#"update instances set settings = settings || '{"test_mode": false}' where id = $1 and $2 = ''"#, "")
        .await;
    app.app().forget_directory();
    let ctx = app.ctx().await;
    ask(&ctx, &client, OWNER, TEST).await;
    assert_eq!(messages(&app, TEST).await.len(), 1, "where test mode is off such an address is like any other");
}
