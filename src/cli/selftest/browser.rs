//! A browser for the walk: one host, its cookies, no redirects followed by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use url::Url;

use super::Failed;

/// A browser.
pub struct Browser {
    client: Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Location`, as it came.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The text at a JSON pointer (RFC 6901) into the body.
    pub fn at(&self, pointer: &str) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        body.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// Something, if the text at `pointer` is `text`.
    pub fn has_text(&self, pointer: &str, text: &str) -> Option<()> {
        (self.at(pointer)? == text).then_some(())
    }

    /// The value of a query parameter of `Location`.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location.as_deref()?).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Browser {
    /// Without cookies. Loopback names lead to this machine whatever its name service says.
    ///
    /// # Errors
    /// What the client library says.
    #[expect(
        clippy::disallowed_methods,
        reason = "talks to the server that the operator named, and must see redirects"
    )]
    pub fn new(origin: &Url) -> reqwest::Result<Self> {
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        if let Some(host) = origin.host_str().filter(|host| host.ends_with(".localhost")) {
            let loopback =
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), origin.port_or_known_default().unwrap_or(80));
            builder = builder.resolve(host, loopback);
        }
        let origin = origin.origin().ascii_serialization();
        Ok(Self { client: builder.build()?, origin, cookies: Mutex::default() })
    }

    /// A request without cookies.
    pub fn raw(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// A `GET` as a navigation.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, step: &'static str, url: &str) -> Result<Answer, Failed> {
        self.send(step, self.client.get(url).header(COOKIE, self.cookie_line())).await
    }

    /// A form from a page of the instance's origin.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&self, step: &'static str, url: &str, form: &[(&str, &str)]) -> Result<Answer, Failed> {
        let request = self.client.post(url).header(COOKIE, self.cookie_line()).header(ORIGIN, &self.origin);
        self.send(step, request.form(form)).await
    }

    /// Sends a request; keeps the cookies that come back.
    ///
    /// # Errors
    /// No answer.
    pub async fn send(&self, step: &'static str, request: RequestBuilder) -> Result<Answer, Failed> {
        let failed = |error: reqwest::Error| Failed { step, what: format!("no answer: {}", error.without_url()) };
        let response = request.send().await.map_err(failed)?;
        for line in response.headers().get_all(SET_COOKIE) {
            self.keep(line.to_str().unwrap_or_default());
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: response.status().as_u16(), location, body: response.text().await.map_err(failed)? })
    }

    fn keep(&self, line: &str) {
        let Some((name, value)) = line.split(';').next().and_then(|pair| pair.split_once('=')) else { return };
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.insert(name.to_owned(), value.to_owned());
    }

    fn cookie_line(&self) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}
