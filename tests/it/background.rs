//! Background work: side effects are delivered once, periodic tasks run on one replica, news reaches every replica.

use crate::provider_auth::connecting::connect;
use crate::support::TestApp;
use crate::support::person::sign_up;
use serde_json::json;
use std::time::{Duration, Instant};
use vestibule::actions::instance::{self, NewInstance};
use vestibule::model::id::OutboxId;
use vestibule::store::audit::Actor;
use vestibule::store::directory::LoopbackName;
use vestibule::store::outbox::{self, Kind};

/// Waits until `query` (a boolean) is true of the app's database.
#[track_caller]
fn eventually<'a>(app: &'a TestApp, query: &'static str) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        while !sqlx::query_scalar::<_, bool>(query).fetch_one(&app.app().db).await.unwrap() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{place}: never true: {query}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn put(app: &TestApp, count: usize) {
    let ctx = app.ctx().await;
    let mut db = ctx.db();
    let mut transaction = db.begin().await.unwrap();
    for _ in 0..count {
        let id = OutboxId::new(ctx.now, ctx.rng());
        let payload = json!({ "type": "test" });
        outbox::put(&mut transaction.connection(), &id, Kind::Event, &payload).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// Writes down every change of a table that `condition` is about, as `of` and `by`.
async fn log(app: &TestApp, table: &str, condition: &str, of: &str, by: &str) {
    let statement = format!(
        "create table logged (of text, by text);
         create function note() returns trigger language plpgsql as $$ begin
             insert into logged values ({of}, {by});
             return new;
         end $$;
         create trigger note after insert or update on {table} for each row when ({condition})
             execute function note()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&app.app().db).await.unwrap();
}

/// How many entries the log has, of how many things, by how many workers.
async fn logged(app: &TestApp) -> (i64, i64, i64) {
    let statement = "select count(*), count(distinct of), count(distinct by) from logged";
    sqlx::query_as(statement).fetch_one(&app.app().db).await.unwrap()
}

#[tokio::test]
async fn two_replicas_take_and_deliver_each_side_effect_once() {
    let mut app = TestApp::replicas(2).await;
    put(&app, 40).await;
    // Ten workers on both replicas reach for all of them at the same moment.
    let names: Vec<String> = (0..10).map(|number| format!("worker-{number}")).collect();
    let takes = names.iter().zip(app.apps.iter().cycle()).map(|(name, replica)| outbox::take(&replica.db, name, 8));
    let taken: Vec<String> = futures_util::future::join_all(takes)
        .await
        .into_iter()
        .flat_map(|taken| taken.unwrap().into_iter().map(|one| one.id.to_string()))
        .collect();
    let each: std::collections::BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), each.len()), (40, 40), "none is left, and none was taken twice");
    sqlx::query("update outbox set leased_by = null, leased_until = null, attempts = 0")
        .execute(&app.app().db)
        .await
        .unwrap();
    log(&app, "outbox", "new.done_at is not null", "new.id", "new.attempts::text").await;
    app.start_jobs();
    eventually(&app, "select count(*) = 40 from outbox where done_at is not null").await;
    app.stop_jobs().await;
    assert_eq!(logged(&app).await, (40, 40, 1), "each was delivered once, at its first attempt");
}

