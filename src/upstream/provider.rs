//! A provider as one instance uses it: the descriptor, the instance's credentials and scopes, and the real addresses.

use super::descriptor::{Descriptor, EmailLevel, Nonce};
use super::error::{Call, UpstreamError};
use crate::crypto::Secret;
use crate::model::reason::Reason;
use crate::model::url_rules::is_web;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// A provider, ready to be talked to.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What is particular to it.
    pub descriptor: Arc<Descriptor>,
    /// Our client id there.
    pub client_id: String,
    /// Our secret there; `None` for a public client (PKCE then is forced on).
    pub client_secret: Option<Secret>,
    /// Scopes that the operator wants beyond the base ones, in order.
    pub additional_scopes: Vec<String>,
    /// Where to talk to it.
    pub endpoints: Endpoints,
    /// What its claim about an address is worth in this instance.
    pub email_level: EmailLevel,
}

/// What an instance has configured for a provider.
#[derive(Debug, Default)]
pub struct Settings {
    /// Our client id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Option<Secret>,
    /// Scopes beyond the base ones, in order.
    pub additional_scopes: Vec<String>,
    /// Values for the descriptor's placeholders; others are ignored.
    pub parameters: BTreeMap<String, String>,
    /// Whether the operator trusts claims of a host that the descriptor does not name.
    pub moved_authority: MovedAuthority,
}

/// Whether the claim of a host that the operator put in place of the provider's own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MovedAuthority {
    /// No address from there counts as verified.
    #[default]
    Distrusted,
    /// The operator set `trust_email_verified`.
    Trusted,
}

/// Where to talk to a provider. Call addresses may still hold placeholders of earlier answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where the browser is sent.
    pub authorize: Url,
    /// Codes become tokens.
    pub token: Url,
    /// Refresh tokens become tokens.
    pub refresh: Url,
    /// Tokens are revoked.
    pub revoke: Option<String>,
    /// The issuer's keys.
    pub jwks: Option<Url>,
    /// The calls that tell who somebody is, in the descriptor's order.
    pub calls: Vec<String>,
}

/// An address or an operator's value for a placeholder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("provider `{slug}`: {what}")]
pub struct EndpointError {
    slug: String,
    what: String,
}

impl EndpointError {
    pub(super) fn new(slug: &str, what: &str) -> Self {
        Self { slug: slug.to_owned(), what: what.to_owned() }
    }
}

impl Provider {
    /// The provider at its real addresses.
    pub fn new(descriptor: Arc<Descriptor>, settings: Settings) -> Result<Self, EndpointError> {
        let endpoints = Endpoints::of(&descriptor, &settings.parameters)?;
        let moved = is_moved(&descriptor, &settings.parameters);
        let email_level = match settings.moved_authority {
            MovedAuthority::Distrusted if moved && descriptor.email.trust != EmailLevel::None => EmailLevel::Never,
            _ => descriptor.email.trust,
        };
        let Settings { client_id, client_secret, additional_scopes, .. } = settings;
        Ok(Self { descriptor, client_id, client_secret, additional_scopes, endpoints, email_level })
    }

    /// The same provider at the simulator: every real address keeps its path and query below `base`
    /// (`<origin>/_dev/providers/<key>`). Nothing else changes, so that the code that is tested is the code that runs.
    pub fn simulated(mut self, base: &Url) -> Result<Self, EndpointError> {
        let base = base.as_str().trim_end_matches('/');
        let slug = self.descriptor.slug.clone();
        let moved = |url: &Url| parse(&slug, &rebase(url.as_str(), base));
        let real = &self.endpoints;
        self.endpoints = Endpoints {
            authorize: moved(&real.authorize)?,
            token: moved(&real.token)?,
            refresh: moved(&real.refresh)?,
            revoke: real.revoke.as_deref().map(|url| rebase(url, base)),
            jwks: real.jwks.as_ref().map(moved).transpose()?,
            calls: real.calls.iter().map(|url| rebase(url, base)).collect(),
        };
        Ok(self)
    }

    /// Whether a PKCE verifier is made and its challenge sent. A public client has nothing else to authenticate by.
    pub fn sends_pkce(&self) -> bool {
        self.descriptor.authorize.send_pkce || self.client_secret.is_none()
    }

