//! The answer to a request whose task was given up, and with it every layer of the router that would have answered.

use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request};
use tokio::task::JoinError;

use super::oauth::error::OAuthFailure;
use super::problem::Failure;
use super::route::Cors;
use super::{headers, pages};
use crate::model::problem::{Error, Problem, code};

/// The form in which a caller reads errors, as far as the request tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// A page: a browser navigates.
    Page,
    /// The errors of OAuth.
    OAuth,
    /// The envelope of both APIs.
    Envelope,
}

impl ErrorForm {
    /// That of a request which is about to be handled.
    pub fn of<B>(request: &Request<B>) -> Self {
        match () {
            () if pages::error::accepts_pages(request.headers()) => Self::Page,
            () if request.uri().path().starts_with("/oauth/") => Self::OAuth,
            () => Self::Envelope,
        }
    }

    /// Asks for another try. Carries no trace id: nothing was written down under one.
    pub fn respond(self, error: &JoinError) -> Response {
        let is_panic = error.is_panic();
        tracing::error!(is_panic, "a request was given up");
        let busy = Error::from(Problem::new(code::SERVICE_UNAVAILABLE).retry_after(1));
        let mut response = match self {
            Self::Page => pages::error::complete(pages::error::refusal(None, busy), true, "-"),
            Self::OAuth => OAuthFailure::from(busy).into_response(),
            Self::Envelope => Failure(busy).into_response(),
        };
        headers::secure(None, Cors::Closed, &mut response);
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}
