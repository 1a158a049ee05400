//! How a page's handler answers: its outcome or the error page, with the cookies that belong to what was done.

use axum::response::Response;

use super::super::answer;
use super::super::extract::Browser;
use super::error;
use crate::actions::client::ClientUpdate;
use crate::context::Ctx;
use crate::model::problem::Result;

/// An outcome, or its error page.
pub fn page(ctx: &Ctx, outcome: Result<Response>) -> Response {
    outcome.unwrap_or_else(|error| error::refusal(Some(&ctx.instance), error))
}

/// The cookies that belong to an act.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn set_cookies(ctx: &Ctx, browser: &Browser, updated: &ClientUpdate, response: &mut Response) -> Result<()> {
    answer::set_cookies(ctx, browser, updated.client.uat(), updated.issued.as_ref(), response)
}
