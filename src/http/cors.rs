//! CORS and the origin check, which is the frontend API's defence against forged requests:
//! the browser SDK sends simple requests, so a preflight never protects anything.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::native;
use super::route::Cors;
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};

/// Refuses requests whose headers contradict each other or come from a page that has no business here.
///
/// # Errors
/// `origin_invalid`, `origin_missing`, `multiple_origin_header_values_forbidden`,
/// `origin_authorization_headers_conflict`.
pub fn check_origin(
    instance: &Instance,
    method: &Method,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let origin = origin(headers)?;
    if origin.is_some() && headers.contains_key(AUTHORIZATION) {
        return Err(code::ORIGIN_AUTHORIZATION_HEADERS_CONFLICT.into());
    }
    if let Some(origin) = origin {
        if instance.is_own_origin(origin) {
            return Ok(());
        }
        let words = format!(
            "{origin} is not one of this instance's origins. List it with: vestibule instance origins add {origin}"
        );
        return Err(Problem::new(code::ORIGIN_INVALID).explain(words));
    }
    let same_origin = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    // Nothing that a browser sends along by itself counts for a native application: there is nothing to forge.
    if reads || same_origin || native::is_native(query, headers) {
        return Ok(());
    }
    Err(code::ORIGIN_MISSING.into())
}

/// The one `Origin` header, if there is one.
///
/// # Errors
/// `multiple_origin_header_values_forbidden`.
pub fn origin(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(ORIGIN).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(code::MULTIPLE_ORIGIN_HEADER_VALUES_FORBIDDEN.into());
    }
    first.map(|value| value.to_str().map_err(|_| code::ORIGIN_INVALID.into())).transpose()
}

/// Adds what lets a page of another origin read the answer.
pub fn allow(cors: Cors, instance: Option<&Instance>, origin: Option<&HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    match cors {
        Cors::Closed => {}
        Cors::Anyone => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, DPoP-Nonce"));
        }
        Cors::Instance => {
            headers.append(VARY, HeaderValue::from_static("Origin"));
            let own = |origin: &&HeaderValue| {
                instance.is_some_and(|instance| origin.to_str().is_ok_and(|origin| instance.is_own_origin(origin)))
            };
            let Some(origin) = origin.filter(own) else { return };
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            let exposed =
                HeaderValue::from_static("Authorization, Clerk-Db-Jwt, Retry-After, X-Country, X-Vestibule-Flow");
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// The answer to a preflight for a path that answers `methods`.
pub fn preflight(cors: Cors, instance: Option<&Instance>, origin: Option<&HeaderValue>, methods: &str) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    allow(cors, instance, origin, &mut response);
    let headers = response.headers_mut();
    if let Ok(methods) = HeaderValue::from_str(methods) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, dpop"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}
