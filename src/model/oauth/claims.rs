//! The claims of a user, by scope, for userinfo and id_tokens (OpenID Connect Core sections 2, 5.1 and 5.4).
//!
//! A claim without a value is left out, never null (section 5.3.2).

use serde_json::{Map, Value, json};

use super::application::IdTokenClaims;
use super::scope::{EMAIL, OPENID, PRIVATE_METADATA, PROFILE, PUBLIC_METADATA, Scopes};
use crate::model::id::{InstanceId, UserId};
use crate::model::time::Timestamp;

/// What a user is, as far as claims go; read fresh for every answer.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `sub`: the same for every client.
    pub user_id: UserId,
    /// `given_name`
    pub first_name: Option<String>,
    /// `family_name`
    pub last_name: Option<String>,
    /// `preferred_username`
    pub username: Option<String>,
    /// `picture`
    pub picture: Option<String>,
    /// The primary address and whether it has been verified.
    pub email: Option<(String, bool)>,
    /// `updated_at`, in seconds.
    pub updated_at: Timestamp,
}

/// Metadata of a user; userinfo only.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Written by backends, read by everybody.
    pub public: Value,
    /// Written and read by backends.
    pub private: Value,
    /// Written by browsers too.
    pub unsafe_: Value,
}

/// What goes into an id_token beside the user.
#[derive(Clone, Debug)]
pub struct IdToken<'a> {
    /// `iss`
    pub issuer: &'a str,
    /// `aud` and `azp`
    pub client_id: &'a str,
    /// `iat`
    pub issued_at: Timestamp,
    /// `exp - iat`, in seconds.
    pub lifetime: u32,
    /// `auth_time`
    pub authenticated_at: Timestamp,
    /// Exactly the request's value; left out on refresh.
    pub nonce: Option<&'a str>,
    /// The access token that comes with it, for `at_hash`.
    pub access_token: &'a str,
    /// How the person signed in.
    pub amr: &'a [String],
    /// Whether claims of the granted scopes go in.
    pub content: IdTokenClaims,
}

impl IdToken<'_> {
    /// The claims of the token.
    pub fn claims(&self, subject: &Subject, scopes: &Scopes) -> Map<String, Value> {
        let mut claims = match self.content {
            IdTokenClaims::Full => profile_and_email(subject, scopes),
            IdTokenClaims::Minimal => Map::new(),
        };
        let issued_at = self.issued_at.unix_timestamp();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(self.issuer));
        put("sub", json!(subject.user_id));
        put("aud", json!(self.client_id));
        put("azp", json!(self.client_id));
        put("iat", json!(issued_at));
        put("exp", json!(issued_at + i64::from(self.lifetime)));
        put("auth_time", json!(self.authenticated_at.unix_timestamp()));
        put("at_hash", json!(at_hash(self.access_token)));
        if let Some(nonce) = self.nonce {
            put("nonce", json!(nonce));
        }
        if !self.amr.is_empty() {
            put("amr", json!(self.amr));
        }
        claims
    }
}

/// The body of the userinfo answer.
pub fn userinfo(instance: &InstanceId, subject: &Subject, metadata: Metadata, scopes: &Scopes) -> Map<String, Value> {
    let mut claims = profile_and_email(subject, scopes);
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("object", json!("oauth_user_info"));
    put("instance_id", json!(instance));
    put("user_id", json!(subject.user_id));
    put("sub", json!(subject.user_id));
    if let Some(username) = subject.username.as_ref().filter(|_| scopes.has(PROFILE)) {
        put("username", json!(username));
    }
    if scopes.has(PUBLIC_METADATA) {
        put("public_metadata", metadata.public);
        put("unsafe_metadata", metadata.unsafe_);
    }
    if scopes.has(PRIVATE_METADATA) {
        put("private_metadata", metadata.private);
    }
    claims
}

/// True if a token with these scopes may ask for userinfo at all.
pub fn cover_userinfo(scopes: &Scopes) -> bool {
    [OPENID, PROFILE, EMAIL, PUBLIC_METADATA, PRIVATE_METADATA].into_iter().any(|scope| scopes.has(scope))
}

fn profile_and_email(subject: &Subject, scopes: &Scopes) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            claims.insert(name.to_owned(), json!(value));
        }
    };
    if scopes.has(PROFILE) {
        put("given_name", subject.first_name.as_deref());
        put("family_name", subject.last_name.as_deref());
        put("name", full_name(subject).as_deref());
        put("preferred_username", subject.username.as_deref());
        put("picture", subject.picture.as_deref());
    }
    if scopes.has(EMAIL) {
        put("email", subject.email.as_ref().map(|(address, _)| address.as_str()));
    }
    if scopes.has(PROFILE) {
        claims.insert("updated_at".to_owned(), json!(subject.updated_at.unix_timestamp()));
    }
    if let Some((_, verified)) = subject.email.as_ref().filter(|_| scopes.has(EMAIL)) {
        claims.insert("email_verified".to_owned(), json!(verified));
    }
    claims
}

