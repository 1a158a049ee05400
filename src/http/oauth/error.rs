//! Refusals and faults as OAuth clients read them: `{"error", "error_description"}` and not the envelope of the two
//! APIs (RFC 6749 section 5.2).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::actions::token::Failure;
use crate::http::body::Unreadable;
use crate::http::problem::{ErrorCode as LoggedCode, to_problem};
use crate::http::status;
use crate::model::oauth::client_auth::{Method, Refused};
use crate::model::oauth::error::{ErrorCode, OAuthError, invalid_request};
use crate::model::problem::Error;

const BUSY: OAuthError = OAuthError::new(ErrorCode::TemporarilyUnavailable, "the server is busy, try again");
const TOO_OFTEN: OAuthError = OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many requests, try again later");
const FAILED: OAuthError = OAuthError::new(ErrorCode::ServerError, "the server failed");

/// The status of an error that is answered directly (token endpoint, userinfo, error page).
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
        ErrorCode::InsufficientScope | ErrorCode::AccessDenied => StatusCode::FORBIDDEN,
        ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// A refusal on its way to an OAuth client.
#[derive(Debug)]
pub struct OAuthFailure {
    error: OAuthError,
    status: StatusCode,
    retry_after: Option<u32>,
    challenge: Option<HeaderValue>,
}

impl OAuthFailure {
    fn new(error: OAuthError) -> Self {
        Self { error, status: status(error.code), retry_after: None, challenge: None }
    }

    /// What the client receives.
    pub fn error(&self) -> &OAuthError {
        &self.error
    }

    /// A body that could not be read, before anything of it was parsed.
    pub fn unreadable(why: Unreadable) -> Self {
        let (status, description) = match why {
            Unreadable::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Unreadable::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
            Unreadable::Broken => (StatusCode::BAD_REQUEST, "the body cannot be read"),
        };
        Self { status, ..Self::new(invalid_request(description)) }
    }

    /// Asks for Basic credentials where Basic credentials were refused (RFC 6749 section 5.2).
    #[must_use]
    pub fn to_client(mut self, method: Method) -> Self {
        if self.error.code == ErrorCode::InvalidClient && method == Method::Basic {
            self.challenge = Some(HeaderValue::from_static("Basic realm=\"oauth\""));
        }
        self
    }
}

impl From<OAuthError> for OAuthFailure {
    fn from(error: OAuthError) -> Self {
        Self::new(error)
    }
}

impl From<Refused> for OAuthFailure {
    fn from(refused: Refused) -> Self {
        Self::new(refused.error).to_client(refused.method)
    }
}

impl From<Error> for OAuthFailure {
    /// Faults are logged and reported without detail; a problem here is the guard's (rate limit, unknown host).
    fn from(error: Error) -> Self {
        let problem = to_problem(error);
        let status = status::of_problem(&problem);
        let error = match status.as_u16() {
            429 => problem.why.map_or(TOO_OFTEN, |why| TOO_OFTEN.because(why.reason, why.detail)),
            503 => BUSY,
            500 => FAILED,
            _ => invalid_request("the request cannot be answered here"),
        };
        Self { error, status, retry_after: problem.retry_after, challenge: None }
    }
}

impl From<Failure> for OAuthFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error.into(),
            Failure::Fault(error) => error.into(),
        }
    }
}

impl IntoResponse for OAuthFailure {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error.code.as_str(), "error_description": self.error.description() });
        let mut response = (self.status, Json(body)).into_response();
        uncached(&mut response);
        let headers = response.headers_mut();
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(LoggedCode(self.error.code.as_str()));
        if let Some(why) = self.error.why() {
            response.extensions_mut().insert(why);
        }
        response
    }
}

/// Keeps tokens and errors out of every cache, old ones included (RFC 6749 section 5.1).
pub fn uncached(response: &mut Response) {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_follow_the_specification() {
        assert_eq!(status(ErrorCode::InvalidGrant), 400);
        assert_eq!(status(ErrorCode::InvalidClient), 401);
        assert_eq!(status(ErrorCode::InvalidToken), 401);
        assert_eq!(status(ErrorCode::InsufficientScope), 403);
        assert_eq!(status(ErrorCode::TemporarilyUnavailable), 503);
    }
}
