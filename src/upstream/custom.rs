//! Custom providers: an operator's own OpenID Connect or OAuth server, described by stored fields instead of a file.

use super::descriptor::{
    Authorize, Call, ClientAuth, Descriptor, DescriptorError, Email, EmailLevel, Encoding, ErrorMapping, Kind, Method,
    Nonce, Oidc, Pkce, ProfilePaths, Refresh, RefreshSupport, ResponseMode, Rotates, Token,
};
use super::path::{Expression, PathError};
use crate::crypto::jwt::Algorithm;
use crate::model::{text::is_plain_name, url_rules::Scheme};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// What `provider_configs.custom` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CustomProvider {
    /// The name that people read.
    pub name: String,
    /// The picture on its button.
    pub logo_url: Option<String>,
    /// The discovery document; instead of it, the addresses below.
    pub discovery_url: Option<String>,
    /// The `iss` of its id_tokens; with discovery, only where it is not the discovery address's.
    pub issuer: Option<String>,
    /// Where the browser is sent.
    pub authorization_url: Option<String>,
    /// Codes become tokens.
    pub token_url: Option<String>,
    /// Who somebody is; in place of discovery's where given.
    pub userinfo_url: Option<String>,
    /// The issuer's keys.
    pub jwks_url: Option<String>,
    /// Whether PKCE is sent.
    #[serde(default = "on")]
    pub use_pkce: bool,
    /// The base scopes.
    #[serde(default = "openid_profile_email")]
    pub scopes: Vec<String>,
    /// How we authenticate ourselves; as discovery says where absent.
    pub client_auth: Option<ClientAuth>,
    /// The operator trusts this server's claims about addresses.
    #[serde(default)]
    pub trust_email_verified: bool,
    /// Target to claim; a target that is absent has its default.
    #[serde(default)]
    pub attribute_mapping: BTreeMap<String, Mapping>,
    /// Further fixed parameters of the authorization request.
    #[serde(default)]
    pub authorize_params: BTreeMap<String, String>,
}

/// Where a target comes from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// A claim's name or a dotted path; empty = the target is not set.
    pub source: String,
    /// The value where the claim is missing.
    pub default: Option<String>,
}

/// What a discovery document says (OpenID Connect Discovery section 3), as far as we read it.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Equal to the configured issuer.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: Option<String>,
    /// Codes become tokens.
    pub token_endpoint: Option<String>,
    /// Who somebody is.
    pub userinfo_endpoint: Option<String>,
    /// The issuer's keys.
    pub jwks_uri: Option<String>,
    /// How a client may authenticate itself.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// How id_tokens may be signed.
    pub id_token_signing_alg_values_supported: Option<Vec<String>>,
    /// Every callback carries `iss` (RFC 9207 section 3).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// Why stored fields make no provider.
