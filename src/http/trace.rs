//! The outermost layer: gives the request its id, catches panics, puts the id into error envelopes, and writes the one
//! log line of the request.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, StatusCode};
use tracing::Instrument;

use super::problem::{Envelope, ErrorCode};
use super::route::Cors;
use super::{headers, pages};
use crate::app::App;
use crate::context::Ctx;
use crate::flow_log::{self, FlowLog, RequestOutcome};
use crate::model::id::{InstanceId, RequestId};
use crate::model::problem::Error;

/// Put into a response's extensions by the guard, for the log line.
#[derive(Clone, Debug)]
pub struct Served(pub InstanceId);

/// The template of the matched route, for the log line; raw paths hold ids and are never logged.
#[derive(Clone, Debug)]
pub struct Template(pub String);

/// Where the guard leaves the request's context, for what happens outside of it.
#[derive(Clone, Default)]
pub struct Followed(Arc<OnceLock<Ctx>>);

impl Followed {
    /// Leaves the context.
    pub fn follow(&self, ctx: &Ctx) {
        let _ = self.0.set(ctx.clone());
    }

    /// The context, once the guard has found the instance.
    pub fn ctx(&self) -> Option<&Ctx> {
        self.0.get()
    }

    /// The context's flow log.
    pub fn flow_log(&self) -> Option<&FlowLog> {
        self.ctx().map(|ctx| &ctx.flow_log)
    }
}

/// Runs `request` under a fresh id.
pub async fn request(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::new(app.clock.now(), app.rng.as_ref());
    let started = Instant::now();
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let followed = Followed::default();
    request.extensions_mut().insert(followed.clone());
    let accepts_pages = pages::error::accepts_pages(request.headers());
    let span = tracing::info_span!("request", request_id = %id, flow_id = tracing::field::Empty);
    let answered = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let response = answered.unwrap_or_else(|_| span.in_scope(|| panicked(followed.flow_log())));
    let flow = followed.flow_log().and_then(FlowLog::flow);
    let flow = flow.as_ref().map_or("", |flow| flow.as_str());
    let response = pages::error::complete(response, accepts_pages, if flow.is_empty() { id.as_str() } else { flow });
    let mut response = with_trace_id(response, &id).await;
    // What no route's guard has answered (unknown paths and methods, versions, time limits) carries the same headers.
    headers::secure(None, Cors::Closed, &mut response);
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = response.extensions().get::<Template>().map_or("unmatched", |template| template.0.as_str());
    let instance = response.extensions().get::<Served>().map_or("", |served| served.0.as_str());
    let error = response.extensions().get::<ErrorCode>().map_or("", |code| code.0);
    let status = response.status().as_u16();
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if !matches!(route, "/healthz" | "/readyz") {
        tracing::info!(request_id = %id, flow_id = flow, %method, route, status, ms, instance, error, "request");
    }
    response
}

fn panicked(flow_log: Option<&FlowLog>) -> Response {
    if let Some(flow_log) = flow_log {
        flow_log.close(RequestOutcome::Fault(flow_log::PANIC));
    }
    pages::error::refusal(None, Error::internal("a handler panicked"))
}

/// Keeps the matched route's template for the log line.
pub async fn template(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Template(path.as_str().to_owned()));
    }
    response
}

/// Adds `clerk_trace_id` to an error envelope.
async fn with_trace_id(response: Response, id: &RequestId) -> Response {
    if response.extensions().get::<Envelope>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let Ok(serde_json::Value::Object(mut envelope)) = serde_json::from_slice(&bytes) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "").into_response();
    };
    envelope.insert("clerk_trace_id".to_owned(), id.as_str().into());
    let bytes = serde_json::Value::Object(envelope).to_string();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Response::from_parts(parts, Body::from(bytes))
}
