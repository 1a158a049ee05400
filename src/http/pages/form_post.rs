//! A form that a page was sent: its headers, which say whether it came from a page of ours, and its two sets of
//! parameters. What cannot be read is refused by the page, in its own form.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::HeaderMap;
use std::convert::Infallible;

use super::super::extract::{Body, Query};
use super::super::problem::Failure;

/// A posted form.
pub struct FormPost {
    /// The request's headers.
    pub headers: HeaderMap,
    /// Where the page leads in the end.
    pub query: Result<Query, Failure>,
    /// What was filled in.
    pub body: Result<Body, Failure>,
}

impl<S: Sync> FromRequest<S> for FormPost {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let query = Query::from_request_parts(&mut parts, state).await;
        let headers = parts.headers.clone();
        let body = Body::from_request(Request::from_parts(parts, body), state).await;
        Ok(Self { headers, query, body })
    }
}
