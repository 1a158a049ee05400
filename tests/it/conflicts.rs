//! A transaction that meets another one runs again: whichever of its writes the database ends, and at its commit, the
//! caller gets one result, and there is one row, one event and one message of everything.

use std::collections::{BTreeMap, BTreeSet};

use vestibule::model::problem::{Error, Problem, Result, code};
use vestibule::store::InstanceConnection;
use vestibule::store::transact::{Committed, ScopedFutureExt, transact};

use crate::provider_auth::connecting::connect_as;
use crate::support::person::client;
use crate::support::{Browser, TestApp};
use crate::verification::{code_for, form};

const NEW: &str = "new@example.com";

/// Ends the write or the commit number `n` of those on tables of attempts, people and work with SQLSTATE 40001. Counted
/// by a sequence, because that is not rolled back.
const INJECT: &str = "
    create schema injected;
    create sequence injected.writes;
    create sequence injected.commits;
    create table injected.target (write bigint not null, commit bigint not null);
    insert into injected.target values (0, 0);
    create function injected.at_write() returns trigger language plpgsql as $$ begin
        if nextval('injected.writes') = (select write from injected.target) then
            raise exception 'injected' using errcode = '40001';
        end if;
        return null;
    end $$;
    create function injected.at_commit() returns trigger language plpgsql as $$ begin
        if nextval('injected.commits') = (select commit from injected.target) then
            raise exception 'injected' using errcode = '40001';
        end if;
        return null;
    end $$;
    do $$ declare name text; begin
        for name in select unnest(array['users', 'identifications', 'external_accounts', 'provider_tokens', 'sessions',
            'sign_ins', 'sign_ups', 'verifications', 'provider_authorizations', 'outbox', 'audit_events']) loop
            execute format('create trigger injected before insert or update or delete on %I
                for each statement execute function injected.at_write()', name);
            execute format('create constraint trigger injected_at_commit after insert or update on %I
                deferrable initially deferred for each row execute function injected.at_commit()', name);
        end loop;
    end $$;";

/// Somebody signs up with a code, signs out, signs in with a code, connects an account and removes it. Returns how often
/// they had to reload a page.
async fn journey(app: &TestApp, browser: &Browser) -> u64 {
    let fields = [("email_address", NEW), ("first_name", "Nia")];
    let attempt = form(app, browser, "/v1/client/sign_ups", &fields).await.expect(200).json()["response"].clone();
    complete(app, browser, "sign_ups", &attempt["id"], "verification").await;
    form(app, browser, "/v1/client/sessions?_method=DELETE", &[]).await.expect(200);
    let fields = [("identifier", NEW)];
    let attempt = form(app, browser, "/v1/client/sign_ins", &fields).await.expect(200).json()["response"].clone();
    complete(app, browser, "sign_ins", &attempt["id"], "first_factor").await;
    let mut returned = connect_as(app, browser, "oauth_google", "ada").await;
    // A state is consumed by one statement without a transaction: it is unused still, and nothing else has happened.
    let reloads = u64::from(returned.status == 503);
    if reloads == 1 {
        returned = browser.get(returned.url).await;
    }
    returned.expect(303);
    let user = client(app, browser).await["sessions"][0]["user"].clone();
    let account = &user["external_accounts"][0];
    assert_eq!(account["verification"]["status"], "verified", "{user}");
    let path = format!("/v1/me/external_accounts/{}?_method=DELETE", account["id"].as_str().unwrap());
    form(app, browser, &path, &[]).await.expect(200);
    reloads
}

async fn complete(app: &TestApp, browser: &Browser, kind: &str, id: &serde_json::Value, factor: &str) {
    let at = |verb: &str| format!("/v1/client/{kind}/{}/{verb}_{factor}", id.as_str().unwrap());
    let address = client(app, browser).await["sign_in"]["supported_first_factors"][0]["email_address_id"].clone();
    let mut fields = vec![("strategy", "email_code")];
    fields.extend(address.as_str().map(|id| ("email_address_id", id)));
    form(app, browser, &at("prepare"), &fields).await.expect(200);
    let code = code_for(app, NEW).await;
    let fields = [("strategy", "email_code"), ("code", code.as_str())];
    let done = form(app, browser, &at("attempt"), &fields).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete", "{done}");
}

/// How many rows each table has, but those of the flow log.
async fn rows(app: &TestApp) -> BTreeMap<String, i64> {
    let count = "select table_name::text, (xpath('/row/count/text()', query_to_xml(
            format('select count(*) from %I', table_name), false, true, '')))[1]::text::bigint
        from information_schema.tables where table_schema = 'vestibule' and table_type = 'BASE TABLE'
            and table_name not in ('flows', 'flow_steps', 'jobs', 'rate_limits')";
    let rows: Vec<(String, i64)> = sqlx::query_as(count).fetch_all(&app.app().db).await.unwrap();
    rows.into_iter().collect()
}

