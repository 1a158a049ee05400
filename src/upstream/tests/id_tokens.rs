//! Id_tokens: which are believed, and with what reasons the others are refused.

use super::{at, upstream};
use crate::crypto::Secret;
use crate::crypto::signing::{SigningKey, TokenType};
use crate::model::profile::{EmailTrust, Profile};
use crate::model::reason::Reason::{self, *};
use crate::upstream::Upstream;
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile::{self, Answers};
use crate::upstream::token::TokenAnswer;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use time::OffsetDateTime;
use time::macros::datetime;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
static OTHER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// Google with these keys behind its JWKS address.
async fn google(keys: &[&SigningKey]) -> MockServer {
    let server = MockServer::start().await;
    publish(&server, keys, None).await;
    server
}

async fn publish(server: &MockServer, keys: &[&SigningKey], times: Option<u64>) {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    let mock = Mock::given(method("GET")).and(path("/oauth2/v3/certs"));
    let mock = mock.respond_with(ResponseTemplate::new(200).set_body_json(json!({ "keys": keys })));
    match times {
        Some(times) => mock.up_to_n_times(times).mount(server).await,
        None => mock.mount(server).await,
    }
}

fn claims() -> Value {
    let hash = digest(&SHA256, b"at");
    json!({
        "iss": "https://accounts.google.com", "azp": "our:client", "aud": "our:client", "sub": "1101", "nonce": "our nonce",
        "email": "ada@example.com", "email_verified": true, "at_hash": URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]),
        "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "picture": "https://lh3.example/a",
        "iat": NOW.unix_timestamp(), "exp": NOW.unix_timestamp() + 3600,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn signed(claims: &Value) -> String {
    KEY.sign(TokenType::Jwt, claims).unwrap()
}

async fn fetch(upstream: &Upstream, server: &MockServer, id_token: Option<String>) -> Result<Profile, UpstreamError> {
    let tokens = TokenAnswer {
        access_token: Secret::from("at".to_owned()),
        refresh_token: None,
        id_token: id_token.map(Secret::from),
        token_type: None,
        expires_in: None,
        scopes: None,
        raw: json!({}),
    };
    let is_ours = |nonce: &str| nonce == "our nonce";
    let nonce = NonceCheck::Demanded(&is_ours);
    let answers = Answers { callback: &BTreeMap::new(), tokens: &tokens };
    profile::fetch(upstream, &at(server, "google"), &answers, nonce, NOW).await
}

#[tokio::test]
async fn id_token_with_all_claims_needs_no_userinfo_call() {
    let server = google(&[&KEY]).await;
    let ada = fetch(&upstream(), &server, Some(signed(&claims()))).await.unwrap();
    assert_eq!(ada.provider_user_id, "1101");
    assert_eq!((ada.email.as_deref(), ada.email_trust), (Some("ada@example.com"), EmailTrust::Verified));
    assert_eq!((ada.first_name.as_deref(), ada.last_name.as_deref()), (Some("Ada"), Some("Lovelace")));
    assert_eq!(ada.avatar_url.as_deref(), Some("https://lh3.example/a"));
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1, "the keys alone");
}

#[tokio::test]
async fn what_google_may_leave_out_or_spell_otherwise() {
    let server = google(&[&KEY]).await;
    let upstream = upstream();
    for (claims, trust) in [
        (with("iss", json!("accounts.google.com")), EmailTrust::Verified),
        (with("email_verified", json!("true")), EmailTrust::Verified),
        (with("email_verified", json!(false)), EmailTrust::Unverified),
        (without("email_verified"), EmailTrust::Unverified),
        (without("email"), EmailTrust::Unverified),
        (without("at_hash"), EmailTrust::Verified),
    ] {
        let found = fetch(&upstream, &server, Some(signed(&claims))).await.unwrap();
        assert_eq!(found.email_trust, trust, "{claims}");
    }
}

