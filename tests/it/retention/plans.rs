//! What a page costs does not depend on how much there is: no statement reads a row that is not on its page.
//!
//! `scripts/removal-at-scale` runs this with a million rows in each table and prints how long pages took. The names in
//! `VESTIBULE_REMOVERS` say which removers.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use vestibule::store::retention::{Mode, PAGE, REMOVERS, Remover, Walk};

use crate::support::TestApp;
use crate::support::person::sign_up;

/// Rows that are over or old, in each table.
fn size() -> i64 {
    std::env::var("VESTIBULE_ROWS").map_or(20_000, |rows| rows.parse().expect("VESTIBULE_ROWS is a number"))
}

/// The removers that are measured: all, unless some are named.
fn chosen() -> Vec<Remover> {
    let named = std::env::var("VESTIBULE_REMOVERS").unwrap_or_default();
    let named: Vec<&str> = named.split_whitespace().collect();
    for name in &named {
        assert!(REMOVERS.iter().any(|remover| remover.name() == *name), "no remover is called {name}");
    }
    REMOVERS.iter().copied().filter(|remover| named.is_empty() || named.contains(&remover.name())).collect()
}

/// What fills a table: columns and their values for the row `n`. The newest come first; every tenth is not over: `old` is
/// an end long ago, for every tenth one to come. `i` is the instance, `u` a user and `c` one of 500 clients.
/// Ids that begin with a zero are older than any that is ever made, and those that begin with a z are younger.
fn rows(remover: Remover) -> (&'static str, &'static str) {
    match remover {
        Remover::ProviderAuthorizationSecrets => (
            "verification_id, intent, target_id, client_id, provider, provider_config_version, state_hash, callback_url,
             redirect_url, scopes, expires_at, created_at, profile, id",
            "'ver_none', 'sign_in', 'sia_none', c, 'google', 1, sha256(n::text::bytea), 'https://a.example/callback',
             'https://a.example/', '{}', old, old, case when n % 10 < 5 then '{}'::jsonb end, 'sfl_' || k",
        ),
        Remover::ProviderAuthorizations => (
            "verification_id, intent, target_id, client_id, provider, provider_config_version, state_hash, callback_url,
             redirect_url, scopes, expires_at, created_at, id",
            "'ver_none', 'sign_in', 'sia_none', c, 'google', 1, sha256(n::text::bytea), 'https://a.example/callback',
             'https://a.example/', '{}', old, old, 'sfl_' || k",
        ),
        Remover::ExternalAccounts => (
            "identification_id, user_id, provider, provider_user_id, status, verified_at, expires_at, created_at,
             updated_at, id",
            "'idn_' || n, u, 'notion', n::text, case when n % 10 < 5 then 'pending' else 'verified' end,
             case when n % 10 >= 5 then old end, old, old, old, 'eac_' || k",
        ),
        Remover::Verifications => (
            "owner_id, role, strategy, status, expires_at, created_at, id",
            "'sia_' || n, 'first_factor', 'email_code', 'unverified', old, old, 'ver_' || k",
        ),
        Remover::SignIns => (
            "client_id, status, abandon_at, created_at, updated_at, replaced_at, id",
            "c, 'needs_identifier', old, old, old, old, 'sia_' || k",
        ),
        Remover::SignUps => (
            "client_id, status, abandon_at, created_at, updated_at, replaced_at, id",
            "c, 'missing_requirements', old, old, old, old, 'sua_' || k",
        ),
        Remover::Handshakes => ("hash, directives_sealed, expires_at", "sha256(n::text::bytea), ''::bytea, old - n * interval '1 ms'"),
        Remover::OauthCodes => (
            "expires_day, hash, grant_id, expires_at, created_at, application_id, user_id, redirect_uri,
             registered_redirect_uri, scopes, authenticated_at, consumed_at",
            "case when n % 10 = 0 then 40000 else 100 + n % 10 end, sha256(n::text::bytea), 'ogr_0' || n, old, old, 'oa_x',
             u, 'https://a.example/callback', 'https://a.example/callback', array['openid', 'email'], old, old",
        ),
        Remover::OauthAccessTokens => (
            "expires_day, hash, id, grant_id, format, scopes, expires_at, created_at",
            "case when n % 10 = 0 then 40000 else 100 + n % 10 end, sha256(n::text::bytea), 'oat_' || md5(n::text),
             'ogr_0' || n, 'opaque', array['openid', 'email'], old, old",
        ),
        Remover::OauthRefreshTokens => (
            "expires_day, hash, grant_id, generation, expires_at, created_at",
            "case when n % 10 = 0 then 40000 else 100 + n % 10 end, sha256(n::text::bytea), 'ogr_0' || n, 1, old, old",
        ),
        Remover::OauthGrants => (
            "application_id, user_id, scopes, authenticated_at, refresh_issued_at, refresh_expires_at,
             refresh_expires_day, created_at, id",
            "'oa_x', u, array['openid', 'email'], old, old, old, 100, old, 'ogr_' || k",
        ),
        Remover::Sessions => (
            "client_id, user_id, status, authenticated_at, expire_at, last_active_at, created_at, updated_at, id",
            "c, u, 'active', old, old, old, old, old, 'sess_' || k",
        ),
        Remover::Visitors => ("created_at, updated_at, id", "old, old, 'client_' || k"),
        Remover::Clients => ("created_at, updated_at, client_uat_at, id", "old, old, old, 'client_' || k"),
        Remover::ClientTokens => (
            "hash, hash_key_id, client_id, kind, generation, superseded_at, created_at",
            "sha256(n::text::bytea), 'k', c, 'dev_browser', n, old, old",
        ),
        Remover::RateLimits => ("kind, key_hash, hits, expires_at", "'send_again', sha256(n::text::bytea), array[old], old"),
        Remover::Flows => ("id, kind, status, started_at", "'flw_' || k, 'sign_in', 'open', old"),
        Remover::FlowSteps => (
            "flow_id, id, name, outcome, occurred_at",
            "'flw_' || overlay(k placing '0' from 27), 'fst_' || k, 'started', 'ok', old",
        ),
        Remover::AuditEvents => (
            "id, action, outcome, actor_kind, created_at",
            "'aud_' || k, 'session.created', 'success', 'system', old",
        ),
        Remover::Messages => (
            "id, kind, payload_sealed, run_at, done_at, created_at",
            "'msg_' || k, 'mail', ''::bytea, old, old, old",
        ),
        Remover::OutboxPayloads | Remover::Outbox => (
            "id, kind, payload, run_at, done_at, created_at",
            "'msg_' || k, 'event', '{\"type\": \"session.created\"}', old, old, old",
        ),
        Remover::InboxMessages => (
            "id, kind, recipient, content_sealed, created_at",
            "'inb_' || k, 'mail', 'ada@example.com', ''::bytea, old",
        ),
        Remover::SimulatorTokens => (
            "hash, provider, kind, family_id, provider_user_id, client_id, scopes, expires_at, created_at",
            "sha256(n::text::bytea), 'google', 'access', 'f' || n, 'x', 'x', '{}', old, old",
        ),
        Remover::SimulatorPeople => (
            "provider, provider_user_id, login_hint, person, created_at",
            "'google', md5(n::text), 'person' || n || '@example.com', '{\"first_name\": \"Person\"}', old",
        ),
    }
}

