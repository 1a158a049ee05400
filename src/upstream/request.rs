//! The authorization request: the address at the provider to which the browser is sent.

use super::provider::Provider;
use crate::crypto::Secret;
use crate::model::random::{self, Rng};
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use secrecy::ExposeSecret;
use url::Url;

/// A PKCE code verifier (RFC 7636 section 4.1). It never leaves the server but for the token endpoint.
#[derive(Clone, Debug)]
pub struct Verifier(Secret);

impl Verifier {
    /// A new one: 256 random bits in 43 characters.
    pub fn new(rng: &dyn Rng) -> Self {
        Self(Secret::from(random::token(rng)))
    }

    /// One that was stored; `None` for what cannot be a verifier.
    pub fn parse(text: &str) -> Option<Self> {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let fits = (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved);
        fits.then(|| Self(Secret::from(text.to_owned())))
    }

    /// The verifier as text: to be sealed, or sent to the token endpoint.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn challenge(&self) -> PkceCodeChallenge {
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(self.expose().to_owned()))
    }
}

/// What one flow asks of the provider.
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    /// Ours: at least 256 random bits, bound to the browser.
    pub state: &'a str,
    /// Given exactly where [`Provider::uses_nonce`] says so.
    pub nonce: Option<&'a str>,
    /// Given exactly where [`Provider::sends_pkce`] says so.
    pub verifier: Option<&'a Verifier>,
    /// Our callback address; the code exchange repeats its text.
    pub redirect_uri: &'a Url,
    /// All scopes to ask for, from [`Provider::scopes`].
    pub scopes: &'a [String],
    /// Who is expected to sign in; forwarded to providers that know the parameter, dropped otherwise.
    pub login_hint: Option<&'a str>,
    /// Words of `none login consent select_account`, checked by the caller; forwarded likewise.
    pub prompt: Option<&'a str>,
}

/// The address to which the browser is sent (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).
pub fn authorization_url(provider: &Provider, request: &AuthorizationRequest<'_>) -> Url {
    let authorize = &provider.descriptor.authorize;
    let client = BasicClient::new(ClientId::new(provider.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(provider.endpoints.authorize.clone()))
        .set_redirect_uri(RedirectUrl::from_url(request.redirect_uri.clone()));
    let mut building = client.authorize_url(|| CsrfToken::new(request.state.to_owned()));
    if let Some(separator) = &authorize.scope_separator
        && !request.scopes.is_empty()
    {
        building = building.add_scope(Scope::new(request.scopes.join(separator)));
    }
    if let Some(verifier) = request.verifier {
        building = building.set_pkce_challenge(verifier.challenge());
    }
    for (name, value) in extra_parameters(provider, request) {
        building = building.add_extra_param(name, value);
    }
    let (url, _) = building.url();
    rename_client_id(url, &authorize.client_id_param)
}

/// The parameters beyond RFC 6749. A caller's value wins over a fixed parameter of the same name (`prompt`).
fn extra_parameters<'a>(provider: &'a Provider, request: &AuthorizationRequest<'a>) -> Vec<(String, &'a str)> {
    let authorize = &provider.descriptor.authorize;
    let asked = [("login_hint", request.login_hint), ("prompt", request.prompt)];
    let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let known = asked.filter(|(name, _)| authorize.optional_params.iter().any(|known| known == name));
    let mut extra: Vec<(String, &str)> = known.map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in &authorize.params {
        if !extra.iter().any(|(taken, _)| taken == name) {
            extra.push((name.clone(), value));
        }
    }
    extra.extend(request.nonce.map(|nonce| ("nonce".to_owned(), nonce)));
    extra
}