fn full_name(subject: &Subject) -> Option<String> {
    let parts = [subject.first_name.as_deref(), subject.last_name.as_deref()];
    let name = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

/// The left half of the SHA-256 of the access token (OpenID Connect Core section 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    use base64::Engine;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
    let left_half = hash.as_ref().get(..16).unwrap_or_default();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(left_half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn subject() -> Subject {
        Subject {
            user_id: UserId::parse(&format!("user_{}", "0".repeat(27))).unwrap(),
            first_name: Some("Ada".to_owned()),
            last_name: Some("Lovelace".to_owned()),
            username: Some("ada".to_owned()),
            picture: Some("https://img.example/ada.png".to_owned()),
            email: Some(("ada@example.com".to_owned(), true)),
            updated_at: datetime!(2026-11-21 10:00:00.5 UTC),
        }
    }

    fn metadata() -> Metadata {
        Metadata { public: json!({"a": 1}), private: json!({"b": 2}), unsafe_: json!({"c": 3}) }
    }

    fn names(claims: &Map<String, Value>) -> Vec<&str> {
        let mut names: Vec<_> = claims.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    fn userinfo_of(subject: &Subject, scopes: &str) -> Map<String, Value> {
        let instance = InstanceId::parse(&format!("ins_{}", "0".repeat(27))).unwrap();
        userinfo(&instance, subject, metadata(), &Scopes::parse(scopes).unwrap())
    }

    const ALWAYS: [&str; 4] = ["instance_id", "object", "sub", "user_id"];

    #[test]
    fn each_scope_brings_its_claims_and_no_others() {
        let profile = ["family_name", "given_name", "name", "picture", "preferred_username", "updated_at", "username"];
        for (scopes, brings) in [
            ("openid", &[][..]),
            ("offline_access", &[]),
            ("profile", &profile),
            ("email", &["email", "email_verified"]),
            ("public_metadata", &["public_metadata", "unsafe_metadata"]),
            ("private_metadata", &["private_metadata"]),
        ] {
            let claims = userinfo_of(&subject(), scopes);
            let mut expected: Vec<_> = ALWAYS.iter().chain(brings).copied().collect();
            expected.sort_unstable();
            assert_eq!(names(&claims), expected, "{scopes}");
        }
    }

    #[test]
    fn values_are_those_of_the_user() {
        let claims = userinfo_of(&subject(), "openid email profile public_metadata");
        assert_eq!(claims["name"], "Ada Lovelace");
        assert_eq!(claims["email_verified"], true);
        assert_eq!(claims["updated_at"], 1_795_255_200);
        assert_eq!(claims["unsafe_metadata"], json!({"c": 3}));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let nobody =
            Subject { first_name: None, last_name: None, username: None, picture: None, email: None, ..subject() };
        let claims = userinfo_of(&nobody, "openid email profile");
        assert_eq!(names(&claims), ["instance_id", "object", "sub", "updated_at", "user_id"]);
        let unverified = Subject { email: Some(("a@b.example".to_owned(), false)), ..subject() };
        assert_eq!(userinfo_of(&unverified, "email")["email_verified"], false);
    }

    fn id_token(content: IdTokenClaims) -> Map<String, Value> {
        let token = IdToken {
            issuer: "https://id.example",
            client_id: "abc",
            issued_at: datetime!(2026-11-21 10:00 UTC),
            lifetime: 7200,
            authenticated_at: datetime!(2026-11-21 09:00 UTC),
            nonce: Some("n-0S6_WzA2Mj"),
            access_token: "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y",
            amr: &[],
            content,
        };
        token.claims(&subject(), &Scopes::parse("openid email profile private_metadata public_metadata").unwrap())
    }

    #[test]
    fn the_id_token_holds_the_protocol_and_no_metadata() {
        let minimal = id_token(IdTokenClaims::Minimal);
        assert_eq!(names(&minimal), ["at_hash", "aud", "auth_time", "azp", "exp", "iat", "iss", "nonce", "sub"]);
        assert_eq!(minimal["exp"].as_i64().unwrap() - minimal["iat"].as_i64().unwrap(), 7200);
        // The at_hash example of OpenID Connect Core appendix A.3.
        assert_eq!(minimal["at_hash"], "77QmUPtjPfzWtF2AnpK9RQ");
        let full = id_token(IdTokenClaims::Full);
        assert_eq!(full["email"], "ada@example.com");
        assert!(!full.keys().any(|name| name.contains("metadata")), "{full:?}");
    }

    #[test]
    fn offline_access_alone_opens_nothing() {
        assert!(!cover_userinfo(&Scopes::parse("offline_access").unwrap()));
        assert!(cover_userinfo(&Scopes::parse("offline_access profile").unwrap()));
    }
}