    /// Whether a nonce is sent and demanded back, given the scopes asked for.
    pub fn uses_nonce(&self, scopes: &[String]) -> bool {
        let returns_it = self.descriptor.oidc.as_ref().is_some_and(|oidc| oidc.nonce == Nonce::Supported);
        returns_it && scopes.iter().any(|scope| scope == "openid")
    }

    /// The scopes to ask for: the base ones, the configured ones, then `more`, each once.
    pub fn scopes(&self, more: &[String]) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.descriptor.authorize.base_scopes.iter().chain(&self.additional_scopes).chain(more) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    /// The name by which a granted scope is asked for; some providers answer with another one.
    pub fn requested_name<'a>(&'a self, granted: &'a str) -> &'a str {
        self.descriptor.token.scope_aliases.get(granted).map_or(granted, String::as_str)
    }

    /// Compares the `iss` of a callback with the expected one (RFC 9207 section 2.4): a different one, one that nobody
    /// expects, or a promised one that is absent is somebody else's answer (mix-up).
    pub fn check_callback_issuer(&self, iss: Option<&str>) -> Result<(), UpstreamError> {
        let authorize = &self.descriptor.authorize;
        let oidc = self.descriptor.oidc.as_ref();
        let fits = match iss {
            None => !authorize.promises_iss,
            Some(iss) => {
                let aliases = oidc.map(|oidc| oidc.issuer_aliases.as_slice()).unwrap_or_default();
                let known = authorize.issuer.iter().chain(oidc.map(|oidc| &oidc.issuer)).chain(aliases);
                known.into_iter().any(|known| known == iss)
            }
        };
        let mismatch = UpstreamError::new(Call::Callback, Reason::IssuerMismatch, "callback");
        if fits { Ok(()) } else { Err(mismatch) }
    }
}

impl Endpoints {
    fn of(descriptor: &Descriptor, parameters: &BTreeMap<String, String>) -> Result<Self, EndpointError> {
        let slug = &descriptor.slug;
        let fill = |template: &str| fill(descriptor, parameters, template);
        let token = parse(slug, &fill(&descriptor.token.url)?)?;
        let refresh = match &descriptor.refresh.url {
            Some(url) => parse(slug, &fill(url)?)?,
            None => token.clone(),
        };
        let jwks = descriptor.oidc.as_ref().and_then(|oidc| oidc.jwks_url.as_deref());
        Ok(Self {
            authorize: parse(slug, &fill(&descriptor.authorize.url)?)?,
            token,
            refresh,
            revoke: descriptor.revoke.as_ref().map(|revoke| fill(&revoke.url)).transpose()?,
            jwks: jwks.map(|url| parse(slug, &fill(url)?)).transpose()?,
            calls: descriptor.calls.iter().map(|call| fill(&call.url)).collect::<Result<_, _>>()?,
        })
    }
}

/// True if the operator put another host in place of the provider's own.
fn is_moved(descriptor: &Descriptor, parameters: &BTreeMap<String, String>) -> bool {
    descriptor.parameters.iter().any(|(name, parameter)| {
        parameter.moves_authority && parameters.get(name).is_some_and(|value| *value != parameter.default)
    })
}

/// Fills the operator's placeholders. A value is one host or path segment: nothing that ends one.
fn fill(
    descriptor: &Descriptor,
    parameters: &BTreeMap<String, String>,
    template: &str,
) -> Result<String, EndpointError> {
    let mut url = template.to_owned();
    for (name, parameter) in &descriptor.parameters {
        let value = parameters.get(name).unwrap_or(&parameter.default);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if value.is_empty() || value.len() > 255 || value == "." || value == ".." || !value.bytes().all(is_plain) {
            return Err(EndpointError {
                slug: descriptor.slug.clone(),
                what: format!("`{name}` has a value that does not fit an address"),
            });
        }
        url = url.replace(&format!("{{{name}}}"), value);
    }
    Ok(url)
}

fn parse(slug: &str, text: &str) -> Result<Url, EndpointError> {
    let error = |what: String| EndpointError { slug: slug.to_owned(), what };
    let url = Url::parse(text).map_err(|fault| error(format!("`{text}` is no address: {fault}")))?;
    if !is_web(&url) || url.host().is_none() {
        return Err(error(format!("`{text}` is not a web address")));
    }
    Ok(url)
}

