//! Tokens are made here with the crypto library directly, so that nothing but the verifier is under test.

use super::*;
use crate::crypto::signing::SigningKey;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use std::sync::LazyLock;
use time::macros::datetime;

mod form;
mod signatures;
mod tokens;

const NOW: Timestamp = datetime!(2026-11-21 12:00 UTC);
const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "client_abc";
const ALL: [Algorithm; 5] = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
const EXPECT: Expect<'static> = Expect {
    algorithms: &ALL,
    issuer: Issuer::Exactly(ISSUER),
    audience: Audience::OneOf(&[CLIENT]),
    typ: TokenType::Jwt,
    nonce: Nonce::Is("n-0S6_WzA2Mj"),
    leeway: FOREIGN_LEEWAY,
};

struct Idp {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    jwks: Value,
}

static IDP: LazyLock<Idp> = LazyLock::new(|| {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let p256 = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = |key: &EcdsaKeyPair| {
        let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
        (encode(x), encode(y))
    };
    let ((x256, y256), (x384, y384)) = (point(&p256), point(&p384));
    let jwks = json!({ "keys": [
        { "kty": "RSA", "kid": "rsa", "use": "sig",
          "n": encode(rsa.public_key().modulus().big_endian_without_leading_zero()),
          "e": encode(rsa.public_key().exponent().big_endian_without_leading_zero()) },
        { "kty": "EC", "crv": "P-256", "kid": "p256", "alg": "ES256", "x": x256, "y": y256 },
        { "kty": "EC", "crv": "P-384", "kid": "p384", "x": x384, "y": y384 },
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(ed25519.public_key().as_ref()) },
    ] });
    Idp { rsa, p256, p384, ed25519, jwks }
});

impl Idp {
    fn keys(&self) -> KeySet {
        KeySet::from_value(&self.jwks).unwrap()
    }

    /// Signs with the key that `alg` calls for, whatever the header says besides.
    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let rsa = |encoding: &'static dyn signature::RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &rng, message, &mut signature).unwrap();
            signature
        };
        match alg {
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "ES256" => self.p256.sign(&rng, message).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&rng, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            _ => Vec::new(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.sign(header["alg"].as_str().unwrap_or("RS256"), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn header() -> Value {
    json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" })
}

fn claims() -> Value {
    let now = NOW.unix_timestamp();
    json!({ "iss": ISSUER, "aud": CLIENT, "sub": "24400320", "nonce": "n-0S6_WzA2Mj", "iat": now, "exp": now + 3600 })
}

/// `base` with members set, or removed where the value is null.
fn with(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => base.as_object_mut().unwrap().remove(name),
            value => base.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    base
}

fn check(token: &str, expect: &Expect<'_>) -> Result<Claims, JwtRefusal> {
    verify(token, Keys::Set(&IDP.keys()), expect, NOW)
}

fn with_claims(changes: Value) -> Result<Claims, JwtRefusal> {
    check(&IDP.token(&header(), &with(claims(), changes)), &EXPECT)
}

fn with_header(changes: Value) -> Result<Claims, JwtRefusal> {
    check(&IDP.token(&with(header(), changes), &claims()), &EXPECT)
}
