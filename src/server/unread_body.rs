//! What a handler leaves of a request's body. The next request of an HTTP/1 connection begins behind it: it is read and
//! dropped where that is soon done, and otherwise the answer says that the connection ends.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};

/// The most that is read and dropped.
const MOST: u64 = 64 * 1024;
/// How long it may take to come.
const WAIT: Duration = Duration::from_secs(1);

/// Where a body comes back to from its handler.
pub(super) struct UnreadBody(Arc<Mutex<Returned>>);

/// What came back.
enum Returned {
    /// Nothing yet.
    Nothing,
    /// A body that was read to its end.
    End,
    /// A body that was not.
    Rest(Incoming),
    /// A body that its client does not send unless it is asked to, and nobody has asked.
    NeverAsked,
}

/// The request for its handler, and what will come back of its body. HTTP/2 has no use for that: each request has a
/// stream of its own.
pub(super) fn watch(request: Request<Incoming>) -> (Request<Body>, Option<UnreadBody>) {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return (request.map(Body::new), None);
    }
    let returned = Arc::new(Mutex::new(Returned::Nothing));
    let waits_for_leave = request.headers().contains_key(EXPECT);
    let returning = Arc::clone(&returned);
    let request = request.map(|body| {
        Body::new(Returning { body: Some(body), is_asked: !waits_for_leave, is_read: false, to: returning })
    });
    (request, Some(UnreadBody(returned)))
}

impl UnreadBody {
    /// Makes the connection ready for the next request, or lets `response` say that there will be none. True in the
    /// first case.
    pub async fn drain_or_close<B>(self, response: &mut Response<B>) -> bool {
        // What came too slowly for its handler is not waited for again.
        let is_drained = response.status() != StatusCode::REQUEST_TIMEOUT && self.drain().await;
        if !is_drained {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        is_drained
    }

    async fn drain(self) -> bool {
        let returned = std::mem::replace(&mut *lock(&self.0), Returned::Nothing);
        match returned {
            Returned::End => true,
            Returned::Nothing | Returned::NeverAsked => false,
            Returned::Rest(rest) => tokio::time::timeout(WAIT, ends_soon(rest)).await.unwrap_or(false),
        }
    }
}

/// Reads to the end, if that is near.
async fn ends_soon(mut body: Incoming) -> bool {
    let mut read = 0;
    loop {
        if read + body.size_hint().lower() > MOST {
            return false;
        }
        match body.frame().await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
    }
}

fn lock(returned: &Mutex<Returned>) -> std::sync::MutexGuard<'_, Returned> {
    returned.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that comes back when its handler drops it.
struct Returning {
    body: Option<Incoming>,
    is_asked: bool,
    is_read: bool,
    to: Arc<Mutex<Returned>>,
}

impl HttpBody for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_asked = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        self.is_read |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        *lock(&self.to) = match () {
            () if self.is_read || body.is_end_stream() => Returned::End,
            () if !self.is_asked => Returned::NeverAsked,
            () => Returned::Rest(body),
        };
    }
}
