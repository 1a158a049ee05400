//! Removers take turns: they stop anywhere and go on there, one failing stops no other, and what waits can be seen.

use std::time::{Duration, Instant};

use serde_json::json;
use vestibule::store::retention::{Mode, Position, REMOVERS, Remover, Walk};

use crate::support::TestApp;

/// Old audit events with these numbers.
async fn old_events(app: &TestApp, count: i32) {
    sqlx::query(
        "insert into audit_events (instance_id, id, action, outcome, actor_kind, created_at)
         select $1, 'aud_0' || lpad(n::text, 26, '0'), 'test', 'success', 'system', now() - interval '100 d'
         from generate_series($2, 1, -1) n",
    )
    .bind(app.instance.as_str())
    .bind(count)
    .execute(&app.app().db)
    .await
    .unwrap();
}

async fn events(app: &TestApp) -> i64 {
    app.count("select count(*) from audit_events where instance_id = $1 and action = $2", "test").await
}

async fn eventually(app: &TestApp, query: &'static str) {
    let begun = Instant::now();
    while !sqlx::query_scalar::<_, bool>(query).fetch_one(&app.app().db).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never true: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_walk_stops_after_any_page_and_goes_on_from_there() {
    let app = TestApp::start().await;
    old_events(&app, 25).await;
    let (db, retention) = (&app.app().db, &app.app().config.retention);
    let walk =
        async |position| Walk::begin(db, Remover::AuditEvents, retention, position).await.unwrap().in_pages_of(10);
    let mut first = walk(None).await;
    assert_eq!(first.next(db, Mode::Remove).await.unwrap().removed, 10, "the oldest first");
    let oldest =
        app.count("select min(right(id, 2))::bigint from audit_events where instance_id = $1 and action = $2", "test");
    assert_eq!(oldest.await, 11);
    let stored = json!(first.position().unwrap());
    drop(first);
    // Another process: older rows that come meanwhile wait for the next round.
    old_events(&app, 5).await;
    let position: Position = serde_json::from_value(stored).unwrap();
    let mut second = walk(Some(position)).await;
    let mut pages = Vec::new();
    while !second.is_finished() {
        pages.push(second.next(db, Mode::Remove).await.unwrap().removed);
    }
    assert_eq!((pages, events(&app).await), (vec![10, 5], 5));
    assert_eq!(walk(None).await.next(db, Mode::Remove).await.unwrap().removed, 5);
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_passed_over() {
    let app = TestApp::start().await;
    old_events(&app, 3).await;
    let mut held = app.app().db.begin().await.unwrap();
    sqlx::query("select from audit_events where id like '%2' for update").execute(&mut *held).await.unwrap();
    let (db, retention) = (&app.app().db, &app.app().config.retention);
    let mut walk = Walk::begin(db, Remover::AuditEvents, retention, None).await.unwrap();
    let batch = walk.next(db, Mode::Remove).await.unwrap();
    assert_eq!((batch.over, batch.removed, events(&app).await), (3, 2, 1));
    held.rollback().await.unwrap();
}

/// A process that was killed between two pages leaves its lease and its position.
#[tokio::test]
async fn a_server_goes_on_where_a_dead_one_stopped() {
    let mut app = TestApp::start().await;
    old_events(&app, 2_500).await;
    let position = json!({ "instance": app.instance, "key": format!("aud_0{:026}", 500) });
    sqlx::query(
        "insert into jobs (name, next_run_at, leased_by, leased_until, position)
         values ('retention_audit_events', now() - interval '1 h', 'dead', now() - interval '1 s', $1)",
    )
    .bind(position)
    .execute(&app.app().db)
    .await
    .unwrap();
    app.start_jobs();
    eventually(
        &app,
        "select bool_or(leased_by is null and last_run_at is not null and position = '{}')
         from jobs where name = 'retention_audit_events'",
    )
    .await;
    app.stop_jobs().await;
    assert_eq!(events(&app).await, 500, "what lies before the position has its turn the next time");
}

#[tokio::test]
async fn one_that_fails_says_so_and_stops_no_other() {
    let mut app = TestApp::start().await;
    old_events(&app, 10).await;
    sqlx::raw_sql(
        "insert into flows (instance_id, id, kind, status, started_at)
             select id, 'flw_0', 'sign_in', 'open', now() - interval '8 d' from instances;
         create function refuse() returns trigger language plpgsql
             as $$ begin raise exception 'on purpose'; end $$;
         create trigger refuse before delete on flows for each row execute function refuse()",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    app.start_jobs();
    eventually(&app, "select count(*) = 0 from audit_events where action = 'test'").await;
    eventually(
        &app,
        "select bool_or(name = 'retention_flows' and last_error like '%on purpose%' and next_run_at > now())
             and count(*) filter (where last_error is not null) = 1 from jobs where last_run_at is not null",
    )
    .await;
    // Stopping ends the round under way.
    let begun = Instant::now();
    let ran = "select count(*) from jobs where last_run_at is not null";
    while sqlx::query_scalar::<_, i64>(ran).fetch_one(&app.app().db).await.unwrap() < REMOVERS.len().try_into().unwrap()
    {
        assert!(begun.elapsed() < Duration::from_secs(20), "some removers never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.stop_jobs().await;

    let shown = app.program().run(&["prune", "--dry-run", "--json"]).expect(1);
    assert!(shown.stderr.contains("on purpose"), "{}", shown.stderr);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&shown.stdout).unwrap();
    let flows = rows.iter().find(|row| row["name"] == "flows").unwrap();
    assert!(flows["last_error"].as_str().unwrap().contains("on purpose"), "{flows}");
    assert_eq!((&flows["waiting"], &flows["is_lower_bound"]), (&json!(1), &json!(false)), "{flows}");
    let overdue = flows["overdue_seconds"].as_i64().unwrap();
    assert!((86_400..86_700).contains(&overdue), "8 days old, and 7 are kept: {flows}");
}

#[tokio::test]
async fn an_operator_sees_what_waits_and_removes_it_at_once() {
    let app = TestApp::start().await;
    old_events(&app, 12_000).await;
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ")
    };
    let program = app.program();
    let shown = program.run(&["prune", "--dry-run"]).expect(0).stdout;
    assert_eq!(row(&shown, "audit_events"), "10000+ 10 d", "counting is cheap: it ends after ten pages\n{shown}");
    assert_eq!(row(&shown, "sign_ins "), "0 - never", "{shown}");
    assert_eq!(events(&app).await, 12_000, "nothing was removed");
    let done = program.run(&["prune"]).expect(0).stdout;
    assert!(row(&done, "audit_events").starts_with("0 - 20"), "{done}");
    assert_eq!(events(&app).await, 0);
}

/// An installation of a release before has rows of tasks that are no more.
#[tokio::test]
async fn tasks_of_releases_before_are_forgotten_at_the_start() {
    let mut app = TestApp::start().await;
    sqlx::raw_sql(
        "insert into jobs (name, next_run_at, last_run_at, leased_by, leased_until)
         select name, now(), now() - interval '1 h', worker, until from (values
             ('remove_old_attempts', null, null), ('remove_old_flows', null, null), ('remove_old_outbox', null, null),
             ('remove_old_rate_limits', null, null), ('empty_inboxes', null, null), ('remove_stale_connections', null, null),
             ('forget_abandoned_trips', 'killed', now() - interval '1 s')) old (name, worker, until)",
    )
    .execute(&app.app().db)
    .await
    .unwrap();
    app.start_jobs();
    eventually(&app, "select coalesce(bool_and(name like 'retention\\_%'), false) from jobs").await;
    app.stop_jobs().await;
}
