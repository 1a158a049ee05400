//! The API version a caller asks for: by header or query, not both. An unknown older or
//! malformed one is refused; a later, well-formed date is served with the newest known version, so that an update of an
//! SDK never breaks sign-in.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::Failure;
use crate::model::problem::{Problem, code};

/// The versions this server knows, oldest first.
pub const KNOWN: &[&str] = &["2021-02-05", "2024-10-01", "2025-04-10", "2025-11-10", "2026-05-12"];

const HEADER: HeaderName = HeaderName::from_static("clerk-api-version");

/// Refuses what cannot be served, and tells every answer of the two APIs which version it is.
pub async fn negotiate(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    match version(request.headers(), request.uri().query().unwrap_or_default()) {
        Ok(version) => {
            let mut response = next.run(request).await;
            response.headers_mut().insert(HEADER, HeaderValue::from_static(version));
            response
        }
        Err(problem) => Failure::from(problem).into_response(),
    }
}

/// The version to answer with.
fn version(headers: &HeaderMap, query: &str) -> Result<&'static str, Problem> {
    let in_header = headers.get(HEADER).map(|value| value.to_str().unwrap_or_default().to_owned());
    let in_query = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "__clerk_api_version");
    let asked = match (in_header, in_query) {
        (Some(_), Some(_)) => return Err(refused("The version is given twice: by header and by query.")),
        (Some(asked), None) => asked,
        (None, Some((_, asked))) => asked.into_owned(),
        (None, None) => return Ok("2021-02-05"),
    };
    if let Some(known) = KNOWN.iter().find(|known| **known == asked) {
        return Ok(known);
    }
    let newest = KNOWN.last().copied().unwrap_or_default();
    if is_date(&asked) && asked.as_str() > newest {
        tracing::warn!(asked, served = newest, "a newer API version was asked for");
        return Ok(newest);
    }
    Err(refused(&format!("Known versions: {}.", KNOWN.join(", "))))
}

fn refused(sentence: &str) -> Problem {
    Problem::new(code::API_VERSION_INVALID).explain(sentence)
}

/// True for `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(header: Option<&str>, query: &str) -> Result<&'static str, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(HEADER, HeaderValue::from_str(header).unwrap());
        }
        version(&headers, query)
    }

    #[test]
    fn known_and_later_versions_are_served_others_refused() {
        assert_eq!(ask(None, ""), Ok("2021-02-05"));
        assert_eq!(ask(Some("2026-05-12"), ""), Ok("2026-05-12"));
        assert_eq!(ask(None, "a=b&__clerk_api_version=2025-11-10"), Ok("2025-11-10"));
        assert_eq!(ask(Some("2031-01-01"), ""), Ok("2026-05-12"));
        for bad in ["2020-01-01", "2025-11-11", "newest", "2026-5-1", ""] {
            assert_eq!(ask(Some(bad), "").unwrap_err().code().name, "api_version_invalid", "{bad}");
        }
        assert!(ask(Some("2026-05-12"), "__clerk_api_version=2026-05-12").is_err());
    }
}
