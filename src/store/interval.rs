//! Spans of time as the database adds them.

use sqlx::postgres::types::PgInterval;

/// So many microseconds.
pub const fn microseconds(microseconds: i64) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds }
}

/// So many seconds.
pub const fn seconds(seconds: i64) -> PgInterval {
    microseconds(seconds.saturating_mul(1_000_000))
}

/// A span of the program's own kind.
pub fn of(span: time::Duration) -> PgInterval {
    microseconds(i64::try_from(span.whole_microseconds()).unwrap_or(i64::MAX))
}
