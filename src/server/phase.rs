//! What a connection is doing, for its time limits. Written on every read and every answer, so atomics only.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traffic::Metered;

/// How a connection with HTTP/2 begins (RFC 9113 section 3.4); no HTTP/1 method does.
const HTTP2: &[u8] = b"PRI";
/// Marks milliseconds that count from the first byte of a head.
const HEAD: u64 = 1 << 63;

/// The phase of one connection.
pub(super) struct Phase {
    began: Instant,
    /// Milliseconds since `began` at which it began to rest, or, with [`HEAD`], to send a request's head.
    since: AtomicU64,
    in_flight: AtomicU32,
    is_http2: AtomicBool,
    has_read: AtomicBool,
}

/// What the clock says about a phase.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It took too long.
    Overdue,
    /// Look again after this time.
    Again(Duration),
}

impl Phase {
    /// Just accepted: the first head is due.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            since: AtomicU64::new(HEAD),
            in_flight: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            has_read: AtomicBool::new(false),
        })
    }

    /// A request's head is complete; it is in flight until the returned value is dropped.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    /// Whether anything came in yet.
    pub(super) fn has_read(&self) -> bool {
        self.has_read.load(Ordering::Acquire)
    }

    /// Whether it began as HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Acquire)
    }

    /// Bytes came in.
    fn read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.has_read.swap(true, Ordering::AcqRel) {
            if bytes.starts_with(HTTP2) {
                self.is_http2.store(true, Ordering::Release);
                self.rest();
            }
            return;
        }
        // HTTP/2 also sends frames that belong to no request; its slow heads are caught by the idle limit.
        let is_resting = self.since.load(Ordering::Acquire) & HEAD == 0 && self.in_flight.load(Ordering::Acquire) == 0;
        if is_resting && !self.is_http2.load(Ordering::Acquire) {
            self.since.store(self.millis() | HEAD, Ordering::Release);
        }
    }

    fn rest(&self) {
        self.since.store(self.millis() & !HEAD, Ordering::Release);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the connection is still within its limits.
    pub(super) fn check(&self, head: Duration, idle: Duration) -> Verdict {
        if self.in_flight.load(Ordering::Acquire) > 0 {
            return Verdict::Again(head);
        }
        let since = self.since.load(Ordering::Acquire);
        let limit = if since & HEAD == 0 { idle } else { head };
        let took = Duration::from_millis(self.millis().saturating_sub(since & !HEAD));
        match limit.checked_sub(took) {
            None | Some(Duration::ZERO) => Verdict::Overdue,
            // A head may begin meanwhile, whose limit is shorter.
            Some(left) => Verdict::Again(left.min(head)),
        }
    }
}

/// A request in flight.
pub(super) struct InFlight(Arc<Phase>);

impl InFlight {
    /// The answer's body, which keeps the request in flight until it is sent or given up.
    pub(super) fn until_sent(self, body: Body) -> Sent {
        Sent { body, _in_flight: self }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.rest();
        }
    }
}

/// A body with its request.
pub(super) struct Sent {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose incoming bytes are noticed.
pub(super) struct Watched {
    /// The connection.
    pub(super) stream: Metered,
    /// Where they are noted.
    pub(super) phase: Arc<Phase>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(bytes) = buffer.filled().get(before..) {
            self.phase.read(bytes);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_LIMIT: Duration = Duration::from_secs(10);
    const IDLE_LIMIT: Duration = Duration::from_secs(75);

    /// A phase whose connection began so long ago.
    fn aged(seconds: u64) -> Arc<Phase> {
        let mut phase = Phase::new();
        let began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        Arc::get_mut(&mut phase).unwrap().began = began;
        phase
    }

    #[test]
    fn a_silent_or_dripping_connection_is_overdue_after_the_head_limit() {
        let phase = aged(11);
        phase.read(b"GET / HT");
        phase.read(b"TP/1.1");
        assert_eq!(phase.check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Overdue);
        assert!(matches!(aged(9).check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Again(_)));
    }

    #[test]
    fn between_requests_it_may_rest_longer_until_a_head_begins() {
        let phase = aged(60);
        phase.read(b"GET / HTTP/1.1\r\n\r\n");
        drop(phase.request());
        phase.since.store(0, Ordering::Release);
        assert!(matches!(phase.check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Again(_)), "60 s of rest");
        phase.read(b"G");
        assert_ne!(phase.since.load(Ordering::Acquire) & HEAD, 0);
        phase.since.store(1 | HEAD, Ordering::Release);
        assert_eq!(phase.check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Overdue);
    }

    #[test]
    fn a_request_in_flight_is_never_overdue() {
        let phase = aged(1000);
        let request = phase.request();
        phase.read(b"body");
        assert_eq!(phase.check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Again(HEAD_LIMIT));
        drop(request);
        assert_eq!(phase.check(HEAD_LIMIT, IDLE_LIMIT), Verdict::Again(HEAD_LIMIT), "it rests since just now");
    }

    #[test]
    fn frames_of_an_idle_http2_connection_are_no_head() {
        let phase = aged(60);
        phase.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        phase.read(b"ping");
        assert_eq!(phase.since.load(Ordering::Acquire) & HEAD, 0);
    }
}
