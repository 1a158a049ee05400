//! `limits::rows`: every table has its line, nobody reaches more than it says, and what strangers made goes away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use http::Method;
use reqwest::RequestBuilder;
use serde_json::json;
use vestibule::config::Retention;
use vestibule::config::keys::KEYS;
use vestibule::config::limits::Rate;
use vestibule::http::route::{Caller, Route};
use vestibule::http::router;
use vestibule::limits::rows::{End, LINES, Maker, STRAY_FLOWS, TableRows};
use vestibule::store::retention::REMOVERS;

use crate::pages::visitor::{Form, open};
use crate::support::oauth::member;
use crate::support::person::{APP, begin, provider_url, sign_up};
use crate::support::retention;
use crate::support::rows::{more_than, rows, tables};
use crate::support::{Answer, TestApp, send};

fn is_made_by(line: &TableRows, maker: Maker) -> bool {
    line.sources.iter().any(|source| source.maker == maker)
}

#[tokio::test]
async fn every_table_has_a_line_and_every_line_a_table() {
    let app = TestApp::start().await;
    let known: BTreeSet<String> = LINES.iter().map(|line| line.table.to_owned()).collect();
    assert_eq!(known.len(), LINES.len(), "a table stands there twice");
    assert_eq!(known, tables(&app).await.into_iter().collect());
    for line in LINES {
        assert_eq!(line.sources.is_empty(), line.bytes == 0, "{}", line.table);
        let is_removed = REMOVERS.iter().any(|remover| remover.table() == line.table);
        match line.end {
            End::Removed(hours, setting) | End::WithOwnerOrUnfinished(hours, setting) => {
                assert!(is_removed, "nothing removes {}", line.table);
                let by_default = default_of(setting).unwrap_or(Duration::from_secs(3600));
                assert_eq!(Duration::from_secs(u64::from(hours) * 3600), by_default, "{}: {setting}", line.table);
            }
            End::Stays(_) => assert!(!is_removed, "{} is removed", line.table),
            End::WithOwner => {
                assert!(!is_removed, "{} is removed", line.table);
                assert!(line.sources.is_empty(), "{} is a stranger's, who has no account to go with", line.table);
            }
        }
        for source in line.sources {
            assert!(!source.budget.is_empty(), "{} has no budget", line.table);
            let is_known = |name: &&str| *name == STRAY_FLOWS || KEYS.iter().any(|key| key.name == *name);
            assert!(source.budget.iter().all(is_known), "{}: {:?}", line.table, source.budget);
        }
    }
}

/// How long rows stay by default of a setting; `None` where no setting says it.
fn default_of(setting: &str) -> Option<Duration> {
    let retention = Retention::default();
    Some(match setting {
        "" => return None,
        "retention.access_tokens" => retention.access_tokens,
        "retention.attempts" => retention.attempts,
        "retention.audit" => retention.audit,
        "retention.flows" => retention.flows,
        "retention.grants" => retention.grants,
        "retention.inbox" => retention.inbox,
        "retention.outbox" => retention.outbox,
        "retention.sessions" => retention.sessions,
        "retention.visitors" => retention.visitors,
        other => panic!("{other} is no setting of how long rows stay"),
    })
}

/// A line as `docs/row-budgets.md` has it.
fn shown(line: &TableRows) -> String {
    let code = |text: &str| if text.contains(' ') { text.to_owned() } else { format!("`{text}`") };
    let maker = |maker| match maker {
        Maker::Visitor => "anybody",
        Maker::Application => "an application",
    };
    let sources: Vec<String> = line
        .sources
        .iter()
        .map(|source| {
            let budgets: Vec<String> = source.budget.iter().map(|budget| code(budget)).collect();
            format!("{}: {} ({})", maker(source.maker), source.request, budgets.join(", "))
        })
        .collect();
    let sources = if sources.is_empty() { format!("nobody; {}", line.otherwise) } else { sources.join("; ") };
    let end = match line.end {
        End::Removed(hours, "") => format!("removed after {hours} h"),
        End::Removed(hours, setting) => format!("removed after {hours} h (`{setting}`)"),
        End::Stays(why) => why.to_owned(),
        End::WithOwner => "with its owner".to_owned(),
        End::WithOwnerOrUnfinished(hours, setting) => {
            format!("with its owner; one that was never finished after {hours} h (`{setting}`)")
        }
    };
    let bytes = if line.bytes == 0 { String::new() } else { line.bytes.to_string() };
    format!("| `{}` | {sources} | {end} | {bytes} |", line.table)
}

