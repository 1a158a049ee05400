//! Enforces a route's [`Rules`] before its handler runs: finds the instance, authenticates the caller, checks the
//! origin, spends from the budget; and sets the answer's CORS, cache and safety headers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, LOCATION, ORIGIN, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Host;

use super::extract::{PresentedToken, client_token};
use super::problem::Failure;
use super::route::{Cache, Caller, Outage, Rules};
use super::trace::{Followed, Served};
use super::{client_address, cors, headers, native, oauth, pages};
use crate::actions::{flow_steps, unsaved_client};
use crate::app::App;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::flow_log::{self, RequestOutcome};
use crate::limits;
use crate::model::id::RequestId;
use crate::model::instance::Instance;
use crate::model::problem::{Error, code};
use crate::model::reason::{Reason, Why};
use crate::model::redirect::POPUP_PAGE;
use crate::model::request::Origin;
use crate::model::url_rules::is_loopback_host;
use crate::store::clients;
use crate::store::directory::{KeyHolder, LoopbackName, PresentedKey};

/// The longest `User-Agent` that is recorded.
const USER_AGENT_LENGTH: usize = 512;

/// What the guard of one route knows.
#[derive(Clone)]
pub struct RouteGuard {
    /// Shared parts.
    pub app: Arc<App>,
    /// What the route declares.
    pub rules: Rules,
}

/// Lets `request` through to its handler, or refuses it in the form of its API.
pub async fn guard(State(guard): State<RouteGuard>, mut request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut instance = None;
    let followed = request.extensions().get::<Followed>().cloned();
    let mut response = match admit(&guard, &mut request, &mut instance).await {
        Ok(None) => next.run(request).await,
        Ok(Some(elsewhere)) => elsewhere,
        Err(error) => refuse(guard.rules.caller, instance.as_deref(), error),
    };
    if let Some(ctx) = followed.as_ref().and_then(Followed::ctx) {
        let answered = answered(&response);
        if matches!(guard.rules.caller, Caller::Browser | Caller::Page) {
            flow_steps::log_answer(ctx, answered);
        }
        ctx.flow_log.close(answered);
        let flow = ctx.flow_log.flow().and_then(|flow| HeaderValue::from_str(flow.as_str()).ok());
        if let Some(flow) = flow {
            response.headers_mut().insert(FLOW, flow);
        }
    }
    cors::allow(guard.rules.cors, instance.as_deref(), origin.as_ref(), &mut response);
    cache(guard.rules.cache, &mut response);
    headers::secure(instance.as_deref(), guard.rules.cors, &mut response);
    if let Some(instance) = instance {
        response.extensions_mut().insert(Served(instance.id.clone()));
    }
    response
}

/// Names the flow that an answer belongs to.
const FLOW: http::HeaderName = http::HeaderName::from_static("x-vestibule-flow");

/// How a request was answered, for its flow's steps.
fn answered(response: &Response) -> RequestOutcome {
    let why = response.extensions().get::<Why>().copied();
    match response.status().as_u16() {
        503 => RequestOutcome::Fault(flow_log::STORAGE),
        500.. => RequestOutcome::Fault(flow_log::FAULT),
        _ if why.is_some() => RequestOutcome::Refused(why),
        400.. => RequestOutcome::Refused(None),
        _ => RequestOutcome::Well,
    }
}

/// Finds the instance and the caller; puts [`Ctx`] (and [`KeyHolder`]) where the extractors look for them. A page asked
/// for under another of the instance's names is answered with a redirect to the configured one.
async fn admit(
    guard: &RouteGuard,
    request: &mut Request,
    found: &mut Option<Arc<Instance>>,
) -> Result<Option<Response>, Error> {
    let rules = guard.rules;
    if rules.caller == Caller::Operator {
        return Ok(None);
    }
    let instance = match rules.caller {
        Caller::SecretKey => {
            let holder = key_holder(&guard.app, request.headers(), rules.outage).await?;
            let instance = Arc::clone(&holder.instance);
            request.extensions_mut().insert(holder);
            instance
        }
        _ => match (rules.outage, host(request)) {
            (Outage::LastKnown, Some(host)) => {
                guard.app.last_known.host(host.to_string(), by_host(&guard.app, Some(host))).await?
            }
            (_, host) => by_host(&guard.app, host).await?,
        },
    };
    *found = Some(Arc::clone(&instance));
    if rules.caller == Caller::Browser {
        if bearer(request.headers()).is_some_and(|token| token.starts_with("sk_")) {
            return Err(code::RESOURCE_NOT_FOUND.into());
        }
        cors::check_origin(&instance, request.method(), request.uri().query(), request.headers())?;
    }
    if rules.caller == Caller::Page
        && let Some(elsewhere) = configured_host(&instance, request)
    {
        return Ok(Some(elsewhere));
    }
    let from = request_source(request, &guard.app);
    let mut ctx = Ctx::new(Arc::clone(&guard.app), Arc::clone(&instance), from);
    if let Some(followed) = request.extensions().get::<Followed>() {
        followed.follow(&ctx);
    }
    limits::spend(&ctx, rules.limit)?;
    if rules.caller == Caller::Browser
        && !instance.settings.native_api
        && native::is_native(request.uri().query(), request.headers())
    {
        return Err(code::NATIVE_API_DISABLED.because(Reason::NativeRefused, "off").into());
    }
    // A public document is nobody's.
    let presented = client_token(request.uri().query(), request.headers()).filter(|_| rules.outage == Outage::Refuse);
    if let Some(token) = presented {
        ctx.unsaved_client = unsaved_client::verify(&ctx, &token);
        let hash = token_hash(&guard.app, &instance, &token).await?;
        request.extensions_mut().insert(PresentedToken(hash));
    }
    request.extensions_mut().insert(ctx);
    Ok(None)
}

