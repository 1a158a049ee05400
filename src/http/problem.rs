//! Refusals and faults as answers: the error envelope of both APIs.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::status;
use crate::model::problem::{Error, FaultKind, Problem, code};

/// What a handler returns.
pub type Answer<T = Response> = Result<T, Failure>;

/// An [`Error`] on its way out.
#[derive(Debug)]
pub struct Failure(pub Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The code that ended a request, for the log line; found in the response's extensions.
#[derive(Clone, Copy, Debug)]
pub struct ErrorCode(pub &'static str);

/// The error array of a problem, without the trace id (the outermost layer adds it).
pub fn envelope(problem: &Problem) -> Value {
    let errors: Vec<Value> = problem
        .errors
        .iter()
        .map(|item| {
            json!({
                "message": item.code.message,
                "long_message": item.long_message,
                "code": item.code.name,
                "meta": item.meta,
            })
        })
        .collect();
    json!({ "errors": errors })
}

/// The problem that tells an error to its caller; faults are logged here and reported without detail.
pub fn to_problem(error: Error) -> Problem {
    let fault = match error {
        Error::Problem(problem) => return *problem,
        Error::Fault(fault) => fault,
    };
    let mut chain = fault.source.to_string();
    let mut cause = fault.source.source();
    while let Some(error) = cause {
        chain = format!("{chain}: {error}");
        cause = error.source();
    }
    match fault.kind {
        FaultKind::Internal => {
            tracing::error!(error = %chain, "fault");
            Problem::new(code::INTERNAL_CLERK_ERROR)
        }
        FaultKind::Unavailable => {
            tracing::warn!(error = %chain, "unavailable");
            Problem::new(code::SERVICE_UNAVAILABLE).retry_after(1)
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = to_problem(self.0);
        answer(&problem, status::of_problem(&problem))
    }
}

/// `problem` as an answer with another status than its own.
pub fn answer(problem: &Problem, status: StatusCode) -> Response {
    let mut response = (status, Json(envelope(problem))).into_response();
    // The backend SDK compares the whole header: no charset.
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(ErrorCode(problem.code().name));
    response.extensions_mut().insert(Envelope);
    if let Some(why) = problem.why {
        response.extensions_mut().insert(why);
    }
    response
}

/// Marks a response whose body is an error envelope still lacking its trace id.
#[derive(Clone, Copy, Debug)]
pub struct Envelope;
