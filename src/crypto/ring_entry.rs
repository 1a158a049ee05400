//! Entries of the key ring as the configuration writes them, and what can be wrong with them.

use super::secret::{ExposeSecret, Secret};
use crate::model::random::{Rng, base62};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Bytes of one secret.
pub const SECRET_LENGTH: usize = 32;
/// Longest key id, in bytes: it stands in front of every sealed value.
pub const KEY_ID_LENGTH: usize = 32;
/// The key shown in the reference configuration. Public, therefore refused.
pub const SAMPLE_SECRET: &str = "dmVzdGlidWxlIHNhbXBsZSBrZXksIG5ldmVyIHVzZSE=";

/// Why a key ring could not be read. Names keys by id or position, never by content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// There is no key at all.
    #[error("the key ring is empty: `openssl rand -base64 32` makes a key")]
    Empty,
    /// An entry is not `id:base64`.
    #[error("entry {position} of the key ring is not of the form id:base64")]
    Form {
        /// Counted from 1.
        position: usize,
    },
    /// A key id is empty, too long or has characters other than letters, digits, `-` and `_`.
    #[error("the id of entry {position} of the key ring must be 1 to 32 letters, digits, '-' or '_'")]
    Id {
        /// Counted from 1.
        position: usize,
    },
    /// Two entries have the same id.
    #[error("two entries of the key ring have the id \"{id}\"")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// Two ids stand for the same secret: a rotation that rotates nothing.
    #[error("the key ring's entries \"{first}\" and \"{second}\" hold the same secret")]
    DuplicateSecret {
        /// The earlier entry's id.
        first: String,
        /// The later entry's id.
        second: String,
    },
    /// A secret is not base64.
    #[error("the secret of key \"{id}\" is not base64")]
    Base64 {
        /// The key's id.
        id: String,
    },
    /// A secret is not 32 bytes.
    #[error("the secret of key \"{id}\" has {bytes} bytes, it must have 32 (openssl rand -base64 32)")]
    Length {
        /// The key's id.
        id: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The secret is the published sample.
    #[error("key \"{id}\" is the sample key of the reference configuration, which everybody knows")]
    Sample {
        /// The key's id.
        id: String,
    },
    /// The crypto library refused to derive a sub-key.
    #[error("deriving the sub-keys of key \"{id}\" failed")]
    Derivation {
        /// The key's id.
        id: String,
    },
}

/// One entry of the ring as the configuration writes it.
#[derive(Clone, Debug)]
pub struct RingEntry {
    /// Its name: 1 to 32 letters, digits, `-` or `_`.
    pub id: String,
    /// 32 bytes in base64 (either alphabet, padding optional).
    pub secret: Secret,
}

impl RingEntry {
    /// A new random entry.
    pub fn generate(rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0u8; SECRET_LENGTH]);
        rng.fill(bytes.as_mut_slice());
        let secret = base64::engine::general_purpose::STANDARD.encode(bytes.as_slice());
        Self { id: format!("k{}", base62(rng, 7)), secret: secret.into() }
    }

    /// The entry as `VESTIBULE_KEYS` writes it: `id:base64`.
    pub fn to_setting(&self) -> Secret {
        format!("{}:{}", self.id, self.secret.expose_secret()).into()
    }

    /// The 32 bytes of the secret. `position` (from 1) names the entry in errors about its id.
    pub(super) fn read(&self, position: usize) -> Result<Zeroizing<Vec<u8>>, RingError> {
        let id = self.id.as_str();
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if id.is_empty() || id.len() > KEY_ID_LENGTH || !is_plain {
            return Err(RingError::Id { position });
        }
        let text = self.secret.expose_secret().trim();
        let secret = decode_base64(text).ok_or_else(|| RingError::Base64 { id: id.to_owned() })?;
        if secret.len() != SECRET_LENGTH {
            return Err(RingError::Length { id: id.to_owned(), bytes: secret.len() });
        }
        if decode_base64(SAMPLE_SECRET).is_some_and(|sample| sample == secret) {
            return Err(RingError::Sample { id: id.to_owned() });
        }
        Ok(secret)
    }
}

/// Base64 of either alphabet with or without padding: people paste what their tool printed.
fn decode_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&alphabet::STANDARD, lenient);
    let url_safe = GeneralPurpose::new(&alphabet::URL_SAFE, lenient);
    standard.decode(text).or_else(|_| url_safe.decode(text)).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::SystemRng;

    fn read(secret: &str) -> Result<Zeroizing<Vec<u8>>, RingError> {
        RingEntry { id: "k1".to_owned(), secret: secret.to_owned().into() }.read(1)
    }

    #[test]
    fn reads_both_alphabets_with_and_without_padding() {
        let wanted = vec![0xfb; SECRET_LENGTH];
        let standard = base64::engine::general_purpose::STANDARD.encode(&wanted);
        let url_safe = base64::engine::general_purpose::URL_SAFE.encode(&wanted);
        assert_ne!(standard, url_safe);
        for text in [standard.as_str(), url_safe.as_str()] {
            assert_eq!(*read(text).unwrap(), wanted);
            assert_eq!(*read(text.trim_end_matches('=')).unwrap(), wanted);
            assert_eq!(*read(&format!(" {text}\n")).unwrap(), wanted);
        }
    }

    #[test]
    fn refuses_bad_secrets_by_name() {
        let id = || "k1".to_owned();
        assert_eq!(read("not base64!").unwrap_err(), RingError::Base64 { id: id() });
        assert_eq!(read("").unwrap_err(), RingError::Length { id: id(), bytes: 0 });
        assert_eq!(read("c2hvcnQ=").unwrap_err(), RingError::Length { id: id(), bytes: 5 });
        assert_eq!(read(SAMPLE_SECRET).unwrap_err(), RingError::Sample { id: id() });
        assert_eq!(read(SAMPLE_SECRET.trim_end_matches('=')).unwrap_err(), RingError::Sample { id: id() });
    }

    #[test]
    fn refuses_ids_that_could_be_confused() {
        for id in ["", "a b", "a:b", "ä", &"x".repeat(33)] {
            let entry = RingEntry { id: id.to_owned(), secret: RingEntry::generate(&SystemRng).secret };
            assert_eq!(entry.read(3).unwrap_err(), RingError::Id { position: 3 }, "{id}");
        }
    }

    #[test]
    fn generated_entries_are_readable_and_new() {
        let (a, b) = (RingEntry::generate(&SystemRng), RingEntry::generate(&SystemRng));
        assert_ne!(*a.read(1).unwrap(), *b.read(1).unwrap());
        assert_ne!(a.id, b.id);
        assert_eq!(a.to_setting().expose_secret(), format!("{}:{}", a.id, a.secret.expose_secret()));
    }
}
