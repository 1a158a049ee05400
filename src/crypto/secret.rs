//! Secrets in memory, the operating system's randomness, keyed hashes and constant-time comparison.

use crate::model::random::Rng;
use subtle::ConstantTimeEq;

pub use secrecy::ExposeSecret;

/// A text nobody may print: `Debug` is redacted, there is no `Display` or `Serialize`, memory is wiped on drop.
/// The text is handed out only by [`ExposeSecret::expose_secret`].
pub type Secret = secrecy::SecretString;

/// The operating system's CSPRNG: the one source of randomness outside tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(clippy::disallowed_methods, reason = "the one implementation of Rng")]
    fn fill(&self, buffer: &mut [u8]) {
        // Without randomness every secret we make could be guessed: nothing we do afterwards would be worth doing.
        if aws_lc_rs::rand::fill(buffer).is_err() {
            std::process::abort();
        }
    }
}

/// `HMAC-SHA-256(lookup key, label ‖ 0 ‖ value)`: what the database keeps of a token, code, state or secret key.
///
/// A `bytea` column. Made by [`KeyRing::lookup_hash`](super::ring::KeyRing::lookup_hash) only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct LookupHash([u8; 32]);

impl LookupHash {
    /// Wraps the 32 bytes of a keyed hash.
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes as the column holds them.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for LookupHash {
    /// Shows no byte: log lines with hashes would let a log reader join them with a copy of the database.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LookupHash(…)")
    }
}

/// True if both byte strings are equal; the time taken tells only whether their lengths are.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_randomness_fills_and_differs() {
        let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
        SystemRng.fill(&mut a);
        SystemRng.fill(&mut b);
        assert_ne!(a, [0; 32]);
        assert_ne!(a, b);
    }

    #[test]
    fn compares_by_content_and_length() {
        assert!(same(b"", b""));
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
    }

    #[test]
    fn debug_output_shows_nothing() {
        assert_eq!(format!("{:?}", LookupHash::new([171; 32])), "LookupHash(…)");
        assert!(!format!("{:?}", Secret::from("hunter2".to_owned())).contains("hunter2"));
    }
}
