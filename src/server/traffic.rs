//! Watches the bytes of one connection: counts a client's control frames and measures how it takes its answers, and
//! says a proper farewell to a client whose request was not read to its end.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::Caps;
use super::control_frames::ControlFrames;
use super::frames::{FrameReader, kind};
use super::sending::Sending;
use crate::config::value::Rate;

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For how long, and how much, is read and dropped after the last answer: closing with unread bytes would reset the
/// connection, and the client could lose the answer.
const FAREWELL: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

/// What one connection does.
pub(super) struct Traffic {
    send_timeout: Duration,
    control_frames: Rate,
    /// One client's connection, not a proxy's that carries many: one that misbehaves must not end the others' requests.
    is_one_client: bool,
    is_request_unread: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    protocol: Protocol,
    sending: Sending,
}

/// Which protocol the client speaks.
#[derive(Default)]
enum Protocol {
    /// Nothing has come yet.
    #[default]
    Unknown,
    /// So far it may be HTTP/2: so many bytes of the preface have come.
    Preface(usize),
    Http1,
    Http2(Box<Http2>),
}

struct Http2 {
    incoming: FrameReader,
    outgoing: FrameReader,
    control_frames: Option<ControlFrames>,
}

impl Traffic {
    /// Nothing has passed yet.
    pub fn new(caps: &Caps, peer: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            send_timeout: caps.send,
            control_frames: caps.control_frames,
            is_one_client: !caps.proxies.trusts(peer),
            is_request_unread: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// The connection ends after this answer with a request that was not read to its end.
    pub fn leave_request_unread(&self) {
        self.is_request_unread.store(true, Ordering::Release);
    }

    /// True if there is something that the peer has yet to take.
    pub fn is_sending(&self) -> bool {
        self.state().sending.is_under_way()
    }

    /// True if the peer takes its answers too slowly.
    pub fn is_late(&self) -> bool {
        !self.send_timeout.is_zero()
            && self.state().sending.is_late(self.send_timeout, self.is_one_client, Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    fn received(&self, bytes: &[u8]) -> io::Result<()> {
        let State { protocol, sending } = &mut *self.state();
        let bytes = self.after_preface(protocol, bytes);
        let Protocol::Http2(http2) = protocol else { return Ok(()) };
        let now = Instant::now();
        let Http2 { incoming, control_frames, .. } = &mut **http2;
        let mut is_within = true;
        incoming.feed(bytes, |frame| {
            if frame.kind == kind::RST_STREAM {
                sending.reset_by_peer(frame.stream);
            }
            is_within &= control_frames.as_mut().is_none_or(|budget| budget.received(frame, now));
        });
        if is_within { Ok(()) } else { Err(too_many()) }
    }

    /// What follows the preface, or nothing; finds out which protocol is spoken.
    fn after_preface<'a>(&self, protocol: &mut Protocol, bytes: &'a [u8]) -> &'a [u8] {
        let seen = match protocol {
            Protocol::Http2(_) => return bytes,
            Protocol::Http1 => return &[],
            Protocol::Unknown => 0,
            Protocol::Preface(seen) => *seen,
        };
        let wanted = PREFACE.get(seen..).unwrap_or_default();
        let length = wanted.len().min(bytes.len());
        let (start, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        if !wanted.starts_with(start) {
            *protocol = Protocol::Http1;
            return &[];
        }
        if length < wanted.len() {
            *protocol = Protocol::Preface(seen + length);
            return &[];
        }
        let control_frames = self.is_one_client.then(|| ControlFrames::new(self.control_frames, Instant::now()));
        let (incoming, outgoing) = Default::default();
        *protocol = Protocol::Http2(Box::new(Http2 { incoming, outgoing, control_frames }));
        rest
    }

    /// The peer took the first `length` bytes of `pieces`.
    fn wrote<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, length: usize) -> io::Result<()> {
        let State { protocol, sending } = &mut *self.state();
        let Protocol::Http2(http2) = protocol else {
            sending.wrote(length as u64);
            return Ok(());
        };
        let now = Instant::now();
        let Http2 { outgoing, control_frames, .. } = &mut **http2;
        let (mut left, mut is_within) = (length, true);
        for piece in pieces {
            let taken = piece.get(..left.min(piece.len())).unwrap_or_default();
            left -= taken.len();
            outgoing.feed(taken, |frame| {
                sending.wrote_frame(frame, now);
                if frame.kind == kind::RST_STREAM {
                    is_within &= control_frames.as_mut().is_none_or(|budget| budget.reset(now));
                }
            });
        }
        if is_within { Ok(()) } else { Err(too_many()) }
    }

    fn blocked(&self) {
        self.state().sending.blocked(Instant::now());
    }

    fn flushed(&self) {
        self.state().sending.flushed();
    }
}

fn too_many() -> io::Error {
    io::Error::other("too many HTTP/2 control frames")
}

/// A socket whose traffic is watched.
pub(super) struct Metered {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    farewell: Option<Farewell>,
}

struct Farewell {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl Metered {
    /// `stream`, watched by `traffic`.
    pub fn new(stream: TcpStream, traffic: Arc<Traffic>) -> Self {
        Self { stream, traffic, farewell: None }
    }

    /// Ready with the bytes that were taken, if the budget for control frames is not spent.
    fn noted<'a>(
        &self,
        polled: Poll<io::Result<usize>>,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(length)) => Poll::Ready(self.traffic.wrote(pieces, length).map(|()| length)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.traffic.blocked();
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.traffic.received(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(polled, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.noted(polled, pieces.iter().map(|piece| &**piece))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.traffic.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.farewell.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.traffic.is_request_unread.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        let Metered { stream, farewell, .. } = this;
        let farewell = farewell
            .get_or_insert_with(|| Farewell { until: Box::pin(tokio::time::sleep(FAREWELL.0)), left: FAREWELL.1 });
        while farewell.left > 0 && farewell.until.as_mut().poll(cx).is_pending() {
            let mut dropped = [0; 4096];
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            farewell.left = farewell.left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}
