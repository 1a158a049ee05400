//! Keys and secrets: the key ring, sealing, keyed hashes, our RSA signing keys and the one JWT verifier.
//!
//! May name `model`. Never reads the database, the network, the clock or the configuration: callers hand in bytes,
//! a [`Rng`](crate::model::random::Rng) and the present moment. No error and no `Debug` of this room shows a secret.

mod entry;
pub mod jwt;
mod label;
pub mod ring;
pub mod seal;
pub mod secret;
pub mod signing;

pub use entry::{RingEntry, RingError, SAMPLE_SECRET};
pub use label::{CookieUse, Lookup};
pub use ring::KeyRing;
pub use seal::{SealError, SealedAt, header};
pub use secret::{ExposeSecret, LookupHash, Secret, SystemRng};
pub use signing::{PublicJwk, SigningError, SigningKey, TokenType};
