//! `POST /oauth/token` (RFC 6749 section 3.2).

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::{OAuthFailure, uncached};
use super::{client, form};
use crate::actions::authorization_steps;
use crate::actions::token::{Failure, Tokens, authenticate, redeem_code, rotate_refresh_token};
use crate::context::Ctx;
use crate::model::oauth::client_auth::PresentedClient;
use crate::model::oauth::grant_request::{self, GrantRequest};
use crate::model::oauth::parameters::Parameters;

/// The answer of the token endpoint.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u32,
    refresh_token: &'a str,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
}

/// Exchanges a code or a refresh token. The order of the checks is the specification's: form, repetitions,
/// `grant_type`, who the client is, whether the grant is known, and only then the grant itself.
pub async fn exchange(ctx: Ctx, request: Request) -> Result<Response, OAuthFailure> {
    let outcome = exchanged(&ctx, request).await;
    if let Err(failure) = &outcome {
        authorization_steps::log_refused_token_request(&ctx, failure.error());
    }
    outcome
}

async fn exchanged(ctx: &Ctx, request: Request) -> Result<Response, OAuthFailure> {
    let (headers, form) = form::read(request).await?;
    grant_request::grant_type(&form)?;
    let presented = client::present(&headers, &form)?;
    client::admit(ctx, &presented)?;
    let tokens = grant(ctx, &presented, &form).await;
    client::note_refusal(ctx, &presented, tokens).map(|tokens| answer(&tokens))
}

async fn grant(ctx: &Ctx, client: &PresentedClient, form: &Parameters) -> Result<Tokens, Failure> {
    match grant_request::read(form) {
        Ok(GrantRequest::Code(request)) => redeem_code::redeem(ctx, client, &request).await,
        Ok(GrantRequest::Refresh(request)) => rotate_refresh_token::rotate(ctx, client, &request).await,
        Err(error) => {
            // A stranger does not learn what was wrong with the rest.
            authenticate(ctx, client).await?;
            Err(error.into())
        }
    }
}

fn answer(tokens: &Tokens) -> Response {
    let mut response = Json(TokenAnswer {
        access_token: tokens.access.reveal(),
        token_type: "bearer",
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh.reveal(),
        scope: tokens.scopes.to_string(),
        id_token: tokens.id_token.as_deref(),
    })
    .into_response();
    uncached(&mut response);
    response
}