#[tokio::test]
async fn a_dead_workers_lease_is_taken_over_when_it_ends() {
    let mut app = TestApp::start().await;
    put(&app, 2).await;
    sqlx::query(
        "update outbox set leased_by = 'dead', attempts = 1, leased_until = now() + case
             when id = (select min(id) from outbox) then interval '-1 s' else interval '1 h' end",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    app.start_jobs();
    eventually(&app, "select bool_or(done_at is not null) from outbox").await;
    let held: i64 = sqlx::query_scalar("select count(*) from outbox where done_at is null and leased_by = 'dead'")
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert_eq!(held, 1, "a lease that runs is respected");
}

#[tokio::test]
async fn what_cannot_be_delivered_waits_and_is_given_up_at_last() {
    let mut app = TestApp::start().await;
    put(&app, 2).await;
    sqlx::query(
        "update outbox set kind = 'logout', attempts = case when id = (select min(id) from outbox) then 9 else 0 end",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    app.start_jobs();
    eventually(&app, "select bool_and(last_error is not null and leased_by is null) from outbox").await;
    eventually(
        &app,
        "select bool_or(failed_at is not null and attempts = 10)
             and bool_or(failed_at is null and attempts = 1 and run_at > now()) from outbox",
    )
    .await;
}

#[tokio::test]
async fn a_periodic_task_runs_on_one_replica() {
    let mut app = TestApp::replicas(2).await;
    put(&app, 1).await;
    let old = OutboxId::floor(app.app().clock.now() - time::Duration::days(31));
    sqlx::query("update outbox set id = $1, done_at = now() - interval '31 d'")
        .bind(old)
        .execute(&app.app().db)
        .await
        .unwrap();
    log(&app, "jobs", "new.leased_by is not null", "new.name", "new.leased_by").await;
    app.start_jobs();
    eventually(&app, "select count(*) = 0 from outbox").await;
    // Both replicas look at every task before they stop.
    app.stop_jobs().await;
    let (runs, tasks, _) = logged(&app).await;
    assert!(runs == tasks && tasks > 3, "{runs} runs of {tasks} tasks");
    let in_order: bool = sqlx::query_scalar(
        "select bool_and(last_run_at is not null and leased_by is null and last_error is null
             and next_run_at > now() + interval '5 min') from jobs",
    )
    .fetch_one(&app.app().db)
    .await
    .unwrap();
    assert!(in_order, "each ran, and is due again later");
}

#[tokio::test]
async fn accounts_that_nobody_came_back_to_connect_are_removed() {
    let mut app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    connect(&app, &browser, "oauth_notion", &[]).await.expect(200);
    let waiting = "select count(*) from external_accounts where instance_id = $1 and status = $2";
    assert_eq!(app.count(waiting, "pending").await, 1);
    app.advance(Duration::from_secs(2 * 3600)).await;
    app.start_jobs();
    eventually(&app, "select count(*) = 1 and bool_and(status <> 'pending') from external_accounts").await;
}

#[tokio::test]
async fn a_change_reaches_the_other_replica_at_once() {
    let mut app = TestApp::replicas(2).await;
    app.start_jobs();
    let other = app.apps[1].clone();
    let seen = async || {
        let found = other.directory.by_host(&other.db, "localhost", LoopbackName::Yes).await.unwrap();
        found.unwrap().origin.clone()
    };
    assert_eq!(seen().await, app.origin());
    let ctx = app.ctx().await;
    let moved = NewInstance::on_localhost("dev", 1).unwrap();
    instance::move_to(app.app(), &ctx.instance, &moved, Actor::System).await.unwrap();
    let begun = Instant::now();
    while seen().await != "http://localhost:1" {
        assert!(begun.elapsed() < Duration::from_secs(10), "only the cache's own life of 30 s would show it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn news_are_heard_again_after_the_connection_was_lost() {
    let mut app = TestApp::start().await;
    app.start_jobs();
    eventually(
        &app,
        "select count(*) = 1 from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
    )
    .await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and query ilike 'listen%'",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    eventually(
        &app,
        "select count(*) = 1 from pg_stat_activity where datname = current_database() and query ilike 'listen%'",
    )
    .await;
}

#[tokio::test]
async fn the_clock_is_the_databases() {
    let app = TestApp::start().await;
    let offset = app.app().clock.measure(&app.app().db).await.unwrap();
    assert!(offset.abs() < time::Duration::seconds(1), "{offset}: the same machine");
    let theirs: time::OffsetDateTime =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(&app.app().db).await.unwrap();
    let difference = app.app().clock.now() - theirs;
    assert!(difference.abs() < time::Duration::seconds(5), "{difference}");
}