/// Fills the table of `remover`; of `count` rows, those whose number ends in a zero are not over, and as many are young.
async fn load(connection: &mut PgConnection, instance: &str, remover: Remover, count: i64) {
    let (columns, values) = rows(remover);
    let statement = format!(
        "insert into {} (instance_id, {columns}) select i, {values} from (
             select $1::text as i, n, (select id from users limit 1) as u, 'client_m' || n % 500 as c,
                 case when n > $2 then 'z' else '0' end || lpad(n::text, 26, '0') as k,
                 now() + case when n % 10 = 0 or n > $2 then interval '40 y' else interval '-2 y' end as old
             from generate_series($2 + $2 / 10, 1, -1) n offset 0) r",
        remover.table()
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(instance)
        .bind(count)
        .execute(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{remover:?}: {error}"));
    sqlx::query(AssertSqlSafe(format!("analyze {}", remover.table()))).execute(connection).await.unwrap();
}

/// Clients, and as many sessions and grants as other tables get rows: what removers ask about while they look at those.
async fn load_others(connection: &mut PgConnection, instance: &str) {
    sqlx::query(
        "with c as (insert into clients (instance_id, id, created_at, updated_at, client_uat_at)
             select $1, 'client_m' || n, now(), now(), now() from generate_series(0, 499) n returning id),
         s as (insert into sessions (instance_id, id, client_id, user_id, status, authenticated_at, expire_at,
                 last_active_at, created_at, updated_at)
             select $1, 'sess_m' || n, 'client_m' || n % 500, u.id, 'active', now(), now() + interval '6 d', now(), now(),
                 now()
             from generate_series(1, $2) n, users u)
         insert into oauth_grants (instance_id, id, application_id, user_id, scopes, authenticated_at, refresh_issued_at,
             refresh_expires_at, refresh_expires_day, created_at)
         select $1, 'ogr_m' || n, 'oa_x', u.id, '{}', now(), now(), now() + interval '3 d', 30000, now()
         from generate_series(1, $2) n, users u",
    )
    .bind(instance)
    .bind(i32::try_from(size()).unwrap())
    .execute(&mut *connection)
    .await
    .unwrap();
    connection.execute("analyze clients, sessions, oauth_grants").await.unwrap();
}

