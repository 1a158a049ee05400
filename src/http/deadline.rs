//! How long a request may take: its body to arrive, its handler to answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::problem::Failure;
use crate::app::App;
use crate::model::problem::{Problem, code};

/// The pace: 15 s in all, and 1 KiB/s after 5 s.
const PACE: Pace = Pace { whole: Duration::from_secs(15), grace: Duration::from_secs(5), per_second: 1024 };
/// How often a slow body is looked at.
const CHECK: u32 = 5;

/// How fast a body must come.
#[derive(Clone, Copy)]
struct Pace {
    /// How long it may take in all.
    whole: Duration,
    /// From when on its speed counts.
    grace: Duration,
    /// Bytes per second, since the beginning.
    per_second: u32,
}

impl Pace {
    fn is_late(&self, received: u64, took: Duration) -> bool {
        let wanted = f64::from(self.per_second) * took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let received = received as f64;
        took >= self.whole || (took >= self.grace && received < wanted)
    }
}

/// Answers 503 for a handler that takes too long or waits too long for the database, and fails a body that comes too
/// slowly.
pub async fn keep(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let request = request.map(|body| if body.is_end_stream() { body } else { Body::new(Paced::new(body, PACE)) });
    let answer = app.db.within_budget(next.run(request));
    match tokio::time::timeout(app.config.server.request_timeout, answer).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!("a handler took too long");
            Failure::from(Problem::new(code::SERVICE_UNAVAILABLE).retry_after(1)).into_response()
        }
    }
}

/// The body came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the request body came too slowly")]
pub(super) struct TooSlow;

/// A body that must keep pace.
struct Paced {
    body: Body,
    pace: Pace,
    began: Instant,
    received: u64,
    check: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(body: Body, pace: Pace) -> Self {
        let began = Instant::now();
        Self { body, pace, began, received: 0, check: Box::pin(sleep_until(began + pace.grace)) }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        while this.check.as_mut().poll(cx).is_ready() {
            if this.pace.is_late(this.received, this.began.elapsed()) {
                return Poll::Ready(Some(Err(TooSlow.into())));
            }
            let next = this.check.deadline() + this.pace.grace / CHECK;
            this.check.as_mut().reset(next);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use http_body_util::BodyExt;

    /// A body that sends `size` bytes, `every` so often.
    fn dripping(size: usize, every: Duration, times: usize) -> Body {
        let pieces = futures_util::stream::iter(0..times).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(pieces)
    }

    async fn is_refused(pace: Pace, body: Body) -> bool {
        Paced::new(body, pace).collect().await.is_err()
    }

    const SHORT: Pace = Pace { per_second: 1000, grace: Duration::from_millis(40), whole: Duration::from_secs(20) };

    #[tokio::test]
    async fn a_dripping_body_is_refused_when_it_falls_behind() {
        assert!(is_refused(SHORT, dripping(1, Duration::from_millis(10), 100)).await);
        assert!(!is_refused(SHORT, dripping(100, Duration::from_millis(10), 10)).await);
    }

    #[tokio::test]
    async fn a_steady_body_may_not_go_on_for_ever() {
        let pace = Pace { whole: Duration::from_millis(80), ..SHORT };
        assert!(is_refused(pace, dripping(1000, Duration::from_millis(10), 1000)).await);
    }

    #[test]
    fn the_published_pace() {
        let late = |bytes, seconds| PACE.is_late(bytes, Duration::from_secs(seconds));
        assert!(!late(0, 4) && late(5119, 5) && !late(5120, 5) && late(1 << 30, 15));
    }
}
