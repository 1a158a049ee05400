//! An issuer's published keys.

use super::algorithm::Algorithm;
use crate::crypto::signing::PublicJwk;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde_json::Value;

/// More keys than any issuer publishes; what comes after them is ignored.
const MAX_KEYS: usize = 100;

/// The usable public keys of one issuer (RFC 7517). Keys that we cannot use are left out, not an error: one odd key
/// must not stop an issuer's other ones.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

#[derive(Clone, Debug)]
struct VerifyingKey {
    kid: Option<String>,
    kind: Kind,
    /// The key's own `alg`: it may be used for nothing else.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// Reads a JWKS document; `None` if it is not one.
    pub fn parse(json: &[u8]) -> Option<Self> {
        Self::from_value(&serde_json::from_slice(json).ok()?)
    }

    /// Reads a JWKS document; `None` if it is not one.
    pub fn from_value(document: &Value) -> Option<Self> {
        let keys = document.get("keys")?.as_array()?;
        Some(Self { keys: keys.iter().take(MAX_KEYS).filter_map(VerifyingKey::read).collect() })
    }

    /// Our own published keys.
    pub fn from_own<'a>(keys: impl IntoIterator<Item = &'a PublicJwk>) -> Self {
        let read = |key: &PublicJwk| VerifyingKey::read(&serde_json::to_value(key).ok()?);
        Self { keys: keys.into_iter().filter_map(read).collect() }
    }

    /// How many usable keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key for a token. Without `kid` there must be exactly one that fits: trying one after the other would let a
    /// token choose.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        let Some(kid) = kid else {
            let only = fitting.next()?;
            return fitting.next().is_none().then_some(&only.key);
        };
        fitting.find(|key| key.kid.as_deref() == Some(kid)).map(|key| &key.key)
    }
}

impl VerifyingKey {
    fn read(value: &Value) -> Option<Self> {
        let algorithm = match value.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::from_name(name.as_str()?)?),
        };
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        if jwk.common.key_operations.as_ref().is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify)) {
            return None;
        }
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Kind::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Kind::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Kind::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Kind::Ed25519,
            // Symmetric keys above all: a published secret is nobody's.
            _ => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { kid: jwk.common.key_id, kind, algorithm, key })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => self.kind == Kind::Rsa,
            Algorithm::Es256 => self.kind == Kind::P256,
            Algorithm::Es384 => self.kind == Kind::P384,
            Algorithm::EdDsa => self.kind == Kind::Ed25519,
            Algorithm::Hs256 => false,
        };
        is_of_kind && self.algorithm.is_none_or(|own| own == algorithm)
    }
}