/// `url` with `base` in place of its scheme and authority.
fn rebase(url: &str, base: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find(['/', '?']).and_then(|at| after_scheme.get(at..)).unwrap_or("/");
    format!("{base}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::catalogue::Catalogue;

    const HOSTED: &str = r#"
slug = "hosted"
name = "Hosted"
kind = "oauth2"
authorize = { url = "https://{host}/authorize", pkce = "supported", send_pkce = true, issuer = "https://x", promises_iss = true }
token = { url = "https://{host}/token", client_auth = "client_secret_post", encoding = "form" }
refresh = { supported = "always", rotates = "always", url = "https://{host}/refresh" }
calls = [{ id = "user", url = "https://{host}/user?x={user.id}" }]
profile = { provider_user_id = "user.id", email = "user.email", email_verified = ["user.verified"] }
email = { trust = "claim" }
parameters = { host = { label = "Host", default = "hosted.example", moves_authority = true } }
"#;

    fn hosted(host: Option<&str>, moved_authority: MovedAuthority) -> Result<Provider, EndpointError> {
        let parameters = host.map(|host| ("host".to_owned(), host.to_owned())).into_iter().collect();
        let settings = Settings { parameters, moved_authority, ..Settings::default() };
        Provider::new(Arc::new(Descriptor::parse(HOSTED).unwrap()), settings)
    }

    fn built_in(slug: &str) -> Provider {
        let descriptor = Arc::clone(Catalogue::load().unwrap().get(slug).unwrap());
        Provider::new(descriptor, Settings::default()).unwrap()
    }

    #[test]
    fn an_operator_s_host_fills_every_address() {
        let provider = hosted(Some("git.acme.test:8443"), MovedAuthority::Distrusted).unwrap();
        assert_eq!(provider.endpoints.token.as_str(), "https://git.acme.test:8443/token");
        assert_eq!(provider.endpoints.refresh.as_str(), "https://git.acme.test:8443/refresh");
        assert_eq!(provider.endpoints.calls, ["https://git.acme.test:8443/user?x={user.id}"]);
        for bad in ["", "evil/", "a@b", "a?b", "a#b", "..", "a b", "ä.test", "[::1]", &"a".repeat(256)] {
            assert!(hosted(Some(bad), MovedAuthority::Distrusted).is_err(), "{bad}");
        }
    }

    #[test]
    fn claim_of_another_host_counts_only_if_the_operator_trusts_it() {
        let level = |host, trust| hosted(host, trust).unwrap().email_level;
        assert_eq!(level(None, MovedAuthority::Distrusted), EmailLevel::Claim);
        assert_eq!(level(Some("hosted.example"), MovedAuthority::Distrusted), EmailLevel::Claim);
        assert_eq!(level(Some("git.acme.test"), MovedAuthority::Distrusted), EmailLevel::Never);
        assert_eq!(level(Some("git.acme.test"), MovedAuthority::Trusted), EmailLevel::Claim);
    }

    #[test]
    fn a_callback_s_issuer_is_the_expected_one() {
        let google = built_in("google");
        for good in [None, Some("https://accounts.google.com"), Some("accounts.google.com")] {
            assert_eq!(google.check_callback_issuer(good), Ok(()));
        }
        let hosted = hosted(None, MovedAuthority::Distrusted).unwrap();
        assert_eq!(hosted.check_callback_issuer(Some("https://x")), Ok(()));
        for (provider, bad) in [
            (&google, Some("https://accounts.google.com/")),
            (&google, Some("")),
            (&hosted, None),
            (&built_in("notion"), Some("https://accounts.google.com")),
        ] {
            let error = provider.check_callback_issuer(bad).unwrap_err();
            assert_eq!((error.reason, error.detail), (Reason::IssuerMismatch, "callback"));
            assert_eq!(error.failure().code, "oauth_callback_invalid");
        }
    }

    #[test]
    fn scopes_come_once_and_in_order() {
        let mut google = built_in("google");
        google.additional_scopes = ["drive", "email"].map(str::to_owned).into();
        let more = ["calendar", "drive"].map(str::to_owned);
        assert_eq!(google.scopes(&more), ["openid", "email", "profile", "drive", "calendar"]);
        assert!(google.uses_nonce(&google.scopes(&[])));
        assert!(!google.uses_nonce(&["email".to_owned()]));
    }
}