#[test]
fn the_document_shows_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/row-budgets.md");
    let document = std::fs::read_to_string(path).unwrap();
    let found: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = LINES.iter().map(shown).collect();
    assert_eq!(found, wanted, "the table should read:\n{}\n", wanted.join("\n"));
}

/// A path with its parameters filled in.
fn filled(path: &str) -> String {
    let word = |part: &str| match part {
        "{slug}" => "google".to_owned(),
        "{*path}" => "authorize".to_owned(),
        part if part.starts_with('{') => "x".to_owned(),
        part => part.to_owned(),
    };
    path.split('/').map(word).collect::<Vec<_>>().join("/")
}

/// What a stranger might write into a query or a form.
const GUESSES: &[&[(&str, &str)]] = &[
    &[],
    &[("strategy", "oauth_google"), ("redirect_url", "/sso-callback"), ("action_complete_redirect_url", "/done")],
    &[("identifier", "nobody@example.com"), ("password", "blauwale fliegen nie")],
    &[("email_address", "nobody@example.com"), ("strategy", "email_code")],
    &[("identifier", "ada@example.com"), ("strategy", "email_link"), ("redirect_url", "/verify")],
    &[("transfer", "true")],
    &[("token", "x"), ("code", "x"), ("state", "x"), ("rotating_token_nonce", "x")],
    &[("grant_type", "authorization_code"), ("code", "x"), ("client_id", "x"), ("redirect_uri", "https://x.example/")],
    &[("grant_type", "refresh_token"), ("refresh_token", "ort_x"), ("client_id", "x")],
    &[("redirect_url", "http://localhost:3000/"), ("login_hint", "eve@example.com"), ("auto", "1")],
    &[("person", "eve@example.com"), ("consented", "true")],
];

fn call(
    app: &TestApp,
    request: impl Fn(Method, &str) -> RequestBuilder,
    route: &Route,
    guess: &[(&str, &str)],
) -> RequestBuilder {
    let url = url::Url::parse_with_params(&app.url(&filled(route.path)), guess).unwrap();
    let url = if guess.is_empty() { app.url(&filled(route.path)) } else { url.to_string() };
    let request = match route.method {
        Method::GET => request(Method::GET, &url),
        _ => request(route.method.clone(), &app.url(&filled(route.path))).form(guess),
    };
    let origin = if route.rules.caller == Caller::Browser { APP.to_owned() } else { app.origin() };
    request.header("origin", origin).header("sec-fetch-site", "same-origin")
}

/// Whatever a stranger asks of any public route: no row where the table says that strangers make none. The development
/// instance answers at every route that a production instance answers at, and at more.
#[tokio::test]
async fn public_routes_without_credentials_reach_only_the_tables_that_say_so() {
    let app = TestApp::start().await;
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", PASSWORDS).await;
    app.app().forget_directory();
    let before = rows(&app).await;
    let (jar, mut calls) = (app.browser(), 0);
    for route in router::routes() {
        if matches!(route.rules.caller, Caller::SecretKey | Caller::Operator) {
            continue;
        }
        for guess in GUESSES {
            let bare = send(call(&app, |method, url| jar.raw(method, url), &route, guess)).await;
            let held = jar.send(call(&app, |method, url| jar.request(method, url), &route, guess)).await;
            for answer in [bare, held] {
                assert!(answer.status.as_u16() < 500, "{} {}: {}", route.method, route.path, answer.text);
                calls += 1;
            }
        }
    }
    assert!(calls > 1_000, "{calls}");
    let reached = more_than(&app, &before).await;
    for (table, count) in &reached {
        let line = LINES.iter().find(|line| line.table == table).unwrap();
        assert!(is_made_by(line, Maker::Visitor), "{count} rows of {table}, which no stranger should reach");
    }
    assert!(
        ["clients", "sign_ins", "sign_ups", "flows"].iter().all(|table| reached.contains_key(*table)),
        "{reached:?}"
    );
}

const PASSWORDS: &str = r#"{"attributes": {"password": {"enabled": true}}}"#;
/// Each budget of the next test, and so many mails.
const BUDGET: u32 = 6;
const MAILS: u32 = 3;

