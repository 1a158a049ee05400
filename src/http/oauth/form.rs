//! The form body of an OAuth endpoint, read strictly: one content type, a bounded size, valid encoding.

use axum::body::Body;
use axum::extract::Request;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::OAuthFailure;
use crate::http::body;
use crate::model::oauth::error::{OAuthError, invalid_request};
use crate::model::oauth::parameters::Parameters;

const NOT_A_FORM: OAuthError = invalid_request("the body must be application/x-www-form-urlencoded");

/// True if the body is declared to be a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The headers and the form of a request.
///
/// # Errors
/// 413 above 64 KiB and 408 for a slow one, before anything is parsed; `invalid_request` for another content type or a
/// bad encoding.
pub async fn read(request: Request) -> Result<(HeaderMap, Parameters), OAuthFailure> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        return Err(NOT_A_FORM.into());
    }
    let parameters = body_parameters(body).await?;
    Ok((parts.headers, parameters))
}

/// The fields of a form body.
///
/// # Errors
/// 413 above 64 KiB, 408 for a slow one, `invalid_request` for a bad encoding.
pub async fn body_parameters(body: Body) -> Result<Parameters, OAuthFailure> {
    let bytes = body::read(body).await.map_err(OAuthFailure::unreadable)?;
    Ok(Parameters::parse(&bytes)?)
}
