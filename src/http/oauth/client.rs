//! Who calls a client endpoint: the form, and what it and the `Authorization` header say about the client.

use axum::extract::Request;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::OAuthFailure;
use super::form;
use crate::actions::token::Failure;
use crate::context::Ctx;
use crate::limits::{self, ClientBudget};
use crate::model::oauth::client_auth::{PresentedClient, Refused, presented_client};
use crate::model::oauth::error::{ErrorCode, OAuthError, invalid_request};
use crate::model::oauth::parameters::Parameters;
use crate::model::problem::Error;

/// The form of a request and the client it presents. Whether the client is who it says is decided by the flow.
///
/// # Errors
/// What [`form::read`], [`presented_client`] and [`admit`] refuse, repeated parameters among `once`.
pub async fn read(ctx: &Ctx, request: Request, once: &[&str]) -> Result<(PresentedClient, Parameters), OAuthFailure> {
    let (headers, parameters) = form::read(request).await?;
    for name in once {
        parameters.one(name).map_err(OAuthError::from)?;
    }
    let client = present(&headers, &parameters)?;
    admit(ctx, &client)?;
    Ok((client, parameters))
}

/// The client that a request presents.
///
/// # Errors
/// `invalid_client`, `invalid_request`.
pub fn present(headers: &HeaderMap, form: &Parameters) -> Result<PresentedClient, OAuthFailure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(invalid_request("more than one Authorization header").into());
    }
    // What is not ASCII cannot be Basic: read as a malformed header.
    let header = first.map(|value| value.to_str().unwrap_or_default());
    presented_client(header, form).map_err(|refused: Refused| refused.into())
}

/// Lets a client in that has something left of its budget.
///
/// # Errors
/// 429 `temporarily_unavailable`.
pub fn admit(ctx: &Ctx, client: &PresentedClient) -> Result<(), OAuthFailure> {
    Ok(limits::admit_client(ctx, budget(ctx, client)).map_err(Error::from)?)
}

/// What the client receives, counted as what it was. Failed authentications have a budget of their own, and more than
/// that are reported so; a good authentication never waits for them: a stranger must not shut a client out, nor spend
/// what it may ask for.
///
/// # Errors
/// What the flow refused.
pub fn note_refusal<T>(ctx: &Ctx, client: &PresentedClient, outcome: Result<T, Failure>) -> Result<T, OAuthFailure> {
    match &outcome {
        Err(Failure::Refused(error)) if error.code == ErrorCode::InvalidClient => {
            limits::spend_client_failure(ctx, &client.client_id).map_err(Error::from)?;
        }
        // Whoever asked at the same moment was let in together; the next one is not.
        _ => drop(limits::spend_client(ctx, budget(ctx, client))),
    }
    outcome.map_err(|failure| OAuthFailure::from(failure).to_client(client.method))
}

fn budget<'a>(ctx: &Ctx, client: &'a PresentedClient) -> ClientBudget<'a> {
    match client.secret {
        Some(_) => ClientBudget::Authenticated(&client.client_id),
        None => ClientBudget::Named(&client.client_id, ctx.from.ip),
    }
}
