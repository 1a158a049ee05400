//! OpenID Connect: an issuer's metadata and keys, fetched and stored, and the checks of an id_token.

use super::Upstream;
use super::answer::Judge;
use super::custom::Metadata;
use super::descriptor::{ErrorMapping, Oidc};
use super::document_cache::{DocumentCache, Freshness};
use super::error::{Call, UpstreamError};
use super::provider::Provider;
use super::token::TokenAnswer;
use super::transport::{self, ProviderRequest};
use crate::crypto::jwt::{self, Algorithm, Audience, Claims, Expect, FOREIGN_LEEWAY, Issuer, JwtRefusal, KeySet, Keys};
use crate::crypto::signing::TokenType;
use crate::crypto::{ExposeSecret, Secret, secret::same};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::outbound::Outbound;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::sync::Arc;
use url::Url;

/// The nonce of the flow.
#[derive(Clone, Copy)]
pub enum NonceCheck<'a> {
    /// None was sent.
    NotSent,
    /// One was sent: true if this is it. The flow's row holds only a hash of it.
    Demanded(&'a (dyn Fn(&str) -> bool + Sync)),
}

/// Metadata and keys of issuers, by their addresses, shared by all instances.
#[derive(Default)]
pub struct Cache {
    keys: DocumentCache<KeySet>,
    metadata: DocumentCache<Metadata>,
}

impl Cache {
    /// The metadata behind a discovery address (OpenID Connect Discovery section 4). Its `issuer` must be `issuer`, or
    /// the address without its well-known part where the operator named none.
    pub async fn discover(
        &self,
        outbound: &Outbound,
        discovery_url: &Url,
        issuer: Option<&str>,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let fetch = async || read_metadata(get(outbound, Call::Discovery, discovery_url).await?);
        let document = self.metadata.get(discovery_url.as_str(), Freshness::Any, fetch).await?;
        of_issuer(document, discovery_url, issuer)
    }

    /// The same, read anew and stored: for whoever configures an issuer, which may have changed just now. What cannot
    /// be read leaves the stored one in its place.
    pub async fn rediscover(
        &self,
        outbound: &Outbound,
        discovery_url: &Url,
        issuer: Option<&str>,
    ) -> Result<Arc<Metadata>, UpstreamError> {
        let document = read_metadata(get(outbound, Call::Discovery, discovery_url).await?)?;
        of_issuer(self.metadata.put(discovery_url.as_str(), document).await, discovery_url, issuer)
    }

    async fn keys(&self, outbound: &Outbound, url: &Url, freshness: Freshness) -> Result<Arc<KeySet>, UpstreamError> {
        let fetch = async || {
            let document = get(outbound, Call::Keys, url).await?;
            let error = UpstreamError::new(Call::Keys, Reason::ProviderWrongType, "keys");
            KeySet::from_value(&document).ok_or(error)
        };
        self.keys.get(url.as_str(), freshness, fetch).await
    }
}

/// The document, if it is the expected issuer's.
fn of_issuer(
    document: Arc<Metadata>,
    discovery_url: &Url,
    issuer: Option<&str>,
) -> Result<Arc<Metadata>, UpstreamError> {
    let derived = discovery_url.as_str().strip_suffix("/.well-known/openid-configuration").unwrap_or_default();
    if document.issuer == issuer.unwrap_or(derived) {
        return Ok(document);
    }
    let error = UpstreamError::new(Call::Discovery, Reason::EndpointRefused, "discovery");
    Err(error.with_code("custom_oauth_provider_discovery_issuer_mismatch"))
}

async fn get(outbound: &Outbound, call: Call, url: &Url) -> Result<Value, UpstreamError> {
    let answer = transport::send(outbound, call, ProviderRequest::get(url.clone())).await?;
    Judge { call, success: None, words: &ErrorMapping::default() }.read(&answer.as_answer())
}

fn read_metadata(document: Value) -> Result<Metadata, UpstreamError> {
    let error = UpstreamError::new(Call::Discovery, Reason::EndpointRefused, "discovery");
    let unusable = error.with_code("custom_oauth_provider_cannot_use_discovery_url");
    let metadata: Metadata = serde_json::from_value(document).map_err(|_| unusable.clone())?;
    if metadata.authorization_endpoint.is_none() || metadata.token_endpoint.is_none() {
        return Err(unusable);
    }
    Ok(metadata)
}

/// The claims of the token answer's id_token, once everything about it is as it must be. `None` where the provider
/// issues none, or gave none and no path of the identity needs it.
pub(super) async fn verify(
    upstream: &Upstream,
    provider: &Provider,
    tokens: &TokenAnswer,
    nonce: NonceCheck<'_>,
    now: Timestamp,
) -> Result<Option<Value>, UpstreamError> {
    let Some(issuer) = TokenIssuer::of(provider) else { return Ok(None) };
    let Some(id_token) = &tokens.id_token else {
        let mut identity = provider.descriptor.profile.provider_user_id.iter();
        let is_needed = identity.any(|path| path.roots().any(|root| root == "id_token"));
        let missing = UpstreamError::new(Call::IdToken, Reason::ProviderWrongType, "id_token");
        return if is_needed { Err(missing) } else { Ok(None) };
    };
    let claims = issuer.claims_of(upstream, id_token, nonce, now).await?;
    check_access_token_hash(&claims, id_token, &tokens.access_token)?;
    if claims.subject().is_none() {
        return Err(UpstreamError::new(Call::IdToken, Reason::IdentityUnusable, "absent"));
    }
    Ok(Some(claims.into_value()))
}

