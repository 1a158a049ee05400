//! What the simulator answers.

use super::shapes::Written;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value};
use std::time::Duration;
use url::form_urlencoded;

/// A plain HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Body,
    /// How long it waits before it goes.
    pub delay: Duration,
}

/// A body, and how it travels.
#[derive(Debug)]
pub enum Body {
    /// As bodies do.
    Whole(Bytes),
    /// A byte a second.
    Dripping(Bytes),
    /// The first half; then the connection ends.
    Cut(Bytes),
    /// `head`, then `piece` so many times.
    Repeated {
        /// What comes once.
        head: Bytes,
        /// What comes again.
        piece: Bytes,
        /// How often.
        times: usize,
    },
}

impl Answer {
    /// An answer as answers are.
    pub(super) fn new(status: StatusCode, headers: Vec<(HeaderName, String)>, body: String) -> Self {
        Self { status, headers, body: Body::Whole(body.into()), delay: Duration::ZERO }
    }

    /// JSON as a provider writes it.
    pub(super) fn json((status, value): Written) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = vec![(header::CONTENT_TYPE, "application/json; charset=utf-8".to_owned())];
        Self::new(status, headers, value.to_string())
    }

    /// 200 with JSON.
    pub(super) fn good(value: Value) -> Self {
        Self::json((200, value))
    }

    /// The same members as form-encoded text.
    pub(super) fn into_form(self) -> Self {
        let Body::Whole(json) = &self.body else { return self };
        let members: Map<String, Value> = serde_json::from_slice(json).unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = members.iter().map(|(name, value)| (name.as_str(), text(value)));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let headers = vec![(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        Self { headers, body: Body::Whole(body.into()), ..self }
    }

    /// Sends the browser on. 303 after a form, so that it goes on with GET.
    pub(super) fn redirect(status: StatusCode, to: String) -> Self {
        Self::new(status, vec![(header::LOCATION, to)], String::new())
    }

    /// A page. Its policy leaves `form-action` out: after the form the browser is sent on, over the callback, to an
    /// application whose origin the simulator does not know.
    pub(super) fn page(status: StatusCode, html: String) -> Self {
        let policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";
        let headers = vec![
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, policy.to_owned()),
        ];
        Self::new(status, headers, html)
    }
}
