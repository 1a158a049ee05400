//! The picture of a user who has none.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::route::{Cache, Caller, Cors, Limit, Outage, Route, Rules, get};
use super::views::user::DEFAULT_IMAGE_PATH;

/// Apps of any origin show it; a later release may draw it better, so it is not cached for ever.
const PICTURE: Rules = Rules {
    caller: Caller::Operator,
    limit: Limit::Unlimited,
    cors: Cors::Anyone,
    cache: Cache::Public(86_400),
    outage: Outage::Refuse,
};

const SVG: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect width="96" height="96" fill="#c9d2dc"/><circle cx="48" cy="37" r="17" fill="#5b6b7c"/><path d="M14 92c3-22 17-33 34-33s31 11 34 33z" fill="#5b6b7c"/></svg>"##;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(DEFAULT_IMAGE_PATH, PICTURE, show)]
}

/// `GET /static/avatar.svg`.
async fn show() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml")], SVG).into_response()
}
