//! Identical warnings and errors: ten a second are written, further ones counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines per window.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// How many different messages are remembered.
const MESSAGES: usize = 1_000;

/// Counts per message.
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<(String, String), Window>>);

struct Window {
    began: Instant,
    seen: u32,
}

impl Repeats {
    /// `None` if this message was written often enough just now; else how many were left out since it was last written.
    pub(super) fn admit(&self, target: &str, message: &str) -> Option<u32> {
        self.admit_at(target, message, Instant::now())
    }

    fn admit_at(&self, target: &str, message: &str, now: Instant) -> Option<u32> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MESSAGES {
            windows.clear();
        }
        let key = (target.to_owned(), message.to_owned());
        let window = windows.entry(key).or_insert(Window { began: now, seen: 0 });
        let mut suppressed = 0;
        if now.duration_since(window.began) >= WINDOW {
            suppressed = window.seen.saturating_sub(LINES);
            *window = Window { began: now, seen: 0 };
        }
        window.seen += 1;
        (window.seen <= LINES).then_some(suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_in_a_second_is_counted_only() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(repeats.admit_at("a", "m", now), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(repeats.admit_at("a", "m", now), None);
        }
        assert_eq!(repeats.admit_at("a", "other", now), Some(0));
        assert_eq!(repeats.admit_at("a", "m", now + WINDOW), Some(7));
        assert_eq!(repeats.admit_at("a", "m", now + WINDOW), Some(0));
    }
}
