//! A budget for what a client may send on an HTTP/2 connection beside requests and bodies. hyper and h2 limit streams,
//! resets that wait to be noticed, header lists and small `DATA` frames; `PING`, `SETTINGS`, `PRIORITY` and frames of
//! unknown kinds they answer or skip without end, and each costs the time of every other client.

use std::time::{Duration, Instant};

use super::frames::{Frame, kind};
use crate::config::value::Rate;

/// How many window updates and priorities come with a request at no charge.
const EARNED_BY_REQUEST: u32 = 4;
/// The most of them that can be saved up.
const EARNED_AT_MOST: u32 = 400;
/// A `DATA` frame below this many bytes that does not end its stream carries next to nothing.
const TINY: u32 = 64;

/// What is left of it on one connection.
#[derive(Debug)]
pub(super) struct ControlFrames {
    rate: Rate,
    window: Instant,
    spent: u32,
    earned: u32,
}

impl ControlFrames {
    /// Nothing spent; a count of 0 = no limit.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, window: now, spent: 0, earned: 0 }
    }

    /// Counts a frame that came in; false if the budget is spent.
    pub fn received(&mut self, frame: Frame, now: Instant) -> bool {
        match frame.kind {
            kind::HEADERS => {
                self.earned = self.earned.saturating_add(EARNED_BY_REQUEST).min(EARNED_AT_MOST);
                true
            }
            kind::DATA if frame.length >= TINY || frame.ends_stream() => true,
            kind::WINDOW_UPDATE | kind::PRIORITY if self.earned > 0 => {
                self.earned -= 1;
                true
            }
            _ => self.spend(now),
        }
    }

    /// Counts a stream that the server had to reset: refused ones make work without being requests.
    pub fn reset(&mut self, now: Instant) -> bool {
        self.spend(now)
    }

    fn spend(&mut self, now: Instant) -> bool {
        if self.rate.count == 0 {
            return true;
        }
        if now.saturating_duration_since(self.window) >= self.rate.window.max(Duration::from_millis(1)) {
            (self.window, self.spent) = (now, 0);
        }
        self.spent = self.spent.saturating_add(1);
        self.spent <= self.rate.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 10, window: Duration::from_secs(10) };

    fn frame(kind: u8, length: u32, flags: u8) -> Frame {
        Frame { kind, flags, stream: 1, length }
    }

    /// How many frames of a kind pass within one window.
    fn passed(frame: Frame) -> usize {
        let now = Instant::now();
        let mut budget = ControlFrames::new(RATE, now);
        (0..100).take_while(|_| budget.received(frame, now)).count()
    }

    #[test]
    fn frames_beside_requests_have_a_budget() {
        // RST_STREAM, SETTINGS, PING, CONTINUATION, an unknown kind, an empty and a tiny DATA, WINDOW_UPDATE, PRIORITY.
        for (kind, length) in [(3, 4), (4, 0), (6, 8), (9, 0), (77, 0), (0, 0), (0, 63), (8, 4), (2, 5)] {
            assert_eq!(passed(frame(kind, length, 0)), 10, "{kind}");
        }
        for (kind, length, flags) in [(0, 64, 0), (0, 0, 1), (1, 20, 5)] {
            assert_eq!(passed(frame(kind, length, flags)), 100, "{kind}");
        }
    }

    #[test]
    fn requests_earn_their_window_updates_but_no_pings() {
        let now = Instant::now();
        let mut budget = ControlFrames::new(RATE, now);
        for _ in 0..1_000 {
            assert!(budget.received(frame(kind::HEADERS, 20, 5), now));
            assert!((0..4).all(|_| budget.received(frame(kind::WINDOW_UPDATE, 4, 0), now)));
        }
        assert!((0..10).all(|_| budget.received(frame(6, 8, 0), now)));
        assert!(!budget.received(frame(6, 8, 0), now));
    }

    #[test]
    fn a_new_window_is_a_new_budget_and_zero_is_none() {
        let now = Instant::now();
        let mut budget = ControlFrames::new(RATE, now);
        for second in 0..1_000 {
            assert!(budget.received(frame(6, 8, 0), now + Duration::from_secs(second)), "a ping each second");
        }
        let mut free = ControlFrames::new(Rate { count: 0, ..RATE }, now);
        assert!((0..10_000).all(|_| free.received(frame(6, 8, 0), now) && free.reset(now)));
    }
}
