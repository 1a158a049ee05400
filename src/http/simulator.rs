//! Mounts the simulated providers below `/_dev/providers/<slug>/…`, on development instances of servers with
//! development pages alone.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderValue, Method, header};

use super::problem;
use super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, delete, get, post};
use crate::context::Ctx;
use crate::limits;
use crate::model::problem::code;
use crate::simulator::{self, Answer, Request, Simulator};

/// A foreign server, as far as browsers and clients can tell: no caller of ours, no CORS.
const RULES: Rules = Rules {
    caller: Caller::Anyone,
    limit: Limit::Unlimited,
    cors: Cors::Closed,
    cache: Cache::NoStore,
    outage: Outage::Refuse,
};

const PATH: &str = "/_dev/providers/{slug}/{*path}";
/// Between two bytes of a dripping body.
const DROP: Duration = Duration::from_secs(1);

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(PATH, RULES, serve), post(PATH, RULES, serve), delete(PATH, RULES, serve)]
}

/// Any request to a simulated provider.
async fn serve(ctx: Ctx, Path((slug, path)): Path<(String, String)>, head: Parts, body: Bytes) -> problem::Answer {
    if !ctx.instance.allows_simulated_providers() || !ctx.app.config.dev.pages {
        return Err(code::RESOURCE_NOT_FOUND.into());
    }
    let simulator = Simulator {
        instance_id: ctx.instance_id(),
        origin: &ctx.instance.origin,
        ring: &ctx.app.ring,
        catalogue: &ctx.app.catalogue,
        db: &ctx.app.db,
        rng: ctx.rng(),
        now: ctx.now,
        offset: &ctx.offset(),
    };
    // HEAD is answered as GET; the server leaves the body out.
    let method = if head.method == Method::HEAD { Method::GET } else { head.method };
    let query = head.uri.query().unwrap_or_default();
    let request = Request { method: &method, path: &path, query, headers: &head.headers, body: &body };
    if simulator.decides(&slug, request) {
        // An approval leaves a person and a code behind.
        limits::spend(&ctx, Limit::SimulatedAuthorize)?;
    }
    Ok(respond(simulator.answer(&slug, request).await?).await)
}

async fn respond(answer: Answer) -> Response {
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let mut response = (answer.status, travelling(answer.body)).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A body that travels as it must. Nothing is made before it is asked for: a huge one is left after its first pieces.
fn travelling(body: simulator::Body) -> axum::body::Body {
    match body {
        simulator::Body::Whole(bytes) => axum::body::Body::from(bytes),
        simulator::Body::Dripping(bytes) => {
            let drops = stream::iter(0..bytes.len()).then(move |at| {
                let drop = bytes.slice(at..=at);
                async move {
                    if at > 0 {
                        tokio::time::sleep(DROP).await;
                    }
                    Ok::<_, Infallible>(drop)
                }
            });
            axum::body::Body::from_stream(drops)
        }
        simulator::Body::Cut(bytes) => {
            let half = bytes.slice(..bytes.len() / 2);
            let cut = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            // The half is on its way before the end comes.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(cut)
            });
            axum::body::Body::from_stream(stream::iter([Ok(half)]).chain(end))
        }
        simulator::Body::Repeated { head, piece, times } => {
            let pieces = std::iter::once(head).chain(std::iter::repeat_n(piece, times));
            axum::body::Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
        }
    }
}
