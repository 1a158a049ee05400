//! `GET` and `POST /oauth/userinfo` (OpenID Connect Core section 5.3, RFC 6750).

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::error::{OAuthFailure, uncached};
use super::form;
use crate::actions::token::{Failure, userinfo};
use crate::context::Ctx;
use crate::http::problem::{self, ErrorCode as LoggedCode};
use crate::model::oauth::error::{ErrorCode, OAuthError, invalid_request};
use crate::model::problem::{Problem, code};

/// Why there are no claims.
pub enum Refused {
    /// No credentials at all: a challenge without an error code (RFC 6750 section 3.1).
    Nothing,
    /// Shown to the bearer.
    Bearer(OAuthError),
    /// The body could not be read, or a fault of ours.
    Other(OAuthFailure),
}

impl From<OAuthError> for Refused {
    fn from(error: OAuthError) -> Self {
        Self::Bearer(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => Self::Bearer(error),
            Failure::Fault(error) => Self::Other(error.into()),
        }
    }
}

/// The claims of the user behind the access token.
pub async fn show(ctx: Ctx, request: Request) -> Result<Response, Refused> {
    let token = presented(request).await?;
    let claims = userinfo::show(&ctx, &token).await?;
    Ok(Json(Value::Object(claims)).into_response())
}

/// The access token: in the header, or, for POST, in a form. Both at once are refused, the query is never read.
async fn presented(request: Request) -> Result<String, Refused> {
    let in_header = in_header(request.headers())?;
    let in_form = match request.method() == Method::POST && form::is_form(request.headers()) {
        false => None,
        true => {
            let parameters = form::body_parameters(request.into_body()).await.map_err(Refused::Other)?;
            parameters.one("access_token").map_err(OAuthError::from)?.map(str::to_owned)
        }
    };
    match (in_header, in_form) {
        (Some(token), None) | (None, Some(token)) => Ok(token),
        (None, None) => Err(Refused::Nothing),
        (Some(_), Some(_)) => Err(invalid_request("the access token was sent in two ways").into()),
    }
}

/// The token of an `Authorization: Bearer` header, exactly one header and one token (RFC 6750 section 2.1). Lax reading
/// lets two layers see two tokens.
fn in_header(headers: &HeaderMap) -> Result<Option<String>, OAuthError> {
    const MALFORMED: OAuthError = invalid_request("the Authorization header is not one Bearer token");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(MALFORMED);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(MALFORMED)?;
    let token = token.trim_start_matches(' ');
    let b64token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let well_formed = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(b64token);
    if well_formed { Ok(Some(token.to_owned())) } else { Err(MALFORMED) }
}

impl IntoResponse for Refused {
    /// Both kinds of reader are served: the error array of the SDKs, and the members and challenge of RFC 6750.
    fn into_response(self) -> Response {
        let (status, challenge, error) = match self {
            Self::Other(failure) => return failure.into_response(),
            Self::Nothing => (StatusCode::UNAUTHORIZED, "Bearer realm=\"oauth\"".to_owned(), None),
            Self::Bearer(error) => (super::error::status(error.code), challenge(&error), Some(error)),
        };
        let problem = match status {
            StatusCode::UNAUTHORIZED => code::AUTHENTICATION_INVALID,
            StatusCode::FORBIDDEN => code::RESOURCE_FORBIDDEN,
            _ => code::REQUEST_BODY_INVALID,
        };
        let mut body = problem::envelope(&Problem::new(problem));
        if let (Some(error), Some(members)) = (error, body.as_object_mut()) {
            members.insert("error".to_owned(), json!(error.code.as_str()));
            members.insert("error_description".to_owned(), json!(error.description()));
        }
        let mut response = (status, Json(body)).into_response();
        uncached(&mut response);
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(problem::Envelope);
        response.extensions_mut().insert(LoggedCode(error.map_or("no_credentials", |error| error.code.as_str())));
        response
    }
}

fn challenge(error: &OAuthError) -> String {
    let (code, description) = (error.code.as_str(), error.description());
    let scope = if error.code == ErrorCode::InsufficientScope { ", scope=\"openid\"" } else { "" };
    format!("Bearer error=\"{code}\", error_description=\"{description}\"{scope}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, OAuthError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        in_header(&headers)
    }

    #[test]
    fn one_bearer_token_and_nothing_else() {
        assert_eq!(read(&[]).unwrap(), None);
        for good in ["Bearer abc", "bearer abc", "BEARER   abc"] {
            assert_eq!(read(&[good]).unwrap().as_deref(), Some("abc"), "{good}");
        }
        for bad in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer\tabc",
            "Bearer abc ",
            "Basic abc",
            "abc",
            "",
        ] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        assert!(read(&["Bearer a", "Bearer a"]).is_err());
    }
}