/// The statement of each remover, from the record of checked queries, the shortest first; several may be of one table.
fn statements() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .map(|text| serde_json::from_str::<Value>(&text).unwrap()["query"].as_str().unwrap().to_owned())
        .filter(|query| query.starts_with("with page as materialized"))
        .collect();
    found.sort_by_key(|query| query.len());
    assert_eq!(found.len(), REMOVERS.len());
    found
}

/// Every node of a plan that reads a table.
fn reads(node: &Value, found: &mut Vec<Value>) {
    if node["Relation Name"].is_string() && node["Actual Loops"].as_f64().unwrap_or(0.0) > 0.0 {
        found.push(node.clone());
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        reads(child, found);
    }
}

/// How many rows a node looked at, those that it left out included.
fn looked_at(node: &Value) -> f64 {
    let of = |name: &str| node[name].as_f64().unwrap_or(0.0);
    (of("Actual Rows") + of("Rows Removed by Filter") + of("Rows Removed by Index Recheck")) * of("Actual Loops")
}

/// What is wrong with the plan of `statement` on the table as it is; nothing is removed.
async fn offences(
    connection: &mut PgConnection,
    instance: &str,
    remover: Remover,
    statement: &str,
    mode: &str,
) -> Vec<String> {
    let prefix = match remover {
        Remover::ProviderAuthorizationSecrets | Remover::ProviderAuthorizations => "sfl_1",
        Remover::ExternalAccounts => "eac_1",
        Remover::Verifications => "ver_1",
        Remover::SignIns => "sia_1",
        Remover::SignUps => "sua_1",
        Remover::OauthCodes | Remover::OauthAccessTokens | Remover::OauthRefreshTokens => "30000",
        Remover::OauthGrants => "ogr_1",
        Remover::Sessions => "sess_1",
        Remover::Visitors | Remover::Clients => "client_1",
        Remover::Flows | Remover::FlowSteps => "flw_1",
        Remover::AuditEvents => "aud_1",
        Remover::Messages | Remover::OutboxPayloads | Remover::Outbox => "msg_1",
        Remover::InboxMessages => "inb_1",
        Remover::Handshakes
        | Remover::ClientTokens
        | Remover::RateLimits
        | Remover::SimulatorTokens
        | Remover::SimulatorPeople => "",
    };
    let mut transaction = connection.begin().await.unwrap();
    let settings = format!("set local session_replication_role = origin; set local plan_cache_mode = {mode}");
    transaction.execute(AssertSqlSafe(settings)).await.unwrap();
    transaction.execute(AssertSqlSafe(format!("prepare page as {statement}"))).await.unwrap();
    let explain = format!(
        "explain (analyze, buffers, format json) execute page (array['{instance}', 'ins_zzz'], array['', ''],
             array['{prefix}', '{prefix}'], array[now(), now()], interval '1 d', {PAGE}, true)"
    );
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    connection.execute("deallocate page").await.unwrap();
    let mut nodes = Vec::new();
    reads(&plan[0]["Plan"], &mut nodes);
    // The row after the last one may be looked at to know that it is another.
    let page = f64::from(i32::try_from(PAGE).unwrap() + 1);
    let of = |node: &Value| format!("{} on {}: {} rows", node["Node Type"], node["Relation Name"], looked_at(node));
    let mut wrong: Vec<String> = nodes
        .iter()
        .filter(|node| {
            // A table that is empty is scanned.
            let is_scan = node["Node Type"] == "Seq Scan" && looked_at(node) > 0.0;
            is_scan || looked_at(node) > page
        })
        .map(of)
        .collect();
    let blocks = |name: &str| plan[0]["Plan"][name].as_f64().unwrap();
    let buffers = blocks("Shared Hit Blocks") + blocks("Shared Read Blocks");
    if buffers > 20.0 * page {
        wrong.push(format!("{buffers} buffers"));
    }
    wrong
}

