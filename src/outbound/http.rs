//! The guarded client: the only place in the crate that makes HTTP connections.

use super::breaker::{Breaker, Health};
use super::egress_rules::{AllowEntry, AllowList, EgressMode, Route, judge};
use super::exchange::{Failure, Redirects, Request, Response};
use super::resolver::{Filter, ForbiddenAnswer, GuardedResolver, Resolver, SystemResolver};
use crate::model::url_rules::{Scheme, is_web};
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than servers usually keep a connection, so that we seldom write into one they are closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// HTTP/2 windows: how much a server may send before we have read it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const HEADER_BYTES: u32 = 64 * 1024;

/// `outbound.*` of the server's configuration.
#[derive(Clone, Debug, Default)]
pub struct OutboundConfig {
    /// What may be reached beyond public https: `outbound.allow`.
    pub allow: Vec<AllowEntry>,
    /// Nothing but what is listed may be reached.
    pub offline: bool,
    /// An egress proxy, which then does the filtering of addresses. This machine is reached without it.
    pub proxy: Option<Url>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `outbound.ca_file` cannot be read.
    #[error("outbound.ca_file: {0}")]
    CaFile(#[source] io::Error),
    /// `outbound.ca_file` holds no certificates in PEM.
    #[error("outbound.ca_file holds no certificate in PEM form")]
    Certificates,
    /// The client library refused the settings (an unusable `outbound.proxy`).
    #[error("the client for outgoing requests could not be made: {0}")]
    Client(#[source] reqwest::Error),
}

/// The guarded client. Cheap to share; made once.
pub struct Outbound {
    /// To the public, answers of the name service filtered.
    guarded: reqwest::Client,
    /// To names that the operator listed.
    listed: reqwest::Client,
    /// Through the egress proxy.
    proxied: Option<reqwest::Client>,
    allow: Arc<ArcSwap<AllowList>>,
    egress: EgressMode,
    breaker: Breaker,
}

/// True for an address that a proxy can have.
pub fn is_proxy_address(url: &Url) -> bool {
    is_web(url)
}

impl Outbound {
    /// Makes the client. Reads the certificate files: at start, not on the async threads.
    pub fn new(config: &OutboundConfig) -> Result<Self, StartError> {
        Self::with_resolver(config, Arc::new(SystemResolver::new()))
    }

    /// The same with another name service.
    pub fn with_resolver(config: &OutboundConfig, names: Arc<dyn Resolver>) -> Result<Self, StartError> {
        let allow = Arc::new(ArcSwap::from_pointee(AllowList(config.allow.clone())));
        let roots = extra_roots(config)?;
        let resolver = |filter| GuardedResolver { names: Arc::clone(&names), allow: Arc::clone(&allow), filter };
        let proxied = match &config.proxy {
            None => None,
            Some(proxy) => {
                let proxy = reqwest::Proxy::all(proxy.clone()).map_err(StartError::Client)?;
                Some(client(&roots, resolver(Filter::Nothing), Some(proxy))?)
            }
        };
        Ok(Self {
            guarded: client(&roots, resolver(Filter::PublicOrListed), None)?,
            listed: client(&roots, resolver(Filter::Nothing), None)?,
            proxied,
            allow,
            egress: if config.offline { EgressMode::ListOnly } else { EgressMode::World },
            breaker: Breaker::default(),
        })
    }

    /// Takes a new allow list, for a reload of the configuration.
    pub fn set_allow(&self, entries: Vec<AllowEntry>) {
        self.allow.store(Arc::new(AllowList(entries)));
    }

    /// True if the operator's list lets `url` be reached without TLS; said of addresses that the browser is sent to,
    /// which no request of ours would judge.
    pub fn allows_http(&self, url: &Url) -> bool {
        Scheme::of(url) == Scheme::Http && judge(url.clone(), &self.allow.load(), self.egress).is_ok()
    }

    /// Sends a request and reads its whole answer, or fails by one of the rules.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let began = Instant::now();
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let method = request.method.clone();
        let outcome = self.guarded_exchange(request, began).await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &outcome {
            Ok(response) => {
                let (status, bytes) = (response.status.as_u16(), response.body.len());
                tracing::debug!(%method, host, status, bytes, elapsed_ms, "outgoing request answered");
            }
            Err(failure) => tracing::debug!(%method, host, %failure, elapsed_ms, "outgoing request failed"),
        }
        outcome
    }

    async fn guarded_exchange(&self, mut request: Request, began: Instant) -> Result<Response, Failure> {
        let allow = self.allow.load_full();
        let (route, url) = judge(request.url, &allow, self.egress)?;
        request.url = url;
        let authority = request.url.authority().to_owned();
        let permit = self.breaker.enter(&authority, began).ok_or(Failure::Breaker)?;
        let limit = request.timeout;
        // Dropping the exchange closes its connection: nothing of it can reach a later one.
        let outcome = timeout(limit, exchange(self.client(route), request, began)).await;
        let outcome = outcome.unwrap_or(Err(Failure::Timeout));
        let health = match outcome {
            Err(Failure::Timeout | Failure::Dns | Failure::Refused | Failure::Cut | Failure::Tls) => Health::Failed,
            _ => Health::Answered,
        };
        permit.finish(health, Instant::now());
        outcome
    }

    fn client(&self, route: Route) -> &reqwest::Client {
        match (route, &self.proxied) {
            (Route::Guarded | Route::Listed, Some(proxied)) => proxied,
            (Route::Guarded | Route::Loopback, _) => &self.guarded,
            (Route::Listed, None) => &self.listed,
        }
    }
}

fn extra_roots(config: &OutboundConfig) -> Result<Vec<reqwest::Certificate>, StartError> {
    let Some(path) = &config.ca_file else {
        return Ok(Vec::new());
    };
    let pem = std::fs::read(path).map_err(StartError::CaFile)?;
    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| StartError::Certificates)?;
    if roots.is_empty() { Err(StartError::Certificates) } else { Ok(roots) }
}