/// The claims of a signed userinfo answer (OpenID Connect Core section 5.3.2), checked like those of an id_token.
/// `None` where the provider has no keys to check it with.
pub(super) async fn signed_answer(
    upstream: &Upstream,
    provider: &Provider,
    answer: &Secret,
    now: Timestamp,
) -> Result<Option<Value>, UpstreamError> {
    let Some(issuer) = TokenIssuer::of(provider) else { return Ok(None) };
    let claims = issuer.claims_of(upstream, answer, NonceCheck::NotSent, now).await?;
    Ok(Some(claims.into_value()))
}

/// A provider as the issuer of tokens: one whose signatures can be checked.
struct TokenIssuer<'a> {
    client_id: &'a str,
    oidc: &'a Oidc,
    jwks: &'a Url,
}

impl<'a> TokenIssuer<'a> {
    /// `None` for a provider that has no keys.
    fn of(provider: &'a Provider) -> Option<Self> {
        let (oidc, jwks) = provider.descriptor.oidc.as_ref().zip(provider.endpoints.jwks.as_ref())?;
        Some(Self { client_id: &provider.client_id, oidc, jwks })
    }

    async fn claims_of(
        &self,
        upstream: &Upstream,
        token: &Secret,
        nonce: NonceCheck<'_>,
        now: Timestamp,
    ) -> Result<Claims, UpstreamError> {
        let cache = &upstream.oidc;
        let keys = cache.keys(&upstream.outbound, self.jwks, Freshness::Any).await?;
        let checked = match self.check(token, &keys, nonce, now) {
            // The issuer may have a new key since we looked.
            Err(JwtRefusal::Key { .. }) => {
                let keys = cache.keys(&upstream.outbound, self.jwks, Freshness::Newer).await?;
                self.check(token, &keys, nonce, now)
            }
            checked => checked,
        };
        checked.map_err(refused)
    }

    fn check(
        &self,
        token: &Secret,
        keys: &KeySet,
        nonce: NonceCheck<'_>,
        now: Timestamp,
    ) -> Result<Claims, JwtRefusal> {
        let oidc = self.oidc;
        let issuers: Vec<String> = std::iter::once(&oidc.issuer).chain(&oidc.issuer_aliases).cloned().collect();
        let ours = [self.client_id];
        let is_ours;
        let nonce = match nonce {
            NonceCheck::NotSent => jwt::Nonce::Unused,
            NonceCheck::Demanded(check) => {
                is_ours = |text: &str| check(text);
                jwt::Nonce::Matches(&is_ours)
            }
        };
        let expect = Expect {
            algorithms: &oidc.algorithms,
            issuer: Issuer::AnyOf(&issuers),
            audience: Audience::OneOf(&ours),
            typ: TokenType::Jwt,
            nonce,
            leeway: FOREIGN_LEEWAY,
        };
        jwt::verify(token.expose_secret(), Keys::Set(keys), &expect, now)
    }
}

/// `at_hash`, where the provider sends it, binds the access token to the id_token (OpenID Connect Core section
/// 3.1.3.8): else an access token of another person could be slipped beside a good id_token.
fn check_access_token_hash(claims: &Claims, id_token: &Secret, access_token: &Secret) -> Result<(), UpstreamError> {
    let Some(claimed) = claims.get("at_hash") else { return Ok(()) };
    let expected = access_token_hash(id_token.expose_secret(), access_token.expose_secret());
    let fits = claimed.as_str().zip(expected).is_some_and(|(claimed, ours)| same(claimed.as_bytes(), ours.as_bytes()));
    if fits { Ok(()) } else { Err(UpstreamError::new(Call::IdToken, Reason::IdtokenRefused, "at_hash")) }
}

/// The left half of the hash that belongs to the id_token's signature algorithm, base64url.
fn access_token_hash(id_token: &str, access_token: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(id_token.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let named = header.get("alg")?.as_str()?;
    let algorithm = match Algorithm::from_name(named)? {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 | Algorithm::Hs256 => &digest::SHA256,
        Algorithm::Es384 => &digest::SHA384,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(algorithm, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at_checked(hash.as_ref().len() / 2)?;
    Some(URL_SAFE_NO_PAD.encode(left))
}

/// A verifier's refusal as reasons.
fn refused(refusal: JwtRefusal) -> UpstreamError {
    tracing::info!(%refusal, "an id_token was refused");
    let (reason, detail) = match refusal {
        JwtRefusal::Nonce | JwtRefusal::MissingClaim("nonce") | JwtRefusal::WrongClaimType("nonce") => {
            (Reason::IdtokenRefused, "nonce")
        }
        JwtRefusal::TooLong | JwtRefusal::Malformed => (Reason::ProviderWrongType, "id_token"),
        JwtRefusal::MissingClaim(claim) | JwtRefusal::WrongClaimType(claim) => (Reason::ProviderWrongType, claim),
        JwtRefusal::Algorithm { .. } | JwtRefusal::Critical => (Reason::IdtokenRefused, "algorithm"),
        JwtRefusal::Key { .. } => (Reason::IdtokenRefused, "key"),
        JwtRefusal::Signature => (Reason::IdtokenRefused, "signature"),
        JwtRefusal::Issuer { .. } => (Reason::IssuerMismatch, "token"),
        JwtRefusal::Audience { .. } | JwtRefusal::AuthorizedParty { .. } | JwtRefusal::Type { .. } => {
            (Reason::IdtokenRefused, "audience")
        }
        JwtRefusal::Expired { .. } | JwtRefusal::IssuedInFuture { .. } | JwtRefusal::NotYetValid { .. } => {
            (Reason::ClockSkew, "")
        }
    };
    UpstreamError::new(Call::IdToken, reason, detail)
}