/// Removes page by page; prints how long pages took, and returns how many rows went.
async fn walk(app: &TestApp, remover: Remover) -> i64 {
    let db = &app.app().db;
    let mut walk = Walk::begin(db, remover, &app.app().config.retention, None).await.unwrap();
    let (mut removed, mut times) = (0, Vec::new());
    while !walk.is_finished() {
        let begun = Instant::now();
        removed += walk.next(db, Mode::Remove).await.unwrap().removed;
        times.push(begun.elapsed());
    }
    let total: Duration = times.iter().sum();
    let mean = total.as_secs_f64() * 1000.0 / f64::from(u32::try_from(times.len()).unwrap());
    let slowest = times.iter().max().unwrap().as_secs_f64() * 1000.0;
    println!(
        "{:22} {removed:9} rows {:6} pages  mean {mean:7.1} ms  slowest {slowest:7.1} ms",
        remover.name(),
        times.len()
    );
    removed
}

#[tokio::test]
async fn a_page_reads_its_rows_and_no_other() {
    let app = TestApp::start().await;
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    app.execute(
        "insert into oauth_applications (instance_id, id, client_id, kind, name, client_secret_hash, redirect_uris,
             scopes, created_at, updated_at)
         select $1, 'oa_x', $2, 'managed', 'x', sha256(''), array['https://x.example'], '{}', now(), now()",
        "client",
    )
    .await;
    app.app().recorder.flush().await;
    let mut connection = PgConnection::connect_with(&app.db.options()).await.unwrap();
    // What is loaded takes as long as it takes; what is measured runs under the limits of a server. Foreign keys are not
    // looked up row by row while tables are filled and cleared: that is most of the time at a million rows.
    connection.execute("set statement_timeout = 0; set session_replication_role = replica").await.unwrap();
    load_others(&mut connection, app.instance.as_str()).await;
    let statements = statements();
    let (count, mut wrong) = (size(), Vec::new());
    for remover in &chosen() {
        load(&mut connection, app.instance.as_str(), *remover, count).await;
        for statement in
            statements.iter().filter(|statement| statement.contains(&format!("from {} t\n", remover.table())))
        {
            for mode in ["force_generic_plan", "force_custom_plan"] {
                let found = offences(&mut connection, app.instance.as_str(), *remover, statement, mode).await;
                wrong.extend(found.into_iter().map(|offence| format!("{remover:?}, {mode}: {offence}")));
            }
        }
        let removed = walk(&app, *remover).await;
        let tenths = match remover {
            // The others hold nothing, or are connected.
            Remover::ProviderAuthorizationSecrets | Remover::ExternalAccounts => 4,
            Remover::FlowSteps => 10,
            _ => 9,
        };
        assert_eq!(removed, count / 10 * tenths, "{remover:?}");
        let clear = format!(
            "delete from {} where instance_id = $1 and ({})",
            remover.table(),
            match remover {
                Remover::Visitors | Remover::Clients => "id like 'client\\_0%' or id like 'client\\_z%'",
                Remover::OauthGrants => "id like 'ogr\\_0%' or id like 'ogr\\_z%'",
                Remover::Sessions => "id like 'sess\\_0%' or id like 'sess\\_z%'",
                _ => "true",
            }
        );
        sqlx::query(AssertSqlSafe(clear)).bind(app.instance.as_str()).execute(&mut connection).await.unwrap();
        connection.execute(AssertSqlSafe(format!("vacuum analyze {}", remover.table()))).await.unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