/// Budgets of an hour, so that no slow machine begins a second one.
async fn strict() -> TestApp {
    let app = TestApp::with(1, |config| {
        config.limits.relaxed = false;
        let hour = |count| Rate { count, window: Duration::from_secs(3600) };
        let rates = &mut config.limits.rates;
        (rates.create_attempt, rates.attempt_proof, rates.authorize) = (hour(BUDGET), hour(BUDGET), hour(BUDGET));
        (rates.send_from_address, rates.oauth_client) = (hour(MAILS), hour(BUDGET));
    })
    .await;
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", PASSWORDS).await;
    app.app().forget_directory();
    app
}

/// Does something again and again until its budget is spent; returns how often it was done.
async fn until_refused(what: &str, mut act: impl AsyncFnMut(u32) -> Answer) -> u32 {
    for count in 0..100 {
        let answer = act(count).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some(), "{what}");
            return count;
        }
        assert!(answer.status.as_u16() < 500, "{what}: {}", answer.text);
    }
    panic!("{what}: no limit");
}

/// Everything that somebody without an account can make, until every budget says no.
async fn spend_everything(app: &TestApp) {
    let asker = app.browser();
    let typed = [("email_address", "nobody@example.com"), ("password", "blauwale fliegen nie")];
    let begun = asker.post_form(app.url("/v1/client/sign_ups"), APP, &typed).await.expect(200).json();
    let attempt = app.url(&format!("/v1/client/sign_ups/{}", begun["response"]["id"].as_str().unwrap()));
    let first = begin(app, &app.browser(), "sign_ins", "oauth_google").await;
    let provider = provider_url(&first);

    let starts = until_refused("starts", async |_| begin(app, &app.browser(), "sign_ins", "oauth_google").await).await;
    assert_eq!(starts, BUDGET - 2);
    let form = Form::on(&open(&asker, app.url("/sign-up")).await);
    assert_eq!(form.press(&asker, "strategy", "oauth_google").await.status, 429);

    let mails = until_refused("mails", async |_| {
        // The pause between two to one recipient is not what is tried here.
        app.execute("delete from rate_limits where instance_id = $1 and kind = $2", "send_again").await;
        asker.post_form(format!("{attempt}/prepare_verification"), APP, &[("strategy", "email_code")]).await
    })
    .await;
    assert_eq!(mails, MAILS);
    let token = asker.cookie("localhost", "__client").unwrap();
    for _ in 0..2 {
        let guess = app.url("/v1/client?_is_native=1&rotating_token_nonce=x");
        send(app.browser().raw(Method::GET, &guess).header("authorization", &token)).await.expect(200);
    }
    let guesses = until_refused("guesses", async |_| {
        let typed = [("strategy", "email_code"), ("code", "000000")];
        asker.post_form(format!("{attempt}/attempt_verification"), APP, &typed).await
    })
    .await;
    assert_eq!(guesses, BUDGET - 2);
    let approvals = until_refused("approvals", async |count| {
        let mut url = provider.clone();
        let person = format!("person{count}@example.com");
        url.query_pairs_mut().append_pair("login_hint", &person).append_pair("auto", "1");
        asker.get(url).await
    })
    .await;
    assert!((2..=BUDGET).contains(&approvals), "{approvals}");
    for _ in 0..30 {
        asker.get(app.url("/v1/oauth_callback?state=x&code=x")).await.expect(400);
    }
}

/// An application's tokens until its budget says no.
async fn refresh_until_refused(app: &TestApp) {
    let client = app.application(json!({ "scopes": "profile email offline_access" })).await;
    let tokens = app.tokens(&client, "bob", "openid profile offline_access").await;
    let mut refresh = member(&tokens, "refresh_token").to_owned();
    until_refused("refreshes", async |_| {
        let answer = app.refresh(&client, &refresh).await;
        if answer.status == 200 {
            refresh = member(&answer.json(), "refresh_token").to_owned();
        }
        answer
    })
    .await;
}