#[derive(Debug, thiserror::Error)]
pub enum CustomError {
    /// A needed address is neither stored nor discovered.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Nothing would say who somebody is.
    #[error("userinfo_url is missing, or issuer and jwks_url")]
    NoIdentity,
    /// An address that is not https, and not on the list of exceptions.
    #[error("{0} must be an https address")]
    Insecure(&'static str),
    /// A member whose value cannot be used.
    #[error("{0} cannot be used: {1}")]
    Member(&'static str, &'static str),
    /// A claim path that does not parse.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A target that does not exist.
    #[error("`{0}` is no attribute")]
    Target(String),
    /// The result breaks a rule of descriptors.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

/// Signatures that an id_token may carry: never symmetric, never `none`.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

/// Targets and the standard claims they come from unless mapped otherwise.
const STANDARD_CLAIMS: [(&str, &str); 9] = [
    ("provider_user_id", "sub"),
    ("email", "email"),
    ("email_verified", "email_verified"),
    ("username", "preferred_username"),
    ("first_name", "given_name"),
    ("last_name", "family_name"),
    ("name", "name"),
    ("avatar_url", "picture"),
    ("phone", "phone_number"),
];

/// Parameters of the authorization request that are ours to set.
const OUR_PARAMETERS: [&str; 9] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

fn on() -> bool {
    true
}

fn openid_profile_email() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

/// True if `key` can name a custom provider (`custom_<key>`): 1 to 64 of `a-z`, `0-9`, `_`.
pub fn is_key(key: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&key.len()) && key.bytes().all(is_word)
}

impl CustomProvider {
    /// A provider of which nothing but the name is known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            logo_url: None,
            discovery_url: None,
            issuer: None,
            authorization_url: None,
            token_url: None,
            userinfo_url: None,
            jwks_url: None,
            use_pkce: on(),
            scopes: openid_profile_email(),
            client_auth: None,
            trust_email_verified: false,
            attribute_mapping: BTreeMap::new(),
            authorize_params: BTreeMap::new(),
        }
    }

    /// The provider that stored members describe.
    ///
    /// # Errors
    /// A member of a wrong type, or in a mapping one that does not exist.
    pub fn from_members(members: &Map<String, Value>) -> serde_json::Result<Self> {
        serde_json::from_value(Value::Object(members.clone()))
    }

    /// The descriptor of `custom_<key>`. `metadata` is the discovery document where there is one; stored addresses win.
    /// `may_be_http` says which addresses the server's configuration excepts from https (`outbound.allow`): the browser
    /// is sent to the authorization endpoint, so that no guard of outgoing requests looks at it.
    pub fn descriptor(
        &self,
        key: &str,
        metadata: Option<&Metadata>,
        may_be_http: &dyn Fn(&Url) -> bool,
    ) -> Result<Descriptor, CustomError> {
        self.check_members(may_be_http)?;
        let pick = |stored: &Option<String>, found: fn(&Metadata) -> &Option<String>| {
            stored.clone().or_else(|| metadata.and_then(|metadata| found(metadata).clone()))
        };
        let needed = |name, stored: &Option<String>, found: fn(&Metadata) -> &Option<String>| {
            let url = pick(stored, found).ok_or(CustomError::Missing(name))?;
            secure(name, url, may_be_http)
        };
        let userinfo = pick(&self.userinfo_url, |metadata| &metadata.userinfo_endpoint);
        let userinfo = userinfo.map(|url| secure("userinfo_url", url, may_be_http)).transpose()?;
        let jwks = pick(&self.jwks_url, |metadata| &metadata.jwks_uri);
        let jwks = jwks.map(|url| secure("jwks_url", url, may_be_http)).transpose()?;
        let oidc = self.oidc(metadata, jwks);
        if oidc.is_none() && userinfo.is_none() {
            return Err(CustomError::NoIdentity);
        }
        // Claim source (the documented priority): userinfo where there is one, else the id_token; never a mix.
        let root = if userinfo.is_some() { "userinfo" } else { "id_token" };
        let descriptor = Descriptor {
            slug: format!("custom_{key}"),
            name: self.name.clone(),
            kind: if oidc.is_some() { Kind::Oidc } else { Kind::Oauth2 },
            aliases: Vec::new(),
            hooks: Vec::new(),
            parameters: BTreeMap::new(),
            authorize: self.authorize(
                needed("authorization_url", &self.authorization_url, |metadata| &metadata.authorization_endpoint)?,
                metadata,
                oidc.is_some(),
            ),
            token: self.token(needed("token_url", &self.token_url, |metadata| &metadata.token_endpoint)?, metadata),
            refresh: Refresh {
                supported: RefreshSupport::Sometimes,
                url: None,
                rotates: Rotates::Sometimes,
                first_consent_only: false,
                exchange: None,
                access_ttl: None,
            },
            revoke: None,
            profile: self.profile(root, oidc.is_some())?,
            oidc,
            calls: userinfo.map(userinfo_call).into_iter().collect(),
            email: Email { trust: if self.trust_email_verified { EmailLevel::Claim } else { EmailLevel::Never } },
            errors: ErrorMapping::default(),
        };
        Ok(descriptor.checked()?)
    }

    /// What no request may carry, whoever wrote it down.
    fn check_members(&self, may_be_http: &dyn Fn(&Url) -> bool) -> Result<(), CustomError> {
        let name = self.name.chars().count();
        if !(1..=64).contains(&name) || !is_plain_name(&self.name) || self.name.trim() != self.name {
            return Err(CustomError::Member("name", "it has 1 to 64 characters, all of them visible"));
        }
        if let Some(url) = &self.logo_url {
            secure("logo_url", url.clone(), may_be_http)?;
        }
        let is_ours = |name: &String| OUR_PARAMETERS.contains(&name.as_str());
        if self.authorize_params.keys().any(is_ours) || self.authorize_params.len() > 20 {
            return Err(CustomError::Member("authorize_params", "at most 20, and none of the protocol's own"));
        }
        let is_long = |text: &str| text.chars().count() > 255;
        let too_long = self
            .attribute_mapping
            .values()
            .any(|mapping| is_long(&mapping.source) || mapping.default.as_deref().is_some_and(is_long));
        if too_long || self.attribute_mapping.len() > 50 {
            return Err(CustomError::Member(
                "attribute_mapping",
                "at most 50 attributes, texts of at most 255 characters",
            ));
        }
        // A default would make one person of everybody whose id is missing.
        let id = self.attribute_mapping.get("provider_user_id");
        if id.is_some_and(|mapping| mapping.default.is_some() || mapping.source.is_empty()) {
            return Err(CustomError::Member("attribute_mapping", "provider_user_id needs a source and has no default"));
        }
        Ok(())
    }

    /// An issuer gives id_tokens to those who ask for `openid` alone.
    fn base_scopes(&self, has_issuer: bool) -> Vec<String> {
        let mut scopes = self.scopes.clone();
        if has_issuer && !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        scopes
    }

    fn authorize(&self, url: String, metadata: Option<&Metadata>, has_issuer: bool) -> Authorize {
        Authorize {
            url,
            base_scopes: self.base_scopes(has_issuer),
            scope_separator: Some(" ".to_owned()),
            params: self.authorize_params.clone(),
            optional_params: ["prompt", "login_hint"].map(str::to_owned).into(),
            client_id_param: "client_id".to_owned(),
            response_mode: ResponseMode::Query,
            pkce: Pkce::Supported,
            send_pkce: self.use_pkce,
            issuer: self.issuer.clone(),
            promises_iss: metadata.is_some_and(|metadata| metadata.authorization_response_iss_parameter_supported),
        }
    }

    fn token(&self, url: String, metadata: Option<&Metadata>) -> Token {
        let listed = metadata.and_then(|metadata| metadata.token_endpoint_auth_methods_supported.as_deref());
        // Nothing listed means Basic (OpenID Connect Discovery section 3).
        let basic = listed.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        let discovered = if basic { ClientAuth::ClientSecretBasic } else { ClientAuth::ClientSecretPost };
        Token {
            url,
            client_auth: self.client_auth.unwrap_or(discovered),
            encoding: Encoding::Form,
            headers: BTreeMap::new(),
            success: None,
            scope_member: "scope".to_owned(),
            scope_separator: " ".to_owned(),
            scope_aliases: BTreeMap::new(),
        }
    }

    fn oidc(&self, metadata: Option<&Metadata>, jwks: Option<String>) -> Option<Oidc> {
        let issuer = self.issuer.clone().or_else(|| Some(metadata?.issuer.clone()))?;
        let listed = metadata.and_then(|metadata| metadata.id_token_signing_alg_values_supported.as_deref());
        let is_listed =
            |algorithm: &Algorithm| listed.is_none_or(|listed| listed.iter().any(|name| name == algorithm.as_str()));
        let id = self.attribute_mapping.get("provider_user_id");
        Some(Oidc {
            issuer,
            issuer_aliases: Vec::new(),
            discovery_url: self.discovery_url.clone(),
            jwks_url: Some(jwks?),
            algorithms: ALGORITHMS.into_iter().filter(is_listed).collect(),
            nonce: Nonce::Supported,
            // A proxy that takes the id from elsewhere may answer about another subject.
            compares_sub: id.is_none_or(|mapping| mapping.source == "sub"),
        })
    }

    fn profile(&self, root: &str, has_issuer: bool) -> Result<ProfilePaths, CustomError> {
        let mut paths = ProfilePaths::default();
        for (target, claim) in STANDARD_CLAIMS {
            let mapping = self.attribute_mapping.get(target);
            let source = mapping.map_or(claim, |mapping| mapping.source.as_str());
            let default = mapping.and_then(|mapping| mapping.default.clone());
            if let Some(default) = default.filter(|default| !default.is_empty()) {
                paths.defaults.insert(target.to_owned(), default);
            }
            let expression = if source.is_empty() { None } else { Some(claim_path(root, source)?) };
            self.set(&mut paths, target, expression);
        }
        for (target, mapping) in &self.attribute_mapping {
            if STANDARD_CLAIMS.iter().any(|(known, _)| known == target) || target == "phone_verified" {
                continue;
            }
            let name = target.strip_prefix("public_metadata.").ok_or_else(|| CustomError::Target(target.clone()))?;
            if let Some(default) = mapping.default.as_ref().filter(|default| !default.is_empty()) {
                paths.defaults.insert(target.clone(), default.clone());
            }
            if !mapping.source.is_empty() {
                paths.public_metadata.insert(name.to_owned(), claim_path(root, &mapping.source)?);
            }
        }
        // Where the id is taken from elsewhere, the id_token's own subject is stored beside it.
        if has_issuer && self.attribute_mapping.get("provider_user_id").is_some_and(|mapping| mapping.source != "sub") {
            paths.public_metadata.insert("id_token_sub".to_owned(), Expression::member("id_token", "sub"));
        }
        Ok(paths)
    }

    fn set(&self, paths: &mut ProfilePaths, target: &str, expression: Option<Expression>) {
        let place = match target {
            "provider_user_id" => &mut paths.provider_user_id,
            "email" => &mut paths.email,
            "username" => &mut paths.username,
            "first_name" => &mut paths.first_name,
            "last_name" => &mut paths.last_name,
            "name" => &mut paths.name,
            "avatar_url" => &mut paths.avatar_url,
            "phone" => &mut paths.phone,
            _ => {
                // The switch makes the claim count, and an absent claim a yes; one that is there and says anything else
                // than yes, also null, stays a no.
                if self.trust_email_verified {
                    paths.email_verified.extend(expression);
                    paths.defaults.entry("email_verified".to_owned()).or_insert_with(|| "true".to_owned());
                }
                return;
            }
        };
        *place = expression;
    }
}

