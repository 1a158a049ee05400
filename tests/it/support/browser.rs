//! A browser: cookies by host name without regard to the port, no automatic redirects.
#![allow(clippy::disallowed_methods, reason = "the tests' own client is not the server's")]

use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::RequestBuilder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::RwLock;
use url::Url;

/// Host, path and name of a cookie.
type Key = (String, String, String);

/// Where the replicas listen. Requests to any of them, also to one that is gone, go to the living ones in turn.
pub struct Ports {
    ever: Mutex<Vec<u16>>,
    // Held while a request is on its way, so that nobody is sent to a replica that is just going.
    living: RwLock<Vec<u16>>,
}

impl Ports {
    /// These replicas.
    pub fn new(ports: Vec<u16>) -> Arc<Self> {
        Arc::new(Self { ever: Mutex::new(ports.clone()), living: RwLock::new(ports) })
    }

    /// This replica, for what is addressed to `origin`.
    pub fn in_place_of(origin: &str, port: u16) -> Arc<Self> {
        let addressed = Url::parse(origin).unwrap().port().unwrap();
        Arc::new(Self { ever: Mutex::new(vec![addressed, port]), living: RwLock::new(vec![port]) })
    }

    /// From now on requests go to these; returns when nothing is on its way to the others.
    pub async fn become_these(&self, ports: Vec<u16>) {
        self.ever.lock().unwrap().extend(&ports);
        *self.living.write().await = ports;
    }
}

/// A browser with its cookies. Requests to a replica go to each replica in turn.
pub struct Browser {
    client: reqwest::Client,
    ports: Arc<Ports>,
    turn: AtomicUsize,
    cookies: Mutex<BTreeMap<Key, String>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Where it came from, as asked for.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    /// `Location`, resolved.
    #[track_caller]
    pub fn location(&self) -> Url {
        let Some(location) = self.header(LOCATION.as_str()) else { panic!("no Location: {self:?}") };
        self.url.join(location).unwrap()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `Set-Cookie` lines.
    pub fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    /// The first error's code in either API's envelope.
    #[track_caller]
    pub fn error_code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.text)).to_owned()
    }

    /// This answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{} answered {}", self.url, self.text);
        self
    }
}

impl Browser {
    /// Without cookies; `ports` are the replicas'.
    pub fn new(ports: Arc<Ports>) -> Self {
        Self::made(ports, None)
    }

    /// The same at an address of 127.0.0.0/8.
    pub fn from(ports: Arc<Ports>, address: IpAddr) -> Self {
        Self::made(ports, Some(address))
    }

