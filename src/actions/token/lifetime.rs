//! Lives of codes and tokens.

use time::Duration;

use crate::model::time::Timestamp;

/// The clocks of this process and of the database may differ by this much.
const SKEW: Duration = Duration::minutes(1);

/// A moment on the last day of something that lives `seconds` from `now`: the day its text names and its row is filed
/// under. Never before the day of expiry, which the database's clock decides.
pub fn last_day(now: Timestamp, seconds: u32) -> Timestamp {
    now + Duration::seconds(i64::from(seconds)) + SKEW
}