fn userinfo_call(url: String) -> Call {
    Call {
        id: "userinfo".to_owned(),
        url,
        method: Method::Get,
        headers: BTreeMap::new(),
        encoding: None,
        body: BTreeMap::new(),
        optional: false,
        unless: None,
        success: None,
    }
}

/// A claim by its name where that is no path (`https://example.com/team`), else by a dotted path.
fn claim_path(root: &str, source: &str) -> Result<Expression, PathError> {
    if source.contains([':', '/', '|', '\'', ' ']) {
        return Ok(Expression::member(root, source));
    }
    Expression::parse(&format!("{root}.{source}"))
}

fn secure(name: &'static str, url: String, may_be_http: &dyn Fn(&Url) -> bool) -> Result<String, CustomError> {
    let parsed = Url::parse(&url).map_err(|_| CustomError::Insecure(name))?;
    let is_secure = |scheme| scheme == Scheme::Https || (scheme == Scheme::Http && may_be_http(&parsed));
    if is_secure(Scheme::of(&parsed)) { Ok(url) } else { Err(CustomError::Insecure(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn custom(fields: serde_json::Value) -> CustomProvider {
        serde_json::from_value(fields).unwrap()
    }

    fn metadata() -> Metadata {
        serde_json::from_value(json!({
            "issuer": "https://id.acme.test", "authorization_endpoint": "https://id.acme.test/authorize",
            "token_endpoint": "https://id.acme.test/token", "userinfo_endpoint": "https://id.acme.test/me",
            "jwks_uri": "https://id.acme.test/keys", "id_token_signing_alg_values_supported": ["none", "HS256", "ES256", "RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"], "unknown": 1,
        }))
        .unwrap()
    }

    fn build(fields: serde_json::Value, metadata: Option<&Metadata>) -> Result<Descriptor, CustomError> {
        custom(fields).descriptor("acme", metadata, &|_| false)
    }

    #[test]
    fn discovery_fills_what_is_not_stored() {
        let fields = json!({"name": "Acme", "userinfo_url": "https://proxy.test/me"});
        let descriptor = build(fields, Some(&metadata())).unwrap();
        assert_eq!(descriptor.strategy(), "oauth_custom_acme");
        assert_eq!(descriptor.authorize.url, "https://id.acme.test/authorize");
        assert_eq!(descriptor.authorize.base_scopes, ["openid", "profile", "email"]);
        assert!(descriptor.authorize.send_pkce);
        assert_eq!(descriptor.token.client_auth, ClientAuth::ClientSecretPost);
        assert_eq!(descriptor.oidc.as_ref().unwrap().algorithms, [Algorithm::Rs256, Algorithm::Es256]);
        assert_eq!(descriptor.calls.first().unwrap().url, "https://proxy.test/me");
        assert_eq!(descriptor.email.trust, EmailLevel::Never);
    }

    #[test]
    fn manual_mode_needs_every_address_by_https() {
        let manual = json!({
            "name": "Acme", "authorization_url": "https://a.test/a", "token_url": "https://a.test/t",
            "userinfo_url": "https://a.test/u", "scopes": ["basic"],
        });
        assert_eq!(build(manual.clone(), None).unwrap().token.client_auth, ClientAuth::ClientSecretBasic);
        for (member, value) in [
            ("authorization_url", json!("javascript:alert(1)")),
            ("authorization_url", json!("http://a.test/a")),
            ("authorization_url", json!(null)),
            ("token_url", json!("http://10.0.0.1/t")),
            ("userinfo_url", json!(null)),
        ] {
            let mut bad = manual.clone();
            bad.as_object_mut().unwrap().insert(member.to_owned(), value.clone());
            assert!(build(bad, None).is_err(), "{member} {value}");
        }
    }

    #[test]
    fn mappings_move_claims_and_refuse_unknown_targets() {
        let mapped = |mapping| build(json!({"name": "Acme", "attribute_mapping": mapping}), Some(&metadata()));
        let paths = mapped(json!({
            "email": {"source": "data.0.mail"}, "username": {"source": ""}, "first_name": {"source": "x", "default": "Friend"},
            "public_metadata.team": {"source": "https://acme.test/team"},
        }))
        .unwrap()
        .profile;
        assert_eq!(paths.email, Some(Expression::parse("userinfo.data.0.mail").unwrap()));
        assert_eq!(paths.username, None);
        assert_eq!(paths.defaults.get("first_name").map(String::as_str), Some("Friend"));
        assert_eq!(paths.public_metadata.get("team"), Some(&Expression::member("userinfo", "https://acme.test/team")));
        assert!(mapped(json!({"password": {"source": "p"}})).is_err());
        assert!(mapped(json!({"email": {"source": "a["}})).is_err());
        assert!(mapped(json!({"provider_user_id": {"source": ""}})).is_err());
    }

    #[test]
    fn keys_are_words() {
        assert!(is_key("acme_2"));
        for bad in ["", "A", "a-b", "a.b", "ä", &"a".repeat(65)] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
