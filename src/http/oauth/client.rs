//! Who calls a client endpoint: the form, and what it and the `Authorization` header say about the client.

use axum::extract::Request;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::error::OAuthFailure;
use super::form;
use crate::context::Ctx;
use crate::flows::token::Failure;
use crate::model::oauth::client_auth::{PresentedClient, Refused, presented_client};
use crate::model::oauth::error::{ErrorCode, OAuthError, invalid_request};
use crate::model::oauth::parameters::Parameters;
use crate::model::problem::Error;

/// The form of a request and the client it presents. Whether the client is who it says is decided by the flow.
///
/// # Errors
/// What [`form::read`] and [`presented_client`] refuse, repeated parameters among `once`.
pub async fn read(request: Request, once: &[&str]) -> Result<(PresentedClient, Parameters), OAuthFailure> {
    let (headers, parameters) = form::read(request).await?;
    for name in once {
        parameters.one(name).map_err(OAuthError::from)?;
    }
    let client = present(&headers, &parameters)?;
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

/// A failure as the client is told it. Failed proofs are counted, and more than twenty a minute are told as that. A good
/// proof never waits: a stranger behind the same address must not shut a client out.
pub fn refused(ctx: &Ctx, client: &PresentedClient, failure: Failure) -> OAuthFailure {
    if let Failure::Refused(error) = &failure
        && error.code == ErrorCode::InvalidClient
        && let Err(too_many) = ctx.app.limits.spend_client_failure(&client.client_id, &ctx.instance, ctx.from.ip)
    {
        return Error::from(too_many).into();
    }
    OAuthFailure::from(failure).to_client(client.method)
}
