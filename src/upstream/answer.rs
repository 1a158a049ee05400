//! Reading what a provider answered: status, content type, JSON, success test, in this order, so that nothing is
//! believed that only looks like a success.

use super::descriptor::ErrorMapping;
use super::error::{Call, ErrorAnswer, UpstreamError};
use super::path::{Expression, Sources};
use crate::crypto::Secret;
use crate::model::reason::Reason;
use serde_json::Value;

/// An answer as it came over the wire, already within the size limit of its call.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, if there was one.
    pub content_type: Option<&'a str>,
    /// The body after decompression.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The token of a success that is a JWT and says so (`application/jwt`).
    pub(super) fn signed(&self) -> Option<Secret> {
        let essence = self.content_type?.split(';').next()?.trim();
        let is_signed = self.status == 200 && essence.eq_ignore_ascii_case("application/jwt");
        let text = std::str::from_utf8(self.body).ok().filter(|_| is_signed)?;
        Some(Secret::from(text.trim().to_owned()))
    }
}

/// How an answer of a call is judged.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    /// During which exchange.
    pub call: Call,
    /// What a 2xx answer must satisfy.
    pub success: Option<&'a Expression>,
    /// The provider's own error codes.
    pub words: &'a ErrorMapping,
}

impl Judge<'_> {
    /// The JSON of a success, or why it is none.
    pub(super) fn read(&self, answer: &Answer<'_>) -> Result<Value, UpstreamError> {
        let fail = |reason, detail| UpstreamError::new(self.call, reason, detail).with_status(answer.status);
        match answer.status {
            200..=299 => {}
            300..=399 => return Err(fail(Reason::EndpointRefused, "redirected")),
            429 => return Err(fail(Reason::ProviderRateLimited, "")),
            400..=499 => return Err(self.refused(answer, serde_json::from_slice(answer.body).unwrap_or_default())),
            _ => return Err(fail(Reason::Provider5xx, "")),
        }
        let value = json(answer).map_err(|detail| fail(Reason::ProviderUnreadable, detail))?;
        if self.is_success(&value) { Ok(value) } else { Err(self.refused(answer, value)) }
    }

    /// An error that the body tells, as a standard code.
    pub(super) fn refused(&self, answer: &Answer<'_>, body: Value) -> UpstreamError {
        ErrorAnswer::read(&body).into_error(self.call, Some(answer.status), self.words)
    }

    fn is_success(&self, value: &Value) -> bool {
        let Some(test) = self.success else { return true };
        test.is_true(&Sources::from([("answer".to_owned(), value.clone())]))
    }
}

/// The JSON of a body whose type says that it is JSON. An HTML page behind status 200 is a login wall or a proxy.
fn json(answer: &Answer<'_>) -> Result<Value, &'static str> {
    let essence = answer.content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let begins_with_tag = answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    if essence == "text/html" || (begins_with_tag && !essence.is_empty()) {
        return Err("html");
    }
    if essence != "application/json" && !essence.ends_with("+json") && essence != "text/javascript" {
        return Err("type");
    }
    serde_json::from_slice(answer.body).map_err(|_| "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, content_type: Option<&str>, body: &str) -> Result<Value, (Reason, &'static str)> {
        let test = Expression::parse("answer.error is absent").unwrap();
        let judge = Judge { call: Call::Token, success: Some(&test), words: &ErrorMapping::default() };
        judge
            .read(&Answer { status, content_type, body: body.as_bytes() })
            .map_err(|error| (error.reason, error.detail))
    }

    #[test]
    fn only_successful_json_is_believed() {
        use Reason::*;
        let json = Some("application/json; charset=utf-8");
        assert!(read(200, json, "{}").is_ok());
        assert!(read(201, Some("application/vnd.x+json"), "{}").is_ok());
        for (status, content_type, body, expected) in [
            (200, Some("text/html"), "{}", (ProviderUnreadable, "html")),
            (200, json, "\n<!doctype html>", (ProviderUnreadable, "html")),
            (200, None, "{}", (ProviderUnreadable, "type")),
            (200, Some("text/plain"), "a=b", (ProviderUnreadable, "type")),
            (200, json, "{\"a\":", (ProviderUnreadable, "json")),
            (200, json, "", (ProviderUnreadable, "json")),
            (200, json, &"[".repeat(100_000), (ProviderUnreadable, "json")),
            (200, json, "{\"error\":\"invalid_grant\"}", (TokenInvalidGrant, "")),
            (302, json, "{}", (EndpointRefused, "redirected")),
            (400, Some("text/html"), "<h1>No</h1>", (ProviderRefused, "")),
            (400, None, "{\"error\":\"invalid_client\"}", (TokenInvalidClient, "")),
            (404, json, "\u{0}", (ProviderRefused, "")),
            (429, json, "{\"error\":\"invalid_grant\"}", (ProviderRateLimited, "")),
            (500, json, "{}", (Provider5xx, "")),
            (503, None, "", (Provider5xx, "")),
        ] {
            assert_eq!(read(status, content_type, body), Err(expected), "{status} {content_type:?} {body:.40}");
        }
    }
}
