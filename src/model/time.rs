//! Time as the rest of this crate sees it: a [`Clock`] that tests can replace, and the wire's milliseconds.

/// A moment, always UTC.
pub type Timestamp = time::OffsetDateTime;

/// Where "now" comes from. Nothing else in the crate may ask the operating system.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Milliseconds since 1970: the form of every time in the frontend and backend APIs.
pub fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Midnight UTC of the day of `moment`: the precision of `last_active_at` on a user.
pub fn midnight(moment: Timestamp) -> Timestamp {
    moment.replace_time(time::Time::MIDNIGHT)
}

/// Days since 1970 (UTC): the partition day that codes and tokens carry in clear.
pub fn epoch_day(moment: Timestamp) -> i32 {
    i32::try_from(moment.unix_timestamp().div_euclid(86_400)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn days_and_milliseconds_count_from_1970() {
        assert_eq!(epoch_day(datetime!(1970-01-02 00:00 UTC)), 1);
        assert_eq!(millis(datetime!(1970-01-01 00:00:01.5 UTC)), 1500);
        assert_eq!(midnight(datetime!(2026-11-21 13:14 UTC)), datetime!(2026-11-21 00:00 UTC));
    }
}
