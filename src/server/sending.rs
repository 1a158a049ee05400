//! Whether the peer takes what it asked for. An answer waits in memory until it is taken: a client that keeps the
//! window of its HTTP/2 streams at 0, or does not read its socket, would hold it for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frames::{Frame, kind};

/// What a connection must take while it has something to take: 256 bytes a second.
const CONNECTION_PACE: u64 = 256;
/// What each stream of it must take at least, for the streams of a slow connection share its pace: 32 bytes a second.
const STREAM_PACE: u64 = 32;
/// Streams that the peer reset before the head of their answer was written, whose ids are remembered at most: more heads
/// than that do not fit into the buffer that they may wait in.
const RESET: usize = 1024;

/// The answers of one connection that are on their way.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The peer takes nothing at the moment.
    is_blocked: bool,
    /// HTTP/2: those whose end has not been written.
    streams: Vec<Stream>,
    /// HTTP/2: those that the peer reset before we wrote anything of them. A head may wait in a buffer and be written
    /// later; nothing comes after it.
    reset: VecDeque<u32>,
    /// Since when something is on its way, and what was taken of it.
    connection: Option<Progress>,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    progress: Progress,
}

/// What was taken since a moment.
#[derive(Debug)]
struct Progress {
    since: Instant,
    bytes: u64,
}

impl Progress {
    /// True if a whole window passed with less than `pace` bytes a second; the next window begins otherwise.
    fn is_late(&mut self, pace: u64, window: Duration, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) < window {
            return false;
        }
        let due = u128::from(pace) * window.as_millis() / 1000;
        let is_late = u128::from(self.bytes) < due.max(1);
        *self = Self { since: now, bytes: 0 };
        is_late
    }
}

impl Sending {
    /// True if there is something that the peer has yet to take.
    pub fn is_under_way(&self) -> bool {
        self.is_blocked || !self.streams.is_empty()
    }

    /// The peer took nothing of a write.
    pub fn blocked(&mut self, now: Instant) {
        self.is_blocked = true;
        self.begin(now);
    }

    /// All that there was to write is written.
    pub fn flushed(&mut self) {
        self.is_blocked = false;
        self.end();
    }

    /// Bytes of an HTTP/1 connection were taken.
    pub fn wrote(&mut self, bytes: u64) {
        if let Some(progress) = &mut self.connection {
            progress.bytes += bytes;
        }
    }

