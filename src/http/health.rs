//! Health of this replica, for load balancers. A provider's or mail server's outage never changes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::route::{Cache, Caller, Cors, Limit, Route, Rules, get};
use crate::app::App;
use crate::store;

const OPERATOR: Rules =
    Rules { caller: Caller::Operator, limit: Limit::Unlimited, cors: Cors::Closed, cache: Cache::NoStore };

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/healthz", OPERATOR, alive), get("/readyz", OPERATOR, ready)]
}

/// `GET /healthz`: the process runs and its event loop turns. Never touches the database.
async fn alive() -> &'static str {
    "ok"
}

/// `GET /readyz`: a connection is usable, the schema fits, and the server is not draining.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reason": "draining" })))
            .into_response();
    }
    match store::schema::is_current(&app.db).await {
        Ok(true) => Json(json!({ "ready": true })).into_response(),
        Ok(false) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reason": "schema" }))).into_response()
        }
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false, "reason": "database" }))).into_response()
        }
    }
}
