//! Error pages.

use axum::response::{IntoResponse, Response};

use super::super::problem::{Failure, told};
use crate::model::instance::Instance;
use crate::model::problem::Error;

/// A refusal as a page.
pub fn refusal(_instance: Option<&Instance>, error: Error) -> Response {
    Failure(told(error).into()).into_response()
}

/// The page for an address that does not exist.
pub fn not_found() -> Response {
    Failure::from(crate::model::problem::code::RESOURCE_NOT_FOUND).into_response()
}
