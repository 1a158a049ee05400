//! Health of this replica, for load balancers. A provider's or mail server's outage never changes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, get};
use crate::app::{App, Lacking};

const OPERATOR: Rules = Rules {
    caller: Caller::Operator,
    limit: Limit::Unlimited,
    cors: Cors::Closed,
    cache: Cache::NoStore,
    outage: Outage::Refuse,
};

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/healthz", OPERATOR, alive), get("/readyz", OPERATOR, ready)]
}

/// The routes of the internal listener.
pub fn internal_routes() -> Vec<Route> {
    vec![get("/healthz", OPERATOR, alive), get("/readyz", OPERATOR, ready_in_parts)]
}

/// `GET /healthz`: the process runs and its event loop turns. Never touches the database.
async fn alive() -> &'static str {
    "ok"
}

/// `GET /readyz`: a connection is usable, the schema fits, and the server is not draining.
async fn ready(State(app): State<Arc<App>>) -> Response {
    respond(app.readiness().await, json!({}))
}

/// `GET /readyz` on the internal listener: with `?verbose` each part is listed.
async fn ready_in_parts(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let verdict = app.readiness().await;
    if !query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))) {
        return respond(verdict, json!({}));
    }
    let is_fine = |part| verdict != Err(part);
    let parts = json!({
        "draining": app.is_draining(),
        "database": is_fine(Lacking::Database),
        "schema": is_fine(Lacking::Database) && is_fine(Lacking::Schema),
        "key_ring": app.ring.first_id(),
        "clock_offset_ms": i64::try_from(app.clock.offset().whole_milliseconds()).unwrap_or(i64::MAX),
        "connections": { "open": app.db.size(), "idle": app.db.num_idle() },
    });
    respond(verdict, json!({ "parts": parts }))
}

fn respond(verdict: Result<(), Lacking>, mut body: Value) -> Response {
    if let Some(members) = body.as_object_mut() {
        members.insert("ready".to_owned(), verdict.is_ok().into());
        if let Err(lacking) = verdict {
            members.insert("reason".to_owned(), lacking.as_str().into());
        }
    }
    let mut response = Json(body).into_response();
    if verdict.is_err() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
