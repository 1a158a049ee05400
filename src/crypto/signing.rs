//! Our own RSA keys: signing JWTs with RS256 (RFC 7518 section 3.3) and publishing the public half.
//!
//! The key pair stays parsed and the headers stay encoded: 0.2 ms per token, so signing runs inline. Parsing the key
//! anew for every token, as the JWT crate does, costs more than twice that.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The kinds of JWT that share our keys. A verifier asks for one of them, so that a token of one kind is never taken
/// for another (RFC 8725 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// ID tokens, session tokens and tickets: `JWT`.
    Jwt,
    /// OAuth access tokens (RFC 9068): `at+jwt`.
    AccessToken,
    /// Back-channel logout tokens: `logout+jwt`.
    LogoutToken,
}

impl TokenType {
    /// The value of the header's `typ`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::AccessToken => "at+jwt",
            Self::LogoutToken => "logout+jwt",
        }
    }
}

/// Why a key could not be made or read, or a token not be signed. Says nothing about the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The crypto library could not make a key.
    #[error("making an RSA key failed")]
    Generate,
    /// The bytes are not an RSA key in PKCS#8, or it has fewer than 2048 bits.
    #[error("not an RSA key of at least 2048 bits in PKCS#8")]
    Key,
    /// The claims have no JSON form.
    #[error("the claims have no JSON form")]
    Claims,
    /// The crypto library could not sign.
    #[error("signing failed")]
    Sign,
}

/// The public half of a key as a JWK (RFC 7517): exactly these members, so a private one cannot slip in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    /// Always `RSA`.
    pub kty: String,
    /// The modulus, base64url.
    pub n: String,
    /// The exponent, base64url.
    pub e: String,
    /// Always `RS256`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The key's id.
    pub kid: String,
}

/// An RSA key of an instance, ready to sign. Has no `Debug`.
pub struct SigningKey {
    pair: KeyPair,
    public: PublicJwk,
    /// Encoded headers with the dot behind them, in the order of [`TokenType`].
    headers: [String; 3],
}

impl SigningKey {
    /// A new RSA-2048 key whose id is its thumbprint. Takes 40 to 300 ms: off the async threads.
    pub fn generate() -> Result<Self, SigningError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::Generate)?;
        Ok(Self::new(None, pair))
    }

    /// Reads a stored key. `kid` is the id under which it was published.
    pub fn from_pkcs8(kid: &str, der: &[u8]) -> Result<Self, SigningError> {
        let pair = KeyPair::from_pkcs8(der).map_err(|_| SigningError::Key)?;
        if pair.public_modulus_len() < KeySize::Rsa2048.len() {
            return Err(SigningError::Key);
        }
        Ok(Self::new(Some(kid.to_owned()), pair))
    }

    fn new(kid: Option<String>, pair: KeyPair) -> Self {
        let n = URL_SAFE_NO_PAD.encode(pair.public_key().modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(pair.public_key().exponent().big_endian_without_leading_zero());
        let kid = kid.unwrap_or_else(|| thumbprint(&n, &e));
        let headers = [TokenType::Jwt, TokenType::AccessToken, TokenType::LogoutToken].map(|typ| header(typ, &kid));
        let public = PublicJwk { kty: "RSA".to_owned(), n, e, alg: "RS256".to_owned(), usage: "sig".to_owned(), kid };
        Self { pair, public, headers }
    }

    /// The key's id, the header's `kid`.
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The public half as JWKS publishes it.
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.public
    }

    /// The private key in PKCS#8 (RFC 5208), to be sealed at once.
    pub fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| SigningError::Key)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// The public key as PEM (SubjectPublicKeyInfo), for backends that verify without the network.
    pub fn public_pem(&self) -> Result<String, SigningError> {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(|_| SigningError::Key)?;
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for (position, character) in STANDARD.encode(der.as_ref()).chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        Ok(pem)
    }

    /// Signs `claims` as a JWT of this type: header, claims and signature, compact (RFC 7515 section 7.1).
    pub fn sign(&self, typ: TokenType, claims: &impl Serialize) -> Result<String, SigningError> {
        let [jwt, access_token, logout_token] = &self.headers;
        let header = match typ {
            TokenType::Jwt => jwt,
            TokenType::AccessToken => access_token,
            TokenType::LogoutToken => logout_token,
        };
        let claims = serde_json::to_vec(claims).map_err(|_| SigningError::Claims)?;
        let mut signature = vec![0u8; self.pair.public_modulus_len()];
        let mut token = String::with_capacity(header.len() + (claims.len() + signature.len()) * 4 / 3 + 8);
        token.push_str(header);
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        // PKCS#1 v1.5 signatures take no randomness; the parameter is there for PSS.
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| SigningError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}