#[tokio::test]
async fn hostile_tokens_are_refused_by_name() {
    let server = google(&[&KEY]).await;
    let upstream = upstream();
    let now = NOW.unix_timestamp();
    let cases: Vec<(Value, (Reason, &str))> = vec![
        (with("iss", json!("https://evil.example")), (IssuerMismatch, "token")),
        (with("iss", json!("https://accounts.google.com/")), (IssuerMismatch, "token")),
        (with("aud", json!("another client")), (IdtokenRefused, "audience")),
        (with("aud", json!([])), (IdtokenRefused, "audience")),
        (with("nonce", json!("another flow's")), (IdtokenRefused, "nonce")),
        (without("nonce"), (IdtokenRefused, "nonce")),
        (with("exp", json!(now - 61)), (ClockSkew, "")),
        (with("iat", json!(now + 61)), (ClockSkew, "")),
        (with("exp", json!("later")), (ProviderWrongType, "exp")),
        (without("exp"), (ProviderWrongType, "exp")),
        (without("iat"), (ProviderWrongType, "iat")),
        (without("iss"), (ProviderWrongType, "iss")),
        (without("aud"), (ProviderWrongType, "aud")),
        (with("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")), (IdtokenRefused, "at_hash")),
        (with("at_hash", json!(7)), (IdtokenRefused, "at_hash")),
        (without("sub"), (IdentityUnusable, "absent")),
        (with("sub", json!("")), (IdentityUnusable, "absent")),
        (with("sub", json!("x".repeat(256))), (IdentityUnusable, "absent")),
        (with("sub", json!(1101)), (IdentityUnusable, "absent")),
    ];
    for (claims, expected) in cases {
        let error = fetch(&upstream, &server, Some(signed(&claims))).await.unwrap_err();
        assert_eq!((error.reason, error.detail), expected, "{claims}");
        assert_eq!(error.failure().code, "oauth_fetch_user_error");
    }
    let mut several = with("aud", json!(["our:client", "other"]));
    several["azp"] = json!("other");
    let error = fetch(&upstream, &server, Some(signed(&several))).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (IdtokenRefused, "audience"));
}

#[tokio::test]
async fn forged_tokens_are_refused_by_name() {
    let server = google(&[&KEY]).await;
    let upstream = upstream();
    let good = signed(&claims());
    let (signed_part, _) = good.rsplit_once('.').unwrap();
    let payload = signed_part.split_once('.').unwrap().1;
    let header = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    for (token, expected) in [
        (format!("{}.{payload}.", header(json!({"alg": "none"}))), (IdtokenRefused, "algorithm")),
        (
            format!("{}.{payload}.AAAA", header(json!({"alg": "HS256", "kid": KEY.kid()}))),
            (IdtokenRefused, "algorithm"),
        ),
        (format!("{signed_part}.{}", URL_SAFE_NO_PAD.encode([0; 256])), (IdtokenRefused, "signature")),
        (OTHER.sign(TokenType::Jwt, &claims()).unwrap(), (IdtokenRefused, "key")),
        ("a.b".to_owned(), (ProviderWrongType, "id_token")),
        ("a".repeat(17_000), (ProviderWrongType, "id_token")),
    ] {
        let error = fetch(&upstream, &server, Some(token.clone())).await.unwrap_err();
        assert_eq!((error.reason, error.detail), expected, "{token:.60}");
    }
    let error = fetch(&upstream, &server, None).await.unwrap_err();
    assert_eq!((error.reason, error.detail), (ProviderWrongType, "id_token"));
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_a_strangers_key_does_not_flood_the_issuer() {
    let server = MockServer::start().await;
    publish(&server, &[&OTHER], Some(1)).await;
    publish(&server, &[&OTHER, &KEY], None).await;
    let upstream = upstream();
    let rotated = signed(&claims());
    for _ in 0..3 {
        assert!(fetch(&upstream, &server, Some(rotated.clone())).await.is_ok());
    }
    let stranger = SigningKey::generate().unwrap().sign(TokenType::Jwt, &claims()).unwrap();
    for _ in 0..5 {
        let error = fetch(&upstream, &server, Some(stranger.clone())).await.unwrap_err();
        assert_eq!((error.reason, error.detail), (IdtokenRefused, "key"));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_the_keys_calls_failure() {
    let server = MockServer::start().await;
    let keys = Mock::given(method("GET")).and(path("/oauth2/v3/certs"));
    keys.respond_with(ResponseTemplate::new(200).set_body_json(json!({"keys": "none"}))).mount(&server).await;
    let error = fetch(&upstream(), &server, Some(signed(&claims()))).await.unwrap_err();
    assert_eq!((error.call.name(), error.reason, error.detail), ("keys", ProviderWrongType, "keys"));
    assert_eq!(error.failure().code, "oauth_fetch_user_error");
}
