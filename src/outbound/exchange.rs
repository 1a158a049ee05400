//! What is asked, what comes back, and how it can fail.

use crate::model::reason::Reason;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::time::Duration;
use url::Url;

/// Times and sizes by kind of call.
pub mod limits {
    use std::time::Duration;

    /// A whole exchange, unless said otherwise.
    pub const EXCHANGE: Duration = Duration::from_secs(10);
    /// A client metadata document.
    pub const DOCUMENT: Duration = Duration::from_secs(3);

    /// Bytes of a token answer.
    pub const TOKEN_BYTES: usize = 64 * 1024;
    /// Bytes of a profile.
    pub const PROFILE_BYTES: usize = 256 * 1024;
    /// Bytes of a discovery document or key set.
    pub const METADATA_BYTES: usize = 256 * 1024;
}

/// What happens on a 3xx answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// [`Failure::Redirected`].
    Never,
    /// A GET may be sent once more to the same origin; for discovery alone.
    OnceToSameOrigin,
}

/// A request of ours. Has no `Debug`: URL, headers and body hold secrets.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers beside `User-Agent`, `Host` and `Accept-Encoding`. Never copied from a request that came in.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// For the whole exchange, from the name to the last byte.
    pub timeout: Duration,
    /// The longest body that is read, counted after decompression.
    pub max_bytes: usize,
    /// What to do with a 3xx answer.
    pub redirects: Redirects,
}

impl Request {
    /// A request with the default limits: 10 s, 64 KiB, no redirects.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: limits::EXCHANGE,
            max_bytes: limits::TOKEN_BYTES,
            redirects: Redirects::Never,
        }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST with this body.
    pub fn post(url: Url, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, url);
        request.headers.insert(CONTENT_TYPE, content_type);
        request.body = body.into();
        request
    }

    /// A POST of form fields (`application/x-www-form-urlencoded`), as token endpoints take it.
    pub fn post_form<'a>(url: Url, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(url, HeaderValue::from_static("application/x-www-form-urlencoded"), body)
    }

    /// With this header, replacing one of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With another time for the whole exchange.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With another limit for the answer's body.
    #[must_use]
    pub fn at_most(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// With another rule for 3xx answers.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }
}

/// An answer, whole.
#[derive(Clone)]
pub struct Response {
    /// The status; 3xx only as 304 to a conditional request.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
    /// From the call to the last byte.
    pub elapsed: Duration,
}

/// Why there is no answer. What the connection said goes to the debug log, never to the caller: whoever supplied the
/// URL would learn what our network looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The time for connecting (3 s) or for the whole exchange was up.
    #[error("no answer in time")]
    Timeout,
    /// The name does not resolve.
    #[error("the name does not resolve")]
    Dns,
    /// Nobody accepted the connection.
    #[error("the connection was refused")]
    Refused,
    /// The connection broke before the answer was complete.
    #[error("the connection was cut")]
    Cut,
    /// TLS could not be agreed on, or the certificate is not trusted.
    #[error("the TLS connection could not be made")]
    Tls,
    /// The host is left alone after five failures, or too much is in flight.
    #[error("the host is not asked at the moment")]
    Breaker,
    /// The guard forbids it.
    #[error("the address is not allowed ({rule})")]
    Blocked {
        /// What was wrong: `scheme`, `port`, `userinfo`, `host`, `address` or `request`.
        rule: &'static str,
    },
    /// The server is set to offline, and the host is not listed.
    #[error("outgoing requests are switched off")]
    Offline,
    /// The answer was a redirect.
    #[error("the answer was a redirect")]
    Redirected,
    /// The body is longer than the limit.
    #[error("the answer is too long")]
    TooLarge,
}

impl Failure {
    /// The reason for a flow that fails by this.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Timeout => Reason::ProviderTimeout,
            Self::Dns | Self::Refused | Self::Cut | Self::Tls | Self::Breaker => Reason::ProviderUnreachable,
            Self::Blocked { .. } | Self::Offline | Self::Redirected => Reason::EndpointRefused,
            Self::TooLarge => Reason::ProviderUnreadable,
        }
    }

    /// The detail beside [`Self::reason`]; empty for a timeout.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Timeout => "",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::Tls => "tls",
            Self::Breaker => "breaker",
            Self::Blocked { .. } => "blocked",
            Self::Offline => "offline",
            Self::Redirected => "redirected",
            Self::TooLarge => "size",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_fields_are_encoded() {
        let request = Request::post_form("https://a.example".parse().unwrap(), [("code", "a b&c"), ("x", "ü")]);
        assert_eq!(request.body.as_ref(), b"code=a+b%26c&x=%C3%BC");
        assert_eq!(request.headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
        assert_eq!((request.timeout, request.max_bytes), (Duration::from_secs(10), 65_536));
    }

    #[test]
    fn every_failure_is_a_reason_of_the_list() {
        let row = |failure: Failure| (failure.reason().name(), failure.detail());
        assert_eq!(row(Failure::Timeout), ("provider_timeout", ""));
        assert_eq!(row(Failure::Dns), ("provider_unreachable", "dns"));
        assert_eq!(row(Failure::Breaker), ("provider_unreachable", "breaker"));
        assert_eq!(row(Failure::Blocked { rule: "port" }), ("endpoint_refused", "blocked"));
        assert_eq!(row(Failure::Offline), ("endpoint_refused", "offline"));
        assert_eq!(row(Failure::Redirected), ("endpoint_refused", "redirected"));
        assert_eq!(row(Failure::TooLarge), ("provider_unreadable", "size"));
    }
}