/// What a browser's token is looked up by: once for the whole request. While the key ring is being rotated the token
/// stays under the key that made it until the next sign-in replaces it; that costs nothing while the ring has one key.
async fn token_hash(app: &App, instance: &Instance, token: &str) -> Result<LookupHash, Error> {
    let first = app.ring.lookup_hash(Lookup::ClientToken, token);
    if app.ring.len() == 1 {
        return Ok(first);
    }
    let mut hashes = vec![first];
    hashes.extend(app.ring.older_lookup_hashes(Lookup::ClientToken, token).map(|(_, hash)| hash));
    Ok(clients::stored_under(&mut app.db_of(instance), &hashes).await?.unwrap_or(first))
}

/// The instance that answers under `host`.
///
/// # Errors
/// `host_invalid`, storage faults.
pub async fn by_host(app: &App, host: Option<Host<String>>) -> Result<Arc<Instance>, Error> {
    let host = host.ok_or(code::HOST_INVALID)?;
    let loopback = if is_loopback_host(&host) { LoopbackName::Yes } else { LoopbackName::No };
    let found = app.directory.by_host(&app.db, &host.to_string(), loopback).await?;
    Ok(found.ok_or(code::HOST_INVALID)?)
}

/// The request's host name, without port; case and punycode are folded by the parser.
pub fn host(request: &Request) -> Option<Host<String>> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next().and_then(|value| value.to_str().ok());
    // Two would be read by a proxy one way and here the other (RFC 9112 section 3.2).
    if headers.next().is_some() {
        return None;
    }
    let authority = header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str))?;
    let url = url::Url::parse(&format!("http://{authority}/")).ok()?;
    (url.username().is_empty() && url.path() == "/").then(|| url.host().map(|host| host.to_owned()))?
}

/// Sends a `GET` for a page under another of the instance's names to the configured one, to which its cookies belong:
/// from the `accounts.` sibling, except for the one page that the browser SDK wants there, and from another loopback
/// name.
fn configured_host(instance: &Instance, request: &Request) -> Option<Response> {
    if *request.method() != Method::GET {
        return None;
    }
    let named = |origin: &str| url::Url::parse(origin).ok().and_then(|url| url.host().map(|host| host.to_owned()));
    let (asked, configured) = (host(request)?, named(&instance.origin)?);
    let is_sibling = instance.accounts_origin().and_then(|origin| named(&origin)) == Some(asked.clone());
    let is_at_home = if is_sibling { request.uri().path() == POPUP_PAGE } else { !instance.answers_on_loopback() };
    if asked == configured || is_at_home {
        return None;
    }
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    Some((StatusCode::FOUND, [(LOCATION, instance.url(path))]).into_response())
}

/// The holder of the secret key in `Authorization`.
async fn key_holder(app: &App, headers: &HeaderMap, outage: Outage) -> Result<KeyHolder, Error> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(code::AUTHENTICATION_INVALID.into());
    }
    let secret = bearer(headers).ok_or(code::AUTHORIZATION_HEADER_FORMAT_INVALID)?;
    let key = PresentedKey::new(&app.ring, secret);
    let read = async {
        let holder = app.directory.by_secret_key(&app.db, &app.ring, &key).await?;
        Ok(holder.ok_or(code::CLERK_KEY_INVALID)?)
    };
    match outage {
        Outage::Refuse => read.await,
        Outage::LastKnown => app.last_known.holder(*key.hash().as_bytes(), read).await,
    }
}

/// The bearer token in `Authorization`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Where the request comes from.
pub fn request_source(request: &Request, app: &App) -> Origin {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let peer: Option<IpAddr> = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let known = request.extensions().get::<RequestId>().cloned();
    Origin {
        request_id: known.unwrap_or_else(|| RequestId::new(app.clock.now(), app.rng.as_ref())),
        ip: peer.map(|peer| client_address::behind(peer, request.headers(), &app.config.server.proxies)),
        user_agent: text(USER_AGENT).map(|agent| agent.chars().take(USER_AGENT_LENGTH).collect()),
        origin: text(ORIGIN).map(str::to_owned),
    }
}

/// A refusal in the form of the API that was called.
fn refuse(caller: Caller, instance: Option<&Instance>, error: Error) -> Response {
    match caller {
        Caller::Page => pages::error::refusal(instance, error),
        Caller::OAuthClient | Caller::AccessToken => oauth::error::OAuthFailure::from(error).into_response(),
        _ => Failure(error).into_response(),
    }
}

fn cache(rule: Cache, response: &mut Response) {
    // A document route that fails is not cached, whatever it declares.
    let rule = if response.status().is_success() || response.status() == 304 { rule } else { Cache::NoStore };
    let value = match rule {
        Cache::NoStore => HeaderValue::from_static("no-store"),
        Cache::Public(seconds) => {
            HeaderValue::from_str(&format!("public, max-age={seconds}")).unwrap_or(HeaderValue::from_static("no-store"))
        }
        Cache::Immutable => HeaderValue::from_static("public, max-age=31536000, immutable"),
    };
    response.headers_mut().insert(CACHE_CONTROL, value);
}