    fn made(ports: Arc<Ports>, address: Option<IpAddr>) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .local_address(address)
            .pool_max_idle_per_host(2)
            .build()
            .unwrap();
        Self { client, ports, turn: AtomicUsize::new(0), cookies: Mutex::default() }
    }

    /// A request with this browser's cookies, to be completed and given to [`Self::send`].
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let builder = self.raw(method, url);
        match self.cookie_header(&Url::parse(url).unwrap()) {
            Some(cookies) => builder.header(COOKIE, cookies),
            None => builder,
        }
    }

    /// A request without cookies.
    pub fn raw(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request and keeps the cookies that come back.
    pub async fn send(&self, builder: RequestBuilder) -> Answer {
        let (client, request) = builder.build_split();
        let mut request = request.expect("a request");
        let asked = request.url().clone();
        let living = self.ports.living.read().await;
        self.take_turns(&mut request, &living);
        let answer = read(asked, client.execute(request).await.expect("the server answers")).await;
        drop(living);
        self.keep(&answer);
        answer
    }

    /// A `GET`, as a navigation.
    pub async fn get(&self, url: impl AsRef<str>) -> Answer {
        self.send(self.request(Method::GET, url.as_ref())).await
    }

    /// A `GET` of an address of the instance, sent to the replica at `port`; `None` if no whole answer came.
    pub async fn try_get_at(&self, port: u16, url: impl AsRef<str>) -> Option<Answer> {
        let (client, request) = self.request(Method::GET, url.as_ref()).build_split();
        let mut request = request.expect("a request");
        let asked = request.url().clone();
        send_to(&mut request, port);
        let response = client.execute(request).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { url: asked, status, headers, text: response.text().await.ok()? };
        self.keep(&answer);
        Some(answer)
    }

    /// A form as the browser SDK sends it, from a page of `origin`.
    pub async fn post_form(&self, url: impl AsRef<str>, origin: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, url.as_ref()).header("origin", origin).form(form)).await
    }

    /// Follows redirects from `url` until an answer is none, or leads to another host or a URL that `stop` knows.
    pub async fn follow(&self, url: impl AsRef<str>, stop: impl Fn(&Url) -> bool) -> Answer {
        let mut answer = self.get(url).await;
        for _ in 0..20 {
            if !answer.status.is_redirection() || stop(&answer.location()) {
                return answer;
            }
            answer = self.get(answer.location()).await;
        }
        panic!("redirects without end: {answer:?}");
    }

    /// The value of a cookie for `host`.
    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().find(|((of, _, key), _)| of == host && key == name).map(|(_, value)| value.clone())
    }

    /// Sets a cookie, or with an empty value removes it.
    pub fn set_cookie(&self, host: &str, name: &str, value: &str) {
        self.put((host.to_owned(), "/".to_owned(), name.to_owned()), value);
    }

    fn put(&self, key: Key, value: &str) {
        let mut cookies = self.cookies.lock().unwrap();
        match value {
            "" => cookies.remove(&key),
            value => cookies.insert(key, value.to_owned()),
        };
    }

    /// To the next replica, with the `Host` that was asked for.
    fn take_turns(&self, request: &mut reqwest::Request, living: &[u16]) {
        let Some(port) = request.url().port().filter(|port| self.ports.ever.lock().unwrap().contains(port)) else {
            return;
        };
        let next = living[self.turn.fetch_add(1, Ordering::Relaxed) % living.len()];
        if next != port {
            send_to(request, next);
        }
    }

    fn cookie_header(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let cookies = self.cookies.lock().unwrap();
        let fitting: Vec<String> = cookies
            .iter()
            .filter(|((of, path, _), _)| of == host && covers(path, url.path()))
            .map(|((_, _, name), value)| format!("{name}={value}"))
            .collect();
        (!fitting.is_empty()).then(|| fitting.join("; "))
    }

    fn keep(&self, answer: &Answer) {
        for line in answer.set_cookies() {
            let cookie = cookie::Cookie::parse(line).unwrap();
            let host = answer.url.host_str().unwrap().to_owned();
            let key = (host, cookie.path().unwrap_or("/").to_owned(), cookie.name().to_owned());
            let is_over = cookie.max_age().is_some_and(|age| age <= cookie::time::Duration::ZERO);
            self.put(key, if is_over { "" } else { cookie.value() });
        }
    }
}

/// Lets a request go to another port, with the `Host` that was asked for.
fn send_to(request: &mut reqwest::Request, port: u16) {
    let (host, asked) = (request.url().host_str().unwrap(), request.url().port().unwrap());
    let host = HeaderValue::from_str(&format!("{host}:{asked}")).unwrap();
    request.headers_mut().insert("host", host);
    request.url_mut().set_port(Some(port)).unwrap();
}

/// Sends a request that belongs to no browser.
pub async fn send(builder: RequestBuilder) -> Answer {
    let (client, request) = builder.build_split();
    let request = request.expect("a request");
    let url = request.url().clone();
    read(url, client.execute(request).await.expect("the server answers")).await
}

async fn read(url: Url, response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { url, status, headers, text: response.text().await.expect("a body") }
}

/// RFC 6265 section 5.1.4.
fn covers(path: &str, requested: &str) -> bool {
    requested == path || requested.strip_prefix(path).is_some_and(|rest| path.ends_with('/') || rest.starts_with('/'))
}
