//! What an act costs the database: sqlx tells every statement as a tracing event, on the thread that runs it, and a
//! test runs its server on its own thread. So counting by thread counts by test.

use std::cell::{Cell, RefCell};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    static STATEMENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static HASHES: Cell<usize> = const { Cell::new(0) };
}

/// Who tells that a password is hashed.
const PASSWORDS: &str = "vestibule::crypto::password";

/// Counted statements.
#[derive(Debug)]
pub struct Cost {
    /// Statements, `begin` and `commit` left out, and what the flow log's recorder writes whenever it likes.
    pub statements: usize,
    /// Transactions that were committed explicitly.
    pub commits: usize,
    /// Passwords that were hashed.
    pub hashes: usize,
    /// Their beginnings, in order.
    pub reported: Vec<String>,
}

/// Begins to listen; called by every test app. `VESTIBULE_TEST_LOG` (a filter like `debug`) shows what servers log.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let filter = tracing_subscriber::filter::Targets::new()
            .with_target("sqlx::query", tracing::Level::DEBUG)
            .with_target(PASSWORDS, tracing::Level::TRACE);
        let shown = std::env::var("VESTIBULE_TEST_LOG").map_or_else(|_| EnvFilter::new("off"), EnvFilter::new);
        let shown = tracing_subscriber::fmt::layer().with_test_writer().with_filter(shown);
        tracing_subscriber::registry().with(Statements.with_filter(filter)).with(shown).init();
    });
}

/// Runs `act` and returns what it cost.
pub(super) async fn of<T>(act: impl Future<Output = T>) -> Cost {
    STATEMENTS.with_borrow_mut(Vec::clear);
    HASHES.set(0);
    act.await;
    let mut reported = STATEMENTS.with_borrow_mut(std::mem::take);
    let is = |statement: &String, word: &str| statement.to_lowercase().starts_with(word);
    reported.retain(|statement| !is(statement, "insert into flows") && !is(statement, "insert into flow_steps"));
    let commits = reported.iter().filter(|statement| is(statement, "commit")).count();
    let frames = reported
        .iter()
        .filter(|statement| ["begin", "commit", "rollback", "savepoint"].iter().any(|word| is(statement, word)));
    let (statements, hashes) = (reported.len() - frames.count(), HASHES.take());
    Cost { statements, commits, hashes, reported }
}

struct Statements;

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == PASSWORDS {
            return HASHES.set(HASHES.get() + 1);
        }
        let mut summary = Summary(String::new());
        event.record(&mut summary);
        STATEMENTS.with_borrow_mut(|statements| statements.push(summary.0));
    }
}

struct Summary(String);

impl Visit for Summary {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "summary" {
            self.0 = format!("{value:?}").trim_matches('"').to_owned();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "summary" {
            self.0 = value.to_owned();
        }
    }
}
