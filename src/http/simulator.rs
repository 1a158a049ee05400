//! Mounts the simulated providers below `/_dev/providers/<slug>/…`, on development instances of servers with
//! development pages alone.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};

use super::problem;
use super::route::{Cache, Caller, Cors, Limit, Route, Rules, get, post};
use crate::context::Ctx;
use crate::model::problem::code;
use crate::simulator::{Answer, Request, Simulator};

/// A foreign server, as far as browsers and clients can tell: no caller of ours, no CORS.
const RULES: Rules =
    Rules { caller: Caller::Anyone, limit: Limit::Unlimited, cors: Cors::Closed, cache: Cache::NoStore };

const PATH: &str = "/_dev/providers/{slug}/{*path}";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(PATH, RULES, serve), post(PATH, RULES, serve)]
}

/// Any request to a simulated provider.
async fn serve(
    ctx: Ctx,
    Path((slug, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> problem::Answer {
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
    let query = query.unwrap_or_default();
    // HEAD is answered as GET; the server leaves the body out.
    let method = if method == Method::HEAD { Method::GET } else { method };
    let request = Request { method: &method, path: &path, query: &query, headers: &headers, body: &body };
    Ok(respond(simulator.answer(&slug, request).await?))
}

fn respond(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