fn header(typ: TokenType, kid: &str) -> String {
    let json = serde_json::json!({ "alg": "RS256", "typ": typ.as_str(), "kid": kid }).to_string();
    let mut header = URL_SAFE_NO_PAD.encode(json);
    header.push('.');
    header
}

/// RFC 7638: SHA-256 over the required members in alphabetical order.
fn thumbprint(n: &str, e: &str) -> String {
    let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::LazyLock;

    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

    /// Verification by the JWT crate's own path, which shares nothing with the signer.
    #[expect(clippy::disallowed_methods, reason = "the independent check of our signer")]
    fn decode(token: &str, key: &jsonwebtoken::DecodingKey) -> Option<jsonwebtoken::TokenData<Value>> {
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode(token, key, &validation).ok()
    }

    fn decoding_key(jwk: &PublicJwk) -> jsonwebtoken::DecodingKey {
        jsonwebtoken::DecodingKey::from_rsa_components(&jwk.n, &jwk.e).unwrap()
    }

    #[test]
    fn thumbprint_gives_the_vector_of_the_rfc() {
        // RFC 7638 section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3\
                 oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA\
                 ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-\
                 kEgU8awapJzKnqDKgw";
        assert_eq!(thumbprint(n, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn signs_what_another_implementation_verifies() {
        for (typ, name) in
            [(TokenType::Jwt, "JWT"), (TokenType::AccessToken, "at+jwt"), (TokenType::LogoutToken, "logout+jwt")]
        {
            let claims = json!({ "sub": "user_1", "iat": 1, "name": "Ünïcödé \u{1F600}" });
            let token = KEY.sign(typ, &claims).unwrap();
            let read = decode(&token, &decoding_key(KEY.public_jwk())).unwrap();
            assert_eq!(read.claims, claims);
            assert_eq!(read.header.typ.as_deref(), Some(name));
            assert_eq!(read.header.kid.as_deref(), Some(KEY.kid()));
        }
    }

    #[test]
    fn the_pem_is_the_same_key() {
        let token = KEY.sign(TokenType::Jwt, &json!({ "sub": "user_1" })).unwrap();
        let pem = KEY.public_pem().unwrap();
        assert!(decode(&token, &jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap()).is_some());
        assert!(pem.lines().all(|line| line.len() <= 64));
        let foreign = SigningKey::generate().unwrap();
        assert!(decode(&token, &decoding_key(foreign.public_jwk())).is_none());
    }

    #[test]
    fn a_stored_key_is_the_same_key() {
        let stored = SigningKey::from_pkcs8(KEY.kid(), &KEY.pkcs8().unwrap()).unwrap();
        assert_eq!(stored.public_jwk(), KEY.public_jwk());
        let claims = json!({ "sub": "user_1" });
        assert_eq!(stored.sign(TokenType::Jwt, &claims), KEY.sign(TokenType::Jwt, &claims));
        let renamed = SigningKey::from_pkcs8("imported", &KEY.pkcs8().unwrap()).unwrap();
        assert_eq!(renamed.kid(), "imported");
    }

    #[test]
    fn refuses_what_is_no_key() {
        let der = KEY.pkcs8().unwrap();
        for bytes in [&[][..], b"key", &der[1..], &der[..der.len() - 1]] {
            assert_eq!(SigningKey::from_pkcs8("kid", bytes).err(), Some(SigningError::Key));
        }
    }

    #[test]
    fn the_jwk_has_public_members_only() {
        let jwk = serde_json::to_value(KEY.public_jwk()).unwrap();
        let mut members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(jwk["use"], "sig");
        assert_eq!(jwk["e"], "AQAB");
    }

    #[test]
    fn claims_without_a_json_form_are_an_error() {
        let claims = std::collections::HashMap::from([((1, 2), "x")]);
        assert_eq!(KEY.sign(TokenType::Jwt, &claims), Err(SigningError::Claims));
    }
}
