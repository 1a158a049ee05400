//! The headers that every answer carries.

use axum::response::Response;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use super::route::Cors;
use crate::model::instance::Instance;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Sets what is missing; a page sets its own policy before.
pub fn secure(instance: Option<&Instance>, cors: Cors, response: &mut Response) {
    let headers = response.headers_mut();
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    absent(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    absent(headers, X_FRAME_OPTIONS, "DENY");
    absent(headers, CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    absent(headers, REFERRER_POLICY, if is_page { "strict-origin-when-cross-origin" } else { "no-referrer" });
    let shared = cors != Cors::Closed && !is_page;
    absent(headers, RESOURCE_POLICY, if shared { "cross-origin" } else { "same-origin" });
    if instance.is_some_and(|instance| instance.is_https() && !instance.answers_on_loopback()) {
        absent(headers, STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains");
    }
}

fn absent(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