/// The journey with a conflict at `write` or at `commit` (0: nowhere). Returns its rows, how many writes and commits it
/// had, and the conflicts that were counted.
async fn run(write: i64, commit: i64) -> (BTreeMap<String, i64>, (i64, i64), BTreeMap<&'static str, u64>) {
    let app = TestApp::start().await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"attributes": {}}"#).await;
    app.app().forget_directory();
    let db = &app.app().db;
    sqlx::raw_sql(INJECT).execute(&mut *db.acquire().await.unwrap()).await.unwrap();
    let target = "update injected.target set write = $1, commit = $2";
    sqlx::query(target).bind(write).bind(commit).execute(db).await.unwrap();
    let reloads = journey(&app, &app.browser()).await;
    let seen: (i64, i64) =
        sqlx::query_as("select w.last_value, c.last_value from injected.writes w, injected.commits c")
            .fetch_one(db)
            .await
            .unwrap();
    let rows = rows(&app).await;
    let conflicts = db.conflicts();
    let met = reloads + conflicts.values().sum::<u64>();
    assert_eq!(met, u64::from(write + commit > 0), "write {write}, commit {commit}: {conflicts:?}");
    sqlx::raw_sql("drop schema injected cascade").execute(&mut *db.acquire().await.unwrap()).await.unwrap();
    app.invariants().await;
    (rows, seen, conflicts)
}

#[tokio::test]
async fn transaction_ended_by_a_conflict_leaves_one_result() {
    let (expected, (writes, commits), none) = run(0, 0).await;
    assert!(none.is_empty(), "{none:?}");
    assert!(writes > 20 && commits > 20, "{writes} writes, {commits} rows at commits");
    let (mut at_write, mut at_commit) = (BTreeSet::new(), BTreeSet::new());
    for number in 1..=writes {
        let (rows, _, conflicts) = run(number, 0).await;
        assert_eq!(rows, expected, "a conflict at write {number}: {conflicts:?}");
        at_write.extend(conflicts.into_keys());
    }
    for number in 1..=commits {
        let (rows, _, conflicts) = run(0, number).await;
        assert_eq!(rows, expected, "a conflict at commit {number}: {conflicts:?}");
        at_commit.extend(conflicts.into_keys());
    }
    let names = [
        "connection.begin",
        "connection.finish",
        "external_account.remove",
        "session.end",
        "sign_in.attempt_code",
        "sign_in.begin",
        "sign_in.prepare",
        "sign_up.attempt_code",
        "sign_up.begin",
        "sign_up.prepare",
    ];
    for (met, place) in [(at_write, "write"), (at_commit, "commit")] {
        let missing: Vec<_> = names.iter().filter(|name| !met.contains(**name)).collect();
        assert!(missing.is_empty(), "never met at a {place}: {missing:?}; met: {met:?}");
    }
}

async fn write(tx: &mut InstanceConnection<'_>, number: i32) -> sqlx::Result<()> {
    sqlx::query("insert into written values ($1)").bind(number).execute(tx).await.map(drop)
}

async fn end_with_conflict(tx: &mut InstanceConnection<'_>) -> sqlx::Result<()> {
    let raise = "do $$ begin raise exception 'injected' using errcode = '40001'; end $$";
    sqlx::query(raise).execute(tx).await.map(drop)
}

#[tokio::test]
async fn transact_runs_three_times_and_commits_what_it_refuses_with() {
    let app = TestApp::start().await;
    let (ctx, db) = (app.ctx().await, &app.app().db);
    sqlx::query("create table written (number int)").execute(db).await.unwrap();
    let written =
        async || sqlx::query_scalar::<_, i32>("select number from written order by 1").fetch_all(db).await.unwrap();
    let runs = std::sync::atomic::AtomicI32::new(0);
    let until = |last: i32| {
        let runs = &runs;
        runs.store(0, std::sync::atomic::Ordering::Relaxed);
        transact::<_, Error>(ctx.db(), "test", move |tx| {
            async move {
                let run = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                write(tx, run).await?;
                if run < last {
                    end_with_conflict(tx).await?;
                }
                Ok(Committed::Done(run))
            }
            .scope_boxed()
        })
    };
    assert_eq!(until(3).await.unwrap(), 3);
    assert_eq!(written().await, [3], "only the run that was committed");
    let Err(Error::Problem(busy)) = until(4).await else { panic!("not refused") };
    assert_eq!(busy.code(), code::RESOURCE_LOCKED);
    assert_eq!(written().await, [3]);
    assert_eq!(db.conflicts(), BTreeMap::from([("test", 5)]));

    let refused: Result<()> = transact(ctx.db(), "test", |tx| {
        async move {
            write(tx, 10).await?;
            Ok(Committed::Refused(Problem::new(code::RESOURCE_NOT_FOUND)))
        }
        .scope_boxed()
    })
    .await;
    assert!(matches!(refused, Err(Error::Problem(problem)) if problem.code() == code::RESOURCE_NOT_FOUND));
    let failed: Result<()> = transact(ctx.db(), "test", |tx| {
        async move {
            write(tx, 11).await?;
            Err(code::RESOURCE_NOT_FOUND.into())
        }
        .scope_boxed()
    })
    .await;
    assert!(failed.is_err());
    assert_eq!(written().await, [3, 10], "a refusal that is committed stays, an error goes");
}
