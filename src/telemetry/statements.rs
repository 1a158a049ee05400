//! Counts SQL statements by what asked for them: the server's port, or a span of [`counted`]. For the tests and the
//! benchmark, which hold hot routes to their number of round trips (performance.md section 4).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where sqlx tells each statement.
const TARGET: &str = "sqlx::query";
/// The field of the span that statements are counted for.
const FIELD: &str = "port";

type Counter = Arc<AtomicU64>;

/// A layer that counts. Clones share the counts.
#[derive(Clone, Default)]
pub struct StatementCount(Arc<Mutex<HashMap<u64, Counter>>>);

/// A span whose statements are counted under `key`; keys above 65 535 are no port's.
pub fn counted(key: u64) -> Span {
    tracing::debug_span!("counted", port = key)
}

impl StatementCount {
    /// Statements so far on behalf of connections to `port`, or of spans with this key.
    pub fn of(&self, key: impl Into<u64>) -> u64 {
        self.counter(key.into()).load(Ordering::Relaxed)
    }

    fn counter(&self, key: u64) -> Counter {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(key).or_default())
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for StatementCount {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut key = Key(None);
        attributes.record(&mut key);
        if let (Some(key), Some(span)) = (key.0, context.span(id)) {
            span.extensions_mut().insert(self.counter(key));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(counter) = span.extensions().get::<Counter>() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Key(Option<u64>);

impl Visit for Key {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == FIELD {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn counts_what_happens_inside_the_span_only() {
        let count = StatementCount::default();
        let subscriber = tracing_subscriber::registry().with(count.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "sqlx::query", "outside");
            counted(70_000).in_scope(|| {
                tracing::info_span!("request").in_scope(|| tracing::debug!(target: "sqlx::query", "one"));
                tracing::debug!(target: "sqlx::query", "two");
                tracing::debug!(target: "elsewhere", "no statement");
            });
        });
        assert_eq!(count.of(70_000_u64), 2);
        assert_eq!(count.of(70_001_u64), 0);
    }
}