    /// A frame of ours was written.
    pub fn wrote_frame(&mut self, frame: Frame, now: Instant) {
        // Acknowledgments are no answers: a client that keeps asking for them takes nothing.
        if !matches!(frame.kind, kind::DATA | kind::HEADERS | kind::CONTINUATION) {
            if frame.kind == kind::RST_STREAM {
                self.ended(frame.stream);
            }
            return;
        }
        if frame.ends_stream() {
            self.ended(frame.stream);
        } else if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == frame.stream) {
            stream.progress.bytes += u64::from(frame.length);
        } else if let Some(place) = self.reset.iter().position(|stream| *stream == frame.stream) {
            self.reset.remove(place);
        } else if frame.kind == kind::HEADERS {
            self.streams.push(Stream { id: frame.stream, progress: Progress { since: now, bytes: 0 } });
            self.begin(now);
        }
        self.wrote(u64::from(frame.length));
    }

    /// The peer wants no more of a stream.
    pub fn reset_by_peer(&mut self, stream: u32) {
        let is_known = self.streams.iter().any(|other| other.id == stream);
        if is_known {
            return self.ended(stream);
        }
        if self.reset.len() == RESET {
            self.reset.pop_front();
        }
        self.reset.push_back(stream);
    }

    /// A stream has ended, by its last frame or by our reset.
    fn ended(&mut self, stream: u32) {
        self.streams.retain(|other| other.id != stream);
        self.end();
    }

    /// True if the peer took too little of the connection for a whole `window`, or (with `each_stream`) of one stream.
    pub fn is_late(&mut self, window: Duration, each_stream: bool, now: Instant) -> bool {
        let connection = self.connection.as_mut();
        if connection.is_some_and(|progress| progress.is_late(CONNECTION_PACE, window, now)) {
            return true;
        }
        let mut streams = self.streams.iter_mut().filter(|_| each_stream);
        streams.any(|stream| stream.progress.is_late(STREAM_PACE, window, now))
    }

    fn begin(&mut self, now: Instant) {
        self.connection.get_or_insert(Progress { since: now, bytes: 0 });
    }

    fn end(&mut self) {
        if !self.is_under_way() {
            self.connection = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::frames::END_STREAM;

    const WINDOW: Duration = Duration::from_secs(30);

    fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Frame {
        Frame { kind, flags, stream, length }
    }

    fn head(stream: u32) -> Frame {
        frame(kind::HEADERS, 4, stream, 100)
    }

    #[test]
    fn a_stream_that_takes_nothing_is_late() {
        let start = Instant::now();
        let mut sending = Sending::default();
        sending.wrote_frame(head(1), start);
        assert!(!sending.is_late(WINDOW, true, start + WINDOW - Duration::from_secs(1)));
        assert!(sending.is_late(WINDOW, true, start + WINDOW));
    }

    #[test]
    fn acknowledged_pings_are_no_progress() {
        let start = Instant::now();
        let mut sending = Sending::default();
        sending.wrote_frame(head(1), start);
        for _ in 0..10_000 {
            sending.wrote_frame(frame(6, 1, 0, 8), start);
        }
        assert!(sending.is_late(WINDOW, true, start + WINDOW));
    }

    #[test]
    fn a_steady_reader_is_never_late_and_one_stalled_stream_among_good_ones_is() {
        let start = Instant::now();
        let mut sending = Sending::default();
        sending.wrote_frame(head(1), start);
        for second in 1..600 {
            sending.wrote_frame(frame(kind::DATA, 0, 1, 1024), start + Duration::from_secs(second));
            assert!(!sending.is_late(WINDOW, true, start + Duration::from_secs(second)));
        }
        let now = start + Duration::from_secs(600);
        sending.wrote_frame(head(3), now);
        sending.wrote_frame(frame(kind::DATA, 0, 1, 100_000), now);
        sending.wrote_frame(frame(kind::DATA, 0, 3, 100), now);
        let mut shared = Sending::default();
        shared.wrote_frame(head(3), now);
        shared.wrote_frame(frame(kind::DATA, 0, 3, 100), now);
        shared.wrote(100_000);
        assert!(!shared.is_late(WINDOW, false, now + WINDOW), "a connection of many clients is judged as a whole");
        assert!(sending.is_late(WINDOW, true, now + WINDOW));
    }

    #[test]
    fn what_has_ended_is_no_longer_waited_for() {
        let start = Instant::now();
        for end in [frame(kind::DATA, END_STREAM, 1, 5), frame(kind::RST_STREAM, 0, 1, 4)] {
            let mut sending = Sending::default();
            sending.wrote_frame(head(1), start);
            sending.wrote_frame(end, start);
            assert!(!sending.is_under_way() && !sending.is_late(WINDOW, true, start + WINDOW * 9));
        }
        let mut sending = Sending::default();
        sending.wrote_frame(frame(kind::HEADERS, END_STREAM, 1, 100), start);
        assert!(!sending.is_under_way());
    }

    #[test]
    fn head_that_is_written_after_the_reset_begins_nothing() {
        let start = Instant::now();
        let mut sending = Sending::default();
        for stream in 1..10_000 {
            sending.reset_by_peer(stream);
            assert!(sending.reset.len() <= RESET);
        }
        sending.wrote_frame(head(9_999), start);
        assert!(!sending.is_under_way() && !sending.is_late(WINDOW, true, start + WINDOW * 9));
        sending.wrote_frame(head(10_001), start);
        sending.reset_by_peer(10_001);
        assert!(!sending.is_under_way());
    }

    #[test]
    fn a_socket_that_is_not_read_is_late_until_it_is() {
        let start = Instant::now();
        let mut sending = Sending::default();
        sending.blocked(start);
        assert!(sending.is_late(WINDOW, true, start + WINDOW));
        sending.blocked(start + WINDOW);
        sending.wrote(256 * 30);
        assert!(!sending.is_late(WINDOW, true, start + WINDOW * 2));
        sending.flushed();
        assert!(!sending.is_under_way() && !sending.is_late(WINDOW, true, start + WINDOW * 9));
    }
}
