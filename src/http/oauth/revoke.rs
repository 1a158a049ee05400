//! `POST /oauth/token/revoke` (RFC 7009).

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::client;
use super::error::{OAuthFailure, uncached};
use crate::actions::token::revoke;
use crate::context::Ctx;

/// Parameters that may occur once.
const ONCE: [&str; 2] = ["token", "token_type_hint"];

/// Ends a token. The answer has no body and no `Content-Type`: a widespread browser client refuses `text/plain`.
pub async fn end(ctx: Ctx, request: Request) -> Result<Response, OAuthFailure> {
    let (presented, form) = client::read(&ctx, request, &ONCE).await?;
    let done = revoke::revoke(&ctx, &presented, &form).await;
    client::note_refusal(&ctx, &presented, done)?;
    let mut response = StatusCode::OK.into_response();
    uncached(&mut response);
    Ok(response)
}