/// The same address with the client id under the provider's own name for it (TikTok's `client_key`).
fn rename_client_id(url: Url, name: &str) -> Url {
    if name == "client_id" {
        return url;
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut renamed = url;
    let fresh = pairs.iter().map(|(key, value)| (if key == "client_id" { name } else { key.as_str() }, value.as_str()));
    renamed.query_pairs_mut().clear().extend_pairs(fresh);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::catalogue::Catalogue;
    use crate::upstream::descriptor::Descriptor;
    use crate::upstream::provider::Settings;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn provider(slug: &str) -> Provider {
        let descriptor = Catalogue::load().unwrap().get(slug).unwrap().clone();
        with(descriptor)
    }

    fn with(descriptor: Arc<Descriptor>) -> Provider {
        let settings = Settings {
            client_id: "id&1".to_owned(),
            client_secret: Some(Secret::from("secret".to_owned())),
            additional_scopes: vec!["email".to_owned(), "https://x/drive".to_owned()],
            ..Settings::default()
        };
        Provider::new(descriptor, settings).unwrap()
    }

    fn parameters(provider: &Provider, verifier: Option<&Verifier>) -> (Url, BTreeMap<String, String>) {
        let redirect_uri = Url::parse("http://localhost:8484/v1/oauth_callback").unwrap();
        let scopes = provider.scopes(&[]);
        let request = AuthorizationRequest {
            state: "st",
            nonce: provider.uses_nonce(&scopes).then_some("no"),
            verifier,
            redirect_uri: &redirect_uri,
            scopes: &scopes,
            login_hint: Some("ada@example.com"),
            prompt: Some("consent"),
        };
        let url = authorization_url(provider, &request);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "no parameter twice");
        (url, map)
    }

    fn pairs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn google_gets_everything_it_knows() {
        // The verifier and challenge of RFC 7636, appendix B.
        let verifier = Verifier::parse("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        let (url, found) = parameters(&provider("google"), Some(&verifier));
        assert!(url.as_str().starts_with("https://accounts.google.com/o/oauth2/v2/auth?"));
        let expected = pairs(&[
            ("response_type", "code"),
            ("client_id", "id&1"),
            ("state", "st"),
            ("nonce", "no"),
            ("redirect_uri", "http://localhost:8484/v1/oauth_callback"),
            ("scope", "openid email profile https://x/drive"),
            ("access_type", "offline"),
            ("login_hint", "ada@example.com"),
            ("prompt", "consent"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn notion_gets_no_scope_and_no_parameter_it_does_not_know() {
        let notion = provider("notion");
        assert!(!notion.sends_pkce());
        let (_, found) = parameters(&notion, None);
        let expected = pairs(&[
            ("response_type", "code"),
            ("client_id", "id&1"),
            ("state", "st"),
            ("redirect_uri", "http://localhost:8484/v1/oauth_callback"),
            ("owner", "user"),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn names_and_separators_are_the_provider_s() {
        let mut descriptor = Descriptor::clone(&Catalogue::load().unwrap().get("google").unwrap().clone());
        descriptor.authorize.client_id_param = "client_key".to_owned();
        descriptor.authorize.scope_separator = Some(",".to_owned());
        descriptor.authorize.params.insert("prompt".to_owned(), "login".to_owned());
        let (_, found) = parameters(&with(Arc::new(descriptor)), None);
        assert_eq!(found.get("client_key").map(String::as_str), Some("id&1"));
        assert_eq!(found.get("client_id"), None);
        assert_eq!(found.get("scope").map(String::as_str), Some("openid,email,profile,https://x/drive"));
        assert_eq!(found.get("prompt").map(String::as_str), Some("consent"));
    }

    #[test]
    fn the_simulator_stands_at_the_same_paths() {
        let base = Url::parse("http://localhost:8484/_dev/providers/google").unwrap();
        let simulated = provider("google").simulated(&base).unwrap().endpoints;
        assert_eq!(simulated.authorize.as_str(), "http://localhost:8484/_dev/providers/google/o/oauth2/v2/auth");
        assert_eq!(simulated.token.as_str(), "http://localhost:8484/_dev/providers/google/token");
        assert_eq!(simulated.jwks.unwrap().as_str(), "http://localhost:8484/_dev/providers/google/oauth2/v3/certs");
        assert_eq!(simulated.calls, ["http://localhost:8484/_dev/providers/google/v1/userinfo"]);
    }

    #[test]
    fn what_cannot_be_a_verifier_is_none() {
        for text in ["short", &"a".repeat(129), &"ä".repeat(30), &format!("{}+", "a".repeat(43))] {
            assert!(Verifier::parse(text).is_none(), "{text}");
        }
    }
}
