//! Requests to providers through the guarded client of `outbound`: requests in the forms that providers want, failures as reasons.

use super::answer::Answer;
use super::error::{Call, UpstreamError};
use crate::outbound::{Failure, Outbound, Redirects, Request, Response, limits};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};
use url::Url;

/// A request to a provider, accepting JSON. Has no `Debug`: URL, headers and body hold secrets.
pub(super) struct ProviderRequest {
    request: Request,
    /// False once a header could not be written.
    is_whole: bool,
}

/// What came back, within the limits of its call.
pub(super) struct Received(Response);

impl ProviderRequest {
    fn new(method: Method, url: Url) -> Self {
        let request = Request::new(method, url).header(ACCEPT, HeaderValue::from_static("application/json"));
        Self { request, is_whole: true }
    }

    pub(super) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST, without a body until one is written.
    pub(super) fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    pub(super) fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// Sets a header, in place of one of the same name.
    pub(super) fn header(&mut self, name: &str, value: &str) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.request.headers.insert(name, value);
            }
            _ => self.is_whole = false,
        }
    }

    /// Sets a header whose value no log may show.
    pub(super) fn sensitive_header(&mut self, name: &str, value: &str) {
        self.header(name, value);
        if let Some(value) = self.request.headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }

    /// Writes the members as a form.
    pub(super) fn form(&mut self, members: &[(&str, &str)]) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
        self.body("application/x-www-form-urlencoded", body);
    }

    /// Writes the members as a JSON object of texts.
    pub(super) fn json(&mut self, members: &[(&str, &str)]) {
        let members: Map<String, Value> =
            members.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.body("application/json", Value::Object(members).to_string());
    }

    fn body(&mut self, content_type: &'static str, body: String) {
        self.request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.request.body = body.into();
    }
}

impl Received {
    /// The parts that a judge reads.
    pub(super) fn as_answer(&self) -> Answer<'_> {
        let content_type = self.0.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Answer { status: self.0.status.as_u16(), content_type, body: &self.0.body }
    }
}

/// Sends a request under the limits of its call. A GET that was cut or met a fault is sent
/// once more; nothing else is: codes and refresh tokens work once.
pub(super) async fn send(outbound: &Outbound, call: Call, ask: ProviderRequest) -> Result<Received, UpstreamError> {
    if !ask.is_whole {
        return Err(UpstreamError::from_failure(call, Failure::Blocked { rule: "request" }));
    }
    let (max_bytes, redirects) = match call {
        Call::Profile => (limits::PROFILE_BYTES, Redirects::Never),
        Call::Keys => (limits::METADATA_BYTES, Redirects::Never),
        Call::Discovery => (limits::METADATA_BYTES, Redirects::OnceToSameOrigin),
        Call::Callback | Call::Token | Call::Refresh | Call::Revoke | Call::IdToken => {
            (limits::TOKEN_BYTES, Redirects::Never)
        }
    };
    let request = ask.request.at_most(max_bytes).redirects(redirects);
    let again = (request.method == Method::GET).then(|| request.clone());
    let first = outbound.send(request).await;
    let outcome = match (first, again) {
        (Err(Failure::Cut), Some(again)) => outbound.send(again).await,
        (Ok(response), Some(again)) if response.status.is_server_error() => outbound.send(again).await,
        (first, _) => first,
    };
    outcome.map(Received).map_err(|failure| UpstreamError::from_failure(call, failure))
}