#[expect(clippy::disallowed_methods, reason = "the one place that makes HTTP clients")]
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
}

fn client(
    roots: &[reqwest::Certificate],
    resolver: GuardedResolver,
    proxy: Option<reqwest::Proxy>,
) -> Result<reqwest::Client, StartError> {
    let resolver = Arc::new(resolver);
    let settings = || {
        let builder = builder()
            // Neither HTTP_PROXY nor its relatives: they would take the checked address out of our hands.
            .no_proxy()
            .dns_resolver(Arc::clone(&resolver))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("Vestibule/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(8)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(HEADER_BYTES);
        match proxy.clone() {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        }
    };
    match settings().tls_certs_merge(roots.iter().cloned()).build() {
        Ok(client) => Ok(client),
        // A machine without certificates can still run `dev` and its simulators; every https request will fail by TLS.
        Err(error) => {
            tracing::warn!(%error, "no system certificates: outgoing https will not work (outbound.ca_file)");
            settings().tls_certs_only(roots.iter().cloned()).build().map_err(StartError::Client)
        }
    }
}

/// One exchange, and for discovery one more after a redirect within the origin.
async fn exchange(client: &reqwest::Client, request: Request, began: Instant) -> Result<Response, Failure> {
    let mut url = request.url.clone();
    let mut redirects = request.redirects;
    loop {
        let answer = ask(client, &request, url.clone()).await?;
        if !is_redirect(answer.status(), &request.headers) {
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = read(answer, request.max_bytes).await?;
            return Ok(Response { status, headers, body, elapsed: began.elapsed() });
        }
        if redirects == Redirects::Never || request.method != Method::GET {
            return Err(Failure::Redirected);
        }
        url = same_origin(&url, answer.headers()).ok_or(Failure::Redirected)?;
        redirects = Redirects::Never;
    }
}

async fn ask(client: &reqwest::Client, request: &Request, url: Url) -> Result<reqwest::Response, Failure> {
    let mut asked = client.request(request.method.clone(), url).headers(request.headers.clone());
    if !request.body.is_empty() {
        asked = asked.body(request.body.clone());
    }
    asked.send().await.map_err(classify)
}

/// Everything of 3xx but the 304 that a conditional request asked for.
fn is_redirect(status: StatusCode, sent: &HeaderMap) -> bool {
    let is_conditional = sent.contains_key(IF_NONE_MATCH) || sent.contains_key(IF_MODIFIED_SINCE);
    status.is_redirection() && !(status == StatusCode::NOT_MODIFIED && is_conditional)
}

fn same_origin(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let target = url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let has_credentials = !target.username().is_empty() || target.password().is_some();
    (target.origin() == url.origin() && !has_credentials).then_some(target)
}

/// Reads piece by piece and counts after decompression: neither `Content-Length` nor a compressed size is believed.
async fn read(mut answer: reqwest::Response, max_bytes: usize) -> Result<Bytes, Failure> {
    if answer.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(classify)? {
        if body.len() + piece.len() > max_bytes {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Sorts the library's errors. Their text may name addresses of our network: to the debug log, without the URL.
fn classify(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let failure = sort(&error);
    tracing::debug!(error = &error as &dyn Error, ?failure, "outgoing connection");
    failure
}

fn sort(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::Blocked { rule: "request" };
    }
    if error.is_timeout() {
        return Failure::Timeout;
    }
    let mut is_refused = false;
    for cause in std::iter::successors(Some(error as &(dyn Error + 'static)), |cause| below(*cause)) {
        if cause.is::<ForbiddenAnswer>() {
            return Failure::Blocked { rule: "address" };
        }
        if cause.is::<rustls::Error>() {
            return Failure::Tls;
        }
        is_refused |= cause.downcast_ref::<io::Error>().is_some_and(|io| is_refusal(io.kind()));
    }
    if error.is_dns() {
        return Failure::Dns;
    }
    if is_refused { Failure::Refused } else { Failure::Cut }
}

/// The next error down. An `io::Error`'s own `source()` leaves out the error that it wraps.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

const fn is_refusal(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied};
    matches!(kind, ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable | PermissionDenied)
}

#[cfg(test)]
mod tests;
