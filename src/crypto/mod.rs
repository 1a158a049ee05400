//! Keys and secrets: the key ring, sealing, keyed hashes, our RSA signing keys, the one JWT verifier,
//! and the pool that hashes passwords.
//!
//! May name `model`. Never reads the database, the network, the clock or the configuration: callers hand in bytes,
//! a [`Rng`](crate::model::random::Rng) and the present moment. No error and no `Debug` of this module shows a secret.

pub mod jwt;
mod label;
pub mod password;
pub mod ring;
mod ring_entry;
pub mod seal;
pub mod secret;
pub mod signing;

/// SHA-256 of what is no secret: fingerprints of configurations.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data).as_ref());
    hash
}

pub use label::{CookieUse, Lookup};
pub use ring::KeyRing;
pub use ring_entry::{RingEntry, RingError, SAMPLE_SECRET};
pub use seal::{SealError, SealedAt, header};
pub use secret::{ExposeSecret, LookupHash, Secret, SystemRng};
pub use signing::{PublicJwk, SigningError, SigningKey, TokenType};
