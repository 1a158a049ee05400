//! One connection: HTTP/1.1 or HTTP/2 in clear, whichever the client begins with.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::phase::{InFlight, Phase, Sent, Verdict, Watched};
use super::traffic::{Metered, Traffic};
use super::{Caps, Shared, Stage, unread_body};
use crate::http::given_up::ErrorForm;

/// The longest request line and headers.
const HEAD_BYTES: u32 = 16 * 1024;
/// The most header fields.
const HEAD_FIELDS: usize = 64;
/// The most streams at once on one HTTP/2 connection. One that is reset makes room for another while its handler ends, so
/// more handlers may run: as many as `server.http2_control_frames` lets a client reset.
const STREAMS: u32 = 100;

/// How long a new connection may take to begin its first request once the server is to end.
const FIRST: Duration = Duration::from_secs(1);

static BUILDER: LazyLock<Builder<TokioExecutor>> = LazyLock::new(|| {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Its timer would also cut a connection that rests between requests; `Phase` tells the two apart.
        .header_read_timeout(None)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_BYTES as usize)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .max_header_list_size(HEAD_BYTES)
        .max_concurrent_streams(STREAMS);
    builder
});

/// Serves `stream` until its peer, a time limit or the server's end ends it.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    // Answers are small and complete: waiting to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    let phase = Phase::new();
    let traffic = Traffic::new(&shared.caps, peer.ip());
    let stream = Metered::new(stream, Arc::clone(&traffic));
    let io = TokioIo::new(Watched { stream, phase: Arc::clone(&phase) });
    let (router, requests, sent) = (shared.router.clone(), Arc::clone(&phase), Arc::clone(&traffic));
    let answers = shared.stage.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (stage, version) = (answers.clone(), request.version());
        let answer = answer(request, peer, requests.request(), router.clone(), Arc::clone(&sent));
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(last_if_draining(response, version, *stage.borrow()))
        }
    });
    let mut connection = std::pin::pin!(BUILDER.serve_connection(io, service));
    let mut check = std::pin::pin!(tokio::time::sleep(first_look(&shared.caps)));
    let mut stage = shared.stage.clone();
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = check.as_mut() => {
                if is_over(*stage.borrow(), &phase) {
                    connection.as_mut().graceful_shutdown();
                }
                match verdict(&phase, &traffic, &shared.caps) {
                    Verdict::Overdue => return,
                    Verdict::Again(wait) => check.as_mut().reset(tokio::time::Instant::now() + wait),
                }
            }
            changed = stage.changed() => {
                if changed.is_err() || *stage.borrow_and_update() == Stage::Cut {
                    return;
                }
                if !phase.has_read() {
                    // Its first request may be on its way.
                    check.as_mut().reset(tokio::time::Instant::now() + FIRST);
                } else if is_over(*stage.borrow(), &phase) {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Whether the connection takes no further requests. With HTTP/1 only the end closes one that rests, for a request may be
/// on its way; before that each answer says that it is the last.
fn is_over(stage: Stage, phase: &Phase) -> bool {
    stage >= Stage::Finishing || (stage == Stage::Draining && phase.is_http2())
}

fn last_if_draining(mut response: Response<Sent>, version: Version, stage: Stage) -> Response<Sent> {
    if stage != Stage::Serving && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The shortest time after which a limit can be reached; a send limit of 0 is none.
fn first_look(caps: &Caps) -> Duration {
    if caps.send.is_zero() { caps.head } else { caps.head.min(caps.send) }
}

/// Whether the connection goes on. One that rests for too long may still be taking its last answer.
fn verdict(phase: &Phase, traffic: &Traffic, caps: &Caps) -> Verdict {
    if traffic.is_late() {
        return Verdict::Overdue;
    }
    match phase.check(caps.head, caps.idle) {
        Verdict::Overdue if traffic.is_sending() => Verdict::Again(first_look(caps)),
        Verdict::Overdue => Verdict::Overdue,
        Verdict::Again(wait) => Verdict::Again(wait.min(first_look(caps))),
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    in_flight: InFlight,
    router: Router,
    traffic: Arc<Traffic>,
) -> Result<Response<Sent>, Infallible> {
    let (mut request, unread) = unread_body::watch(request);
    request.extensions_mut().insert(ConnectInfo(peer));
    let form = ErrorForm::of(&request);
    // In a task of its own, which a client that hangs up does not end: a guess that was counted gets its audit entry, and no
    // statement is given up halfway, which would cost its connection. The handler has a time limit of its own.
    let mut response = match tokio::spawn(router.oneshot(request)).await {
        Ok(answered) => answered?,
        // The router answers panics of its handlers itself; else only a runtime that ends gives a task up.
        Err(error) => form.respond(&error),
    };
    if let Some(unread) = unread
        && !unread.drain_or_close(&mut response).await
    {
        traffic.leave_request_unread();
    }
    Ok(response.map(|body| in_flight.until_sent(body)))
}
