//! Time, corrected to the database's: every replica and every statement then means the same moment.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::model::time::{Clock, Timestamp};
use crate::store;
use crate::store::pool::PgPool;

/// The operating system's clock plus the last measured offset to the database.
#[derive(Debug, Default)]
pub struct CorrectedClock {
    /// Microseconds to add.
    offset: AtomicI64,
}

impl CorrectedClock {
    /// The present moment.
    pub fn now(&self) -> Timestamp {
        system_now() + self.offset()
    }

    /// What is added to the operating system's time.
    pub fn offset(&self) -> time::Duration {
        time::Duration::microseconds(self.offset.load(Ordering::Relaxed))
    }

    /// Asks the database for its time; half of the round trip is taken as the way back.
    ///
    /// # Errors
    /// Storage faults; the old offset stays.
    pub async fn measure(&self, db: &PgPool) -> sqlx::Result<time::Duration> {
        let connection = &mut *db.acquire().await?;
        let (begun, asked_at) = (Instant::now(), system_now());
        let theirs = store::schema::clock(connection).await?;
        let ours = asked_at + begun.elapsed() / 2;
        let offset = theirs - ours;
        let microseconds = i64::try_from(offset.whole_microseconds()).unwrap_or(0);
        self.offset.store(microseconds, Ordering::Relaxed);
        Ok(offset)
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system for the time")]
fn system_now() -> Timestamp {
    Timestamp::now_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_measurement_it_is_the_systems_time() {
        let clock = CorrectedClock::default();
        let before = system_now();
        let now = clock.now();
        assert!(before <= now && now <= system_now());
    }

    #[test]
    fn an_offset_moves_it() {
        let clock = CorrectedClock { offset: AtomicI64::new(3_600_000_000) };
        let ahead = clock.now() - system_now();
        assert!(ahead > time::Duration::minutes(59) && ahead <= time::Duration::hours(1), "{ahead}");
    }
}
