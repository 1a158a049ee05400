//! Twenty id_tokens that are not for us, from a custom provider's issuer or in its name.

use super::upstream;
use crate::crypto::Secret;
use crate::crypto::signing::SigningKey;
use crate::model::profile::Profile;
use crate::model::reason::Reason::{self, *};
use crate::upstream::custom::CustomProvider;
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile::{self, Answers};
use crate::upstream::provider::{Provider, Settings};
use crate::upstream::token::TokenAnswer;
use aws_lc_rs::{hmac, rand, rsa, signature};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A provider whose id_tokens alone tell who somebody is.
struct Acme {
    provider: Provider,
    ours: SigningKey,
    foreign: SigningKey,
    server: MockServer,
}

impl Acme {
    async fn start() -> Self {
        let (server, ours) = (MockServer::start().await, SigningKey::generate().unwrap());
        let keys = Mock::given(method("GET")).and(path("/keys"));
        let body = json!({"keys": [ours.public_jwk()]});
        keys.respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
        let at = |path: &str| format!("{}{path}", server.uri());
        let custom: CustomProvider = serde_json::from_value(json!({
            "name": "Acme", "issuer": "https://id.acme.test", "authorization_url": at("/authorize"),
            "token_url": at("/token"), "jwks_url": at("/keys"), "trust_email_verified": true,
        }))
        .unwrap();
        let descriptor = custom.descriptor("acme", None, &|_| true).unwrap();
        let settings = Settings { client_id: "our".to_owned(), ..Settings::default() };
        let provider = Provider::new(Arc::new(descriptor), settings).unwrap();
        Self { provider, ours, foreign: SigningKey::generate().unwrap(), server }
    }

    async fn judge(&self, id_token: String) -> Result<Profile, UpstreamError> {
        let tokens = TokenAnswer {
            access_token: Secret::from("at".to_owned()),
            refresh_token: None,
            id_token: Some(id_token.into()),
            token_type: None,
            expires_in: None,
            scopes: None,
            raw: json!({}),
        };
        let is_ours = |nonce: &str| nonce == "our nonce";
        let nonce = NonceCheck::Demanded(&is_ours);
        let answers = Answers { callback: &BTreeMap::new(), tokens: &tokens };
        profile::fetch(&upstream(), &self.provider, &answers, nonce, NOW).await
    }
}

fn claims() -> Value {
    let now = NOW.unix_timestamp();
    json!({
        "iss": "https://id.acme.test", "aud": "our", "sub": "7", "nonce": "our nonce", "iat": now, "exp": now + 60,
        "email": "victim@example.com", "email_verified": true,
    })
}

/// The claims with some replaced; `Null` leaves one out.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with any header, truly signed by `key`.
fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let pair = rsa::KeyPair::from_pkcs8(&key.pkcs8().unwrap()).unwrap();
    let mut bytes = vec![0; pair.public_modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), text.as_bytes(), &mut bytes).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test]
async fn none_of_twenty_hostile_tokens_is_believed() {
    let acme = Acme::start().await;
    let header = |more: Value| {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": acme.ours.kid()});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let ours = |changes: Value| signed(&acme.ours, &header(json!({})), &with(changes));
    assert_eq!(acme.judge(ours(json!({}))).await.unwrap().provider_user_id, "7", "what the others depart from");
    let ago = |seconds: i64| (NOW - Duration::seconds(seconds)).unix_timestamp();
    let unsigned = format!("{}.{}.", encode(&header(json!({"alg": "none"}))), encode(&claims()));
    // The public key as the secret of a symmetric signature.
    let text = format!("{}.{}", encode(&header(json!({"alg": "HS256"}))), encode(&claims()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, acme.ours.public_pem().unwrap().as_bytes());
    let symmetric = format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())));
    // The attacker's key, named by the token itself.
    let by_foreign = |more: Value| signed(&acme.foreign, &header(more), &claims());
    let keys = format!("{}/evil-keys", acme.server.uri());
    let good = ours(json!({}));
    let broken = format!("{}.{}", good.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([7; 256]));
    let tokens: [(String, Reason, &str); 20] = [
        (ours(json!({"iss": "https://evil.example"})), IssuerMismatch, "token"),
        (ours(json!({"iss": "https://id.acme.test/"})), IssuerMismatch, "token"),
        (ours(json!({"aud": "another client"})), IdtokenRefused, "audience"),
        (ours(json!({"aud": ["our", "other"], "azp": "other"})), IdtokenRefused, "audience"),
        (ours(json!({"nonce": "another flow's"})), IdtokenRefused, "nonce"),
        (ours(json!({"nonce": null})), IdtokenRefused, "nonce"),
        (ours(json!({"exp": ago(61)})), ClockSkew, ""),
        (ours(json!({"exp": null})), ProviderWrongType, "exp"),
        (ours(json!({"exp": "4102444800"})), ProviderWrongType, "exp"),
        (ours(json!({"iat": ago(-61)})), ClockSkew, ""),
        (ours(json!({"iat": null})), ProviderWrongType, "iat"),
        (signed(&acme.ours, &header(json!({"typ": "at+jwt"})), &claims()), IdtokenRefused, "audience"),
        (unsigned, IdtokenRefused, "algorithm"),
        (symmetric, IdtokenRefused, "algorithm"),
        (by_foreign(json!({"kid": acme.foreign.kid()})), IdtokenRefused, "key"),
        (by_foreign(json!({"jwk": acme.foreign.public_jwk()})), IdtokenRefused, "signature"),
        (by_foreign(json!({"jku": keys})), IdtokenRefused, "signature"),
        (by_foreign(json!({"x5u": keys})), IdtokenRefused, "signature"),
        (broken, IdtokenRefused, "signature"),
        (ours(json!({"sub": ""})), IdentityUnusable, "absent"),
    ];
    for (number, (token, reason, detail)) in tokens.into_iter().enumerate() {
        let error = acme.judge(token).await.unwrap_err();
        assert_eq!((error.reason, error.detail), (reason, detail), "token {number}");
        assert_eq!(error.failure().code, "oauth_fetch_user_error", "token {number}");
    }
    let asked = acme.server.received_requests().await.unwrap();
    assert!(asked.iter().all(|request| request.url.path() == "/keys"), "no address out of a token is asked");
}