/// The bytes that a row of each table takes on average.
async fn sizes(app: &TestApp, tables: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u32> {
    let mut sizes = BTreeMap::new();
    for table in tables {
        let statement =
            sqlx::AssertSqlSafe(format!("select coalesce(avg(pg_column_size(t.*)), 0)::int from {table} t"));
        let size: i32 = sqlx::query_scalar(statement).fetch_one(&app.app().db).await.unwrap();
        sizes.insert(table, u32::try_from(size).unwrap());
    }
    sizes
}

#[tokio::test]
async fn what_strangers_make_ends_with_their_budgets_and_is_as_large_as_the_table_says() {
    let app = strict().await;
    let before = rows(&app).await;
    spend_everything(&app).await;
    let made = more_than(&app, &before).await;
    let is_made_here = |line: &&TableRows| is_made_by(line, Maker::Visitor) && line.table != "outbox";
    let reachable: Vec<&TableRows> = LINES.iter().filter(is_made_here).collect();
    let mut wrong = Vec::new();
    for line in &reachable {
        let count = made.get(line.table).copied().unwrap_or(0);
        // The largest share of one budget: ten stray flows and some steps of each thing that was done.
        if !(1..=100).contains(&count) {
            wrong.push(format!("{}: {count} rows", line.table));
        }
    }
    // What is counted in the database is counted for a limit that the table names.
    let limits: BTreeSet<&str> = reachable
        .iter()
        .filter(|line| line.table == "rate_limits")
        .flat_map(|line| line.sources.iter().flat_map(|source| source.budget.iter().copied()))
        .collect();
    let counted: Vec<String> =
        sqlx::query_scalar("select distinct kind from rate_limits").fetch_all(&app.app().db).await.unwrap();
    wrong.extend(counted.iter().filter(|kind| !limits.contains(&*format!("limits.{kind}"))).cloned());
    let sizes = sizes(&app, reachable.iter().map(|line| line.table)).await;
    for line in &reachable {
        let size = sizes[line.table];
        if size > line.bytes || line.bytes > 2 * size {
            wrong.push(format!("{}: a row takes {size} bytes, not {}", line.table, line.bytes));
        }
    }
    wrong.extend(made.keys().filter(|table| !reachable.iter().any(|line| line.table == *table)).cloned());
    assert!(wrong.is_empty(), "{wrong:#?}\n{made:?}");
}

#[tokio::test]
async fn an_applications_tokens_end_with_its_budget() {
    let app = strict().await;
    let before = rows(&app).await;
    refresh_until_refused(&app).await;
    let made = more_than(&app, &before).await;
    for line in LINES.iter().filter(|line| is_made_by(line, Maker::Application)) {
        let count = made.get(line.table).copied().unwrap_or(0);
        let is_audit = line.table == "audit_events";
        assert!(count <= 40 && (count > 0 || is_audit), "{count} rows of {}: {made:?}", line.table);
    }
    let sizes = sizes(&app, ["oauth_access_tokens", "oauth_refresh_tokens"].into_iter()).await;
    for (table, size) in &sizes {
        let line = LINES.iter().find(|line| line.table == *table).unwrap();
        assert!(*size <= line.bytes && line.bytes <= 2 * size, "a row of {table} takes {size} bytes");
    }
}

/// What goes by the server's clock, which this test does not move.
const BY_SERVER_CLOCK: [&str; 2] = ["audit_events", "outbox"];

#[tokio::test]
async fn what_strangers_made_is_gone_after_its_time() {
    let app = strict().await;
    let before = rows(&app).await;
    spend_everything(&app).await;
    let made = more_than(&app, &before).await;
    let of_strangers = LINES.iter().filter(|line| !line.sources.is_empty() && !BY_SERVER_CLOCK.contains(&line.table));
    let ends: BTreeSet<(u32, &str)> = of_strangers
        .filter_map(|line| if let End::Removed(hours, _) = line.end { Some((hours, line.table)) } else { None })
        .collect();
    // An attempt is over a day after it began, at the latest.
    let mut passed = 0;
    for (hours, table) in ends {
        app.advance(Duration::from_secs(u64::from(hours + 25 - passed) * 3600)).await;
        passed = hours + 25;
        for remover in REMOVERS {
            retention::remove(&app, *remover).await;
        }
        let left = more_than(&app, &before).await.get(table).copied().unwrap_or(0);
        assert_eq!(left, 0, "rows of {table} after {hours} h");
    }
    let mut left = more_than(&app, &before).await;
    left.remove("jobs");
    let stays = |table: &str| {
        let line = LINES.iter().find(|line| line.table == table).unwrap();
        BY_SERVER_CLOCK.contains(&table) || matches!(line.end, End::Stays(_))
    };
    let rest: BTreeMap<_, _> = made.into_iter().filter(|(table, _)| stays(table)).collect();
    assert_eq!(left, rest, "what the table says stays, and nothing else");
}
