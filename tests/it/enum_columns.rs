//! Every column that holds one of a few values is read into an enum: a value that no variant has is a fault, told as
//! one, never a default. A column that nothing decides by says so in its line.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;
use url::Url;
use vestibule::crypto::Secret;
use vestibule::model::id::{OutboxId, UserId};
use vestibule::store::outbox::{self, Kind};
use vestibule::store::pool::PgPool;
use vestibule::store::user_passwords;

use crate::support::oauth::OAuthClient;
use crate::support::person::{APP, approve, begin, provider_url, sign_up};
use crate::support::program::Program;
use crate::support::{Answer, Browser, SignedUp, TestApp};

/// What stands before each value of a column while its reader is asked: no variant begins like that.
const FOREIGN: &str = "tomorrow_";
const PASSWORD: &str = "blauwale fliegen nie";

/// Who reads a column, where everybody can see what comes of it.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// `GET` of the backend API; `{user}` is somebody with an account at a provider.
    Backend(&'static str),
    /// `GET` of a page or document that needs no session; `{flow}` is a recorded flow.
    Page(&'static str),
    /// The client, with an attempt of that kind under way at a provider.
    Client(&'static str),
    /// The command line.
    Command(&'static [&'static str]),
    /// The worker that empties the outbox.
    Worker,
    /// The callback of somebody who comes back from a provider.
    Callback,
    /// Beginning a sign-in with a provider.
    Start,
    /// The password of somebody who is signed in, asked once more.
    Reverification,
    /// A simulated provider, asked what a code is.
    SimulatedCode,
    /// A simulated provider, asked for its keys.
    SimulatedKeys,
    /// The token endpoint, with a code.
    Redemption,
    /// Nobody decides by it: why not.
    Nobody(&'static str),
}

/// A column and its reader.
struct Line(&'static str, &'static str, Reader);

/// Every such column. Those that the database checks must stand here; the others hold texts of a list too.
const LINES: &[Line] = &[
    Line("instances", "environment_type", Reader::Backend("/v1/users/{user}")),
    Line("instances", "environment_type", Reader::Command(&["instance", "list"])),
    Line("instance_hosts", "kind", Reader::Nobody("only written: a host is its instance's whatever its kind")),
    Line("instance_origins", "kind", Reader::Nobody("only filters which origins an operator may take off the list")),
    Line("signing_keys", "purpose", Reader::Page("/.well-known/jwks.json")),
    Line("provider_configs", "credentials", Reader::Start),
    Line("provider_configs", "credentials", Reader::Command(&["provider", "list"])),
    Line("users", "lock_reason", Reader::Reverification),
    Line("identifications", "kind", Reader::Backend("/v1/users/{user}")),
    Line("identifications", "status", Reader::Backend("/v1/users/{user}")),
    Line("external_accounts", "status", Reader::Backend("/v1/users/{user}")),
    Line("provider_tokens", "state", Reader::Backend("/v1/users/{user}/oauth_access_tokens/oauth_google")),
    Line("provider_tokens", "reason", Reader::Backend("/v1/users/{user}/oauth_access_tokens/oauth_google")),
    Line("client_tokens", "kind", Reader::Nobody("only filters which token of a client is replaced")),
    Line("sessions", "status", Reader::Nobody("only filters: what is neither pending nor active is no session")),
    Line("sign_ins", "status", Reader::Client("sign_ins")),
    Line("sign_ups", "status", Reader::Client("sign_ups")),
    Line("verifications", "role", Reader::Nobody("only filters: a verification is looked up by what it is for")),
    Line("verifications", "status", Reader::Client("sign_ins")),
    Line("provider_authorizations", "intent", Reader::Callback),
    Line("provider_authorizations", "transport", Reader::Callback),
    Line("oauth_applications", "kind", Reader::Backend("/v1/oauth_applications")),
    Line("oauth_applications", "id_token_claims", Reader::Backend("/v1/oauth_applications")),
    Line("oauth_applications", "id_token_claims", Reader::Redemption),
    Line("oauth_applications", "access_token_format", Reader::Nobody("no statement reads or writes it yet")),
    Line("oauth_access_tokens", "format", Reader::Nobody("only written: there is one format yet")),
    Line("audit_events", "outcome", Reader::Nobody("only written, for operators to read")),
    Line("outbox", "kind", Reader::Worker),
    Line("inbox_messages", "kind", Reader::Nobody("only written: mails alone are stored yet")),
    Line("simulator_tokens", "kind", Reader::SimulatedCode),
    Line("simulator_providers", "fault", Reader::SimulatedKeys),
    Line("simulator_providers", "refresh", Reader::SimulatedKeys),
    Line("flows", "kind", Reader::Page("/_dev/flows.json")),
    Line("flows", "status", Reader::Page("/_dev/flows.json")),
    Line("flows", "status", Reader::Command(&["flow", "list"])),
    Line("flows", "reason", Reader::Command(&["flow", "list"])),
    Line("flow_steps", "name", Reader::Page("/_dev/flows/{flow}")),
    Line("flow_steps", "outcome", Reader::Page("/_dev/flows/{flow}")),
    Line("flow_steps", "reason", Reader::Page("/_dev/flows/{flow}")),
];

/// Columns with more values than the database checks: it must not know them as such a column, or their line is lost.
const UNCHECKED: [(&str, &str); 8] = [
    ("provider_tokens", "reason"),
    ("simulator_providers", "fault"),
    ("simulator_providers", "refresh"),
    ("flows", "kind"),
    ("flows", "reason"),
    ("flow_steps", "name"),
    ("flow_steps", "outcome"),
    ("flow_steps", "reason"),
];

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// What was asked for.
    Well,
    /// A fault of ours, told as one.
    Fault,
    /// Anything else.
    Other(String),
}

impl Outcome {
    fn of(answer: &Answer) -> Self {
        match answer.status.as_u16() {
            200 | 302 | 303 => Self::Well,
            500 => {
                let body: serde_json::Value = serde_json::from_str(&answer.text).unwrap_or_default();
                let is_envelope =
                    body["errors"][0]["code"] == "internal_clerk_error" && body["clerk_trace_id"].is_string();
                // The OAuth endpoints have an envelope of their own (RFC 6749 section 5.2).
                let is_fault = is_envelope || body["error"] == "server_error";
                if is_fault { Self::Fault } else { Self::Other(answer.text.clone()) }
            }
            status => Self::Other(format!("{status}: {}", answer.text)),
        }
    }
}

/// Somebody who has used everything once.
struct World {
    app: TestApp,
    program: Program,
    person: SignedUp,
    client: OAuthClient,
    flow: String,
}

impl World {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let email = "ada@example.com".to_owned();
        let user_id = sign_up(&app, &app.browser(), "oauth_google", &email).await;
        let ctx = app.ctx().await;
        let digest = ctx.app.passwords.hash(ctx.rng(), &Secret::from(PASSWORD.to_owned())).await.unwrap();
        let user = UserId::parse(&user_id).unwrap();
        user_passwords::set(&mut ctx.db(), &user, &digest).await.unwrap();
        let settings = r#"{"attributes": {"password": {"enabled": true}}}"#;
        app.execute("update instances set settings = settings || $2::jsonb where id = $1", settings).await;
        app.app().forget_directory();
        let client = app.application(json!({})).await;
        // A start that is refused has a reason, in its flow and in a step of it.
        let refused = begin(&app, &app.browser(), "sign_ins", "oauth_nope").await.expect(400);
        let flow = refused.header("x-vestibule-flow").unwrap().to_owned();
        app.app().recorder.flush().await;
        let program = app.program();
        let world = Self { app, program, person: SignedUp { user_id, email }, client, flow };
        // Values where the ordinary way leaves none.
        for statement in [
            "update provider_tokens set reason = 'refresh_refused:lost'",
            "update simulator_providers set fault = 'http_500@discovery', refresh = 'fixed'",
        ] {
            sqlx::query(statement).execute(world.db()).await.unwrap();
        }
        world
    }

    fn db(&self) -> &PgPool {
        &self.app.app().db
    }

    /// Gives every row a value that no variant has. Checks that know the column are in the way.
    async fn poison(&self, table: &str, column: &str) {
        let checks: Vec<(String, String)> = sqlx::query_as(
            "select conrelid::regclass::text, conname::text from pg_constraint
             where contype = 'c' and connamespace = 'vestibule'::regnamespace and pg_get_constraintdef(oid) ~ $1",
        )
        .bind(format!(r"\m{column}\M"))
        .fetch_all(self.db())
        .await
        .unwrap();
        for (of, check) in checks {
            self.run(format!("alter table {of} drop constraint {check}")).await;
        }
        let written = self.run(format!("update {table} set {column} = '{FOREIGN}' || {column}")).await;
        assert!(written > 0, "{table} is empty");
        let statement = format!("select count(*) from {table} where {column} like '{FOREIGN}%'");
        let there: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(self.db()).await.unwrap();
        assert!(there > 0, "{table}.{column} is null everywhere");
        self.app.app().forget_directory();
    }

    /// Takes the foreign values back.
    async fn restore(&self, table: &str, column: &str) {
        let begins = FOREIGN.len() + 1;
        self.run(format!("update {table} set {column} = substr({column}, {begins}) where {column} like '{FOREIGN}%'"))
            .await;
        self.app.app().forget_directory();
    }

    async fn run(&self, statement: String) -> u64 {
        let done = sqlx::query(AssertSqlSafe(statement.clone())).execute(self.db()).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
    }

    /// What has to be there before the column is poisoned; each works once.
    async fn prepare(&self, reader: Reader) -> Prepared {
        let browser = self.app.browser();
        let mut text = String::new();
        match reader {
            Reader::Callback | Reader::SimulatedCode => {
                let begun = begin(&self.app, &browser, "sign_ins", "oauth_google").await.expect(200);
                text = approve(&browser, provider_url(&begun), &self.person.email).await.to_string();
            }
            Reader::Redemption => {
                self.app.sign_in(&browser, &self.person).await;
                text = self.app.code(&browser, &self.client, &[]).await;
            }
            Reader::Reverification => {
                // A lock that is over; a try that is counted forgets it.
                self.run("update users set lock_reason = 'attempts'".to_owned()).await;
                let session = self.app.sign_in(&browser, &self.person).await;
                let path = format!("/v1/client/sessions/{session}/verify");
                browser.post_form(self.app.url(&path), APP, &[("level", "first_factor")]).await.expect(200);
                text = path;
            }
            Reader::Client(kind) => {
                begin(&self.app, &browser, kind, "oauth_google").await.expect(200);
            }
            Reader::Worker => text = self.put_event().await,
            Reader::Backend(_) | Reader::Page(_) | Reader::Command(_) | Reader::Start => {}
            Reader::SimulatedKeys | Reader::Nobody(_) => {}
        }
        Prepared { browser, text }
    }

    async fn put_event(&self) -> String {
        let ctx = self.app.ctx().await;
        let id = OutboxId::new(ctx.now, ctx.rng());
        outbox::put(&mut ctx.db(), &id, Kind::Event, &json!({ "type": "test" })).await.unwrap();
        id.to_string()
    }

    async fn read(&mut self, reader: Reader, prepared: &Prepared) -> Outcome {
        let Prepared { browser, text } = prepared;
        let path = |path: &str| path.replace("{user}", &self.person.user_id).replace("{flow}", &self.flow);
        let simulated = |path: &str| self.app.url(&format!("/_dev/providers/google/{path}"));
        let answer = match reader {
            Reader::Backend(at) => self.app.backend_get(&path(at)).await,
            Reader::Page(at) => browser.get(self.app.url(&path(at))).await,
            Reader::Client(_) => browser.get(self.app.url("/v1/client")).await,
            Reader::Command(arguments) => {
                let finished = self.program.run(arguments);
                return match (finished.code, finished.stderr.contains(FOREIGN)) {
                    (0, false) => Outcome::Well,
                    (1, true) => Outcome::Fault,
                    _ => Outcome::Other(format!("{finished:?}")),
                };
            }
            Reader::Worker => return self.delivered(text).await,
            Reader::Callback => browser.get(text).await,
            Reader::Start => begin(&self.app, browser, "sign_ins", "oauth_google").await,
            Reader::Reverification => {
                let form = [("strategy", "password"), ("password", PASSWORD)];
                browser.post_form(self.app.url(&format!("{text}/attempt_first_factor")), APP, &form).await
            }
            Reader::SimulatedCode => {
                let code = text.parse::<Url>().unwrap();
                let code = code.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
                browser.send(browser.raw(Method::POST, &simulated("state")).json(&json!({ "describe": code }))).await
            }
            Reader::SimulatedKeys => browser.get(simulated("oauth2/v3/certs")).await,
            Reader::Redemption => self.app.redeem(&self.client, text, &[]).await,
            Reader::Nobody(why) => panic!("nobody reads it: {why}"),
        };
        Outcome::of(&answer)
    }

    /// What the worker makes of a side effect; beside it there is one that it knows, which it delivers all the same.
    async fn delivered(&mut self, id: &str) -> Outcome {
        let other = self.put_event().await;
        self.app.start_jobs();
        let begun = Instant::now();
        let outcome = loop {
            let [(is_done, error), (other_is_done, _)] = [self.effect(id).await, self.effect(&other).await];
            match (is_done, error, other_is_done) {
                (true, _, true) => break Outcome::Well,
                (false, Some(error), true) if error.contains(FOREIGN) => break Outcome::Fault,
                (false, Some(error), true) => break Outcome::Other(error),
                found if begun.elapsed() > Duration::from_secs(20) => break Outcome::Other(format!("{found:?}")),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.app.stop_jobs().await;
        outcome
    }

    async fn effect(&self, id: &str) -> (bool, Option<String>) {
        let statement = "select done_at is not null, last_error from outbox where id = $1";
        sqlx::query_as(statement).bind(id).fetch_one(self.db()).await.unwrap()
    }
}

/// What a reader needs.
struct Prepared {
    browser: Browser,
    text: String,
}

#[tokio::test]
async fn value_that_no_variant_has_is_a_fault() {
    let mut world = World::start().await;
    let mut wrong = Vec::new();
    for Line(table, column, reader) in LINES {
        if matches!(reader, Reader::Nobody(_)) {
            continue;
        }
        // The reader reads what is right.
        let prepared = world.prepare(*reader).await;
        let well = world.read(*reader, &prepared).await;
        let prepared = world.prepare(*reader).await;
        world.poison(table, column).await;
        let foreign = world.read(*reader, &prepared).await;
        world.restore(table, column).await;
        if (&well, &foreign) != (&Outcome::Well, &Outcome::Fault) {
            wrong.push(format!("{table}.{column} by {reader:?}: {well:?}, then {foreign:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Columns that the database checks against a list of texts.
async fn checked(app: &TestApp) -> BTreeSet<(String, String)> {
    let statement = "select conrelid::regclass::text, (regexp_match(pg_get_constraintdef(oid),
             '^CHECK \\(\\((\\w+) = ANY \\('))[1]
         from pg_constraint
         where contype = 'c' and connamespace = 'vestibule'::regnamespace
             and pg_get_constraintdef(oid) ~ '^CHECK \\(\\(\\w+ = ANY \\('";
    sqlx::query_as(statement).fetch_all(&app.app().db).await.unwrap().into_iter().collect()
}

#[tokio::test]
async fn every_checked_column_has_a_line() {
    let app = TestApp::start().await;
    let listed: BTreeSet<(String, String)> =
        LINES.iter().map(|Line(table, column, _)| ((*table).to_owned(), (*column).to_owned())).collect();
    let unchecked = UNCHECKED.map(|(table, column)| (table.to_owned(), column.to_owned()));
    assert!(unchecked.iter().all(|column| listed.contains(column)));
    let expected: BTreeSet<_> = checked(&app).await.into_iter().chain(unchecked).collect();
    assert_eq!(listed, expected, "a column without a line, or a line without a column");
    for Line(table, column, reader) in LINES {
        let silent = matches!(reader, Reader::Nobody(_));
        let lines = LINES.iter().filter(|line| (line.0, line.1) == (*table, *column)).count();
        assert!(!silent || lines == 1, "{table}.{column} has a reader and has none");
    }
}
