//! Every provider, offline: the other end of [`upstream`](crate::upstream), on development instances only.
//!
//! Served below `<origin>/_dev/providers/<slug>`, each endpoint at its provider's real path, so that the code that
//! talks to the real provider runs unchanged. It is strict where a provider would be: client authentication in exactly
//! the provider's form, exact redirect URI, PKCE, single use of codes.
//! Takes plain inputs and gives plain answers; `http` mounts it. May name `upstream`, `store`, `crypto`, `model`.
//! Never reaches real users: its people, codes and tokens are rows of its own.

mod answer;
mod api;
mod authorize;
mod client;
mod content;
mod faults;
mod keys;
mod page;
mod people;
mod refreshing;
mod revocation;
mod seen;
mod shapes;
mod state;
mod token;
mod transport_faults;

pub use answer::{Answer, Body};

use crate::crypto::{KeyRing, Lookup, LookupHash};
use crate::model::id::InstanceId;
use crate::model::problem::{Error, code};
use crate::model::random::{self, Rng};
use crate::model::time::Timestamp;
use crate::store::pool::PgPool;
use crate::store::simulator::Place;
use crate::upstream::catalogue::Catalogue;
use crate::upstream::descriptor::Descriptor;
use crate::upstream::provider::Provider;
use crate::upstream::simulated::SimulatorSite;
use http::{HeaderMap, Method};
use shapes::Shapes;
use sqlx::postgres::types::PgInterval;
use std::sync::Arc;
use uuid::Uuid;

/// What the simulated providers of an instance need.
#[derive(Clone, Copy)]
pub struct Simulator<'a> {
    /// The instance.
    pub instance_id: &'a InstanceId,
    /// Its origin, without trailing slash.
    pub origin: &'a str,
    /// The key ring: gives the client secrets and the hashes.
    pub ring: &'a KeyRing,
    /// The providers there are.
    pub catalogue: &'a Catalogue,
    /// The pool.
    pub db: &'a PgPool,
    /// Randomness.
    pub rng: &'a dyn Rng,
    /// The moment, on the instance's clock.
    pub now: Timestamp,
    /// How far that clock is moved.
    pub offset: &'a PgInterval,
}

/// The id that the simulated provider `slug` has for the person that `hint` names; `None` if either is nobody.
pub fn provider_user_id(slug: &str, hint: &str) -> Option<String> {
    let known = people::Known::by_hint(hint, people::AddressFlag::Verified)?;
    Some(shapes::of(slug)?.user_id(known.seed(slug)))
}

/// A request to a simulated provider.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// GET, POST or DELETE.
    pub method: &'a Method,
    /// What follows `/_dev/providers/<slug>/`.
    pub path: &'a str,
    /// The query, without question mark.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// One simulated provider while it answers one request.
struct Simulated<'a> {
    simulator: Simulator<'a>,
    provider: Provider,
    shapes: &'static dyn Shapes,
}

impl Simulator<'_> {
    fn site(&self) -> SimulatorSite<'_> {
        SimulatorSite { ring: self.ring, instance_id: self.instance_id, origin: self.origin }
    }

    /// True for a request that may approve something at the provider `slug`: a press on its page, or one that passes by it.
    pub fn decides(&self, slug: &str, request: Request<'_>) -> bool {
        let Some(descriptor) = self.catalogue.get(slug) else { return false };
        let Ok(provider) = self.site().provider(Arc::clone(descriptor), Vec::new()) else { return false };
        let real = provider.endpoints.authorize.path();
        let is_page = request.path == "authorize";
        let is_there = is_page || real.strip_suffix(request.path).is_some_and(|before| before.ends_with('/'));
        let is_automatic = authorize::parameter(request.query, "auto").as_deref() == Some("1");
        is_there && (is_automatic || (is_page && request.method == Method::POST))
    }

    /// Answers a request to the provider `slug`.
    ///
    /// # Errors
    /// `resource_not_found` for a provider or path that does not exist; storage and signing faults.
    pub async fn answer(&self, slug: &str, request: Request<'_>) -> Result<Answer, Error> {
        let descriptor = self.catalogue.get(slug).filter(|descriptor| descriptor.slug == slug);
        let (Some(descriptor), Some(shapes)) = (descriptor, shapes::of(slug)) else {
            return Err(code::RESOURCE_NOT_FOUND.into());
        };
        let provider = self.site().provider(Arc::clone(descriptor), Vec::new()).map_err(Error::internal)?;
        Simulated { simulator: *self, provider, shapes }.answer(request).await
    }
}

impl Simulated<'_> {
    async fn answer(&self, request: Request<'_>) -> Result<Answer, Error> {
        let is_get = request.method == Method::GET;
        let is_post = request.method == Method::POST;
        let here = |url: &str| self.path_of(url).as_deref() == Some(request.path);
        let endpoints = &self.provider.endpoints;
        let oidc = self.descriptor().oidc.as_ref();
        match request.path {
            "authorize" if is_get => self.show(request).await,
            "authorize" if is_post => self.decide(request).await,
            "state" if is_get => self.state().await,
            "state" if is_post => self.switch(request).await,
            "page.css" if is_get => Ok(page::stylesheet()),
            _ if is_get && here(endpoints.authorize.as_str()) => self.enter(request).await,
            _ if is_post && here(endpoints.token.as_str()) => self.token(request).await,
            _ if is_post && here(endpoints.refresh.as_str()) => self.token(request).await,
            _ if self.is_revocation(request) => self.revoke(request).await,
            _ if is_get && endpoints.jwks.as_ref().is_some_and(|url| here(url.as_str())) => self.jwks().await,
            _ if is_get
                && oidc.is_some_and(|oidc| {
                    oidc.discovery_url.as_deref().is_some_and(|url| self.is_real(url, request.path))
                }) =>
            {
                self.metadata().await
            }
            _ => self.api(request).await,
        }
    }

    fn descriptor(&self) -> &Descriptor {
        &self.provider.descriptor
    }

    fn slug(&self) -> &str {
        &self.descriptor().slug
    }

    fn instance(&self) -> &InstanceId {
        self.simulator.instance_id
    }

    fn base(&self) -> String {
        self.simulator.site().base(self.slug())
    }

    /// The path of a simulated address below this provider's base; `None` for an address elsewhere.
    fn path_of(&self, url: &str) -> Option<String> {
        let below = url.strip_prefix(&self.base())?.split(['?', '#']).next()?;
        Some(below.trim_start_matches('/').to_owned())
    }

    /// True if a real address has this path.
    fn is_real(&self, url: &str, path: &str) -> bool {
        url::Url::parse(url).is_ok_and(|url| url.path().trim_start_matches('/') == path)
    }

    fn place(&self) -> Place<'_> {
        Place { instance: self.instance(), provider: self.slug(), offset: self.simulator.offset }
    }

    fn hash(&self, value: &str) -> LookupHash {
        self.simulator.ring.lookup_hash(Lookup::Simulator, value)
    }

    /// 238 random bits in letters and digits.
    fn random(&self) -> String {
        random::base62(self.simulator.rng, 40)
    }

    fn request_id(&self) -> Uuid {
        let mut bytes = [0u8; 16];
        self.simulator.rng.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
