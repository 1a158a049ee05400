//! Sealing: secrets that must be readable again (providers' tokens, TOTP seeds, PKCE verifiers, signing keys).
//!
//! AES-256-GCM under a key derived by HKDF per instance and table. Layout of a `_sealed` column:
//! `1 ‖ length of the key id ‖ key id ‖ 12-byte nonce ‖ ciphertext ‖ 16-byte tag`. The associated data name the place
//! (table, column, row, instance), so that a value copied to another user's row does not open.

use super::ring::{KeyRing, RingKey};
use super::secret::Secret;
use crate::model::random::Rng;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use std::sync::atomic::Ordering;
use zeroize::Zeroizing;

const VERSION: u8 = 1;

/// Tables that had another name when some of their values were sealed, and that name.
const FORMER_TABLES: [(&str, &str); 1] = [("provider_authorizations", "social_flows")];

/// The one place where a sealed value belongs. The writer and the reader must name it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedAt<'a> {
    /// The table.
    pub table: &'static str,
    /// The `_sealed` column.
    pub column: &'static str,
    /// The row's id (for a composite key, its parts as the store writes them).
    pub row: &'a str,
    /// The instance the row belongs to.
    pub instance: &'a str,
}

/// Why a value could not be sealed or opened. A [`SealError::Forged`] is worth an alarm: somebody moved or changed a
/// value, or the ring's secret is not the one that sealed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short, or its key id is no key id.
    #[error("not a sealed value")]
    Malformed,
    /// Written by a version of the server that knows more.
    #[error("sealed in form {0}, which this version does not know")]
    Version(u8),
    /// The ring no longer (or not yet) holds the key.
    #[error("sealed under key \"{key_id}\", which is not in the key ring")]
    UnknownKey {
        /// The id that the value names.
        key_id: String,
    },
    /// Changed, moved to another place, or sealed under another secret of the same id.
    #[error("a sealed value of {table}.{column} does not open: changed, moved, or another key of the same id")]
    Forged {
        /// The table it was read from.
        table: &'static str,
        /// The column it was read from.
        column: &'static str,
    },
    /// It opened, but what was inside is not text.
    #[error("a sealed value of {table}.{column} is not text")]
    NotText {
        /// The table it was read from.
        table: &'static str,
        /// The column it was read from.
        column: &'static str,
    },
    /// The crypto library refused to seal: longer than AES-GCM allows.
    #[error("sealing failed")]
    Seal,
}

impl KeyRing {
    /// Seals `plaintext` for its place, under the writing key.
    pub fn seal(&self, rng: &dyn Rng, at: &SealedAt<'_>, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let ring_key = self.first();
        let mut nonce = [0u8; NONCE_LEN];
        rng.fill(&mut nonce);
        let key = place_key(ring_key, at).map_err(|_| SealError::Seal)?;
        let mut secret = Zeroizing::new(plaintext.to_vec());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), associated_data(at), secret.as_mut_slice())
            .map_err(|_| SealError::Seal)?;
        ring_key.seals.fetch_add(1, Ordering::Relaxed);
        let mut sealed = header(&ring_key.id);
        sealed.reserve_exact(NONCE_LEN + secret.len() + tag.as_ref().len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&secret);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a value read from `at`, with whichever key of the ring it names. The plaintext is wiped on drop.
    pub fn open(&self, at: &SealedAt<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let parts = split(sealed)?;
        let ring_key =
            self.key(parts.key_id).ok_or_else(|| SealError::UnknownKey { key_id: parts.key_id.to_owned() })?;
        let former = FORMER_TABLES.iter().find(|(table, _)| *table == at.table);
        open_at(ring_key, at, &parts)
            .or_else(|refused| {
                former.map_or(Err(refused), |(_, table)| open_at(ring_key, &SealedAt { table, ..*at }, &parts))
            })
            .map_err(|_| SealError::Forged { table: at.table, column: at.column })
    }

    /// Opens a value that holds text.
    pub fn open_text(&self, at: &SealedAt<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let bytes = self.open(at, sealed)?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| SealError::NotText { table: at.table, column: at.column })?;
        Ok(Secret::from(text))
    }
}

fn open_at(key: &RingKey, at: &SealedAt<'_>, parts: &Parts<'_>) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let key = place_key(key, at)?;
    let mut text = Zeroizing::new(parts.ciphertext_and_tag.to_vec());
    let nonce = Nonce::assume_unique_for_key(parts.nonce);
    let length = key.open_in_place(nonce, associated_data(at), text.as_mut_slice())?.len();
    text.truncate(length);
    Ok(text)
}

/// The id of the key that a value is sealed under, whether or not the ring has it: for counting and resealing.
pub fn sealed_under(sealed: &[u8]) -> Result<&str, SealError> {
    split(sealed).map(|parts| parts.key_id)
}

/// The first bytes of every value sealed under this key: `… where left(column, n) = header` counts them in SQL.
pub fn header(key_id: &str) -> Vec<u8> {
    let mut header = Vec::with_capacity(2 + key_id.len());
    header.push(VERSION);
    header.push(u8::try_from(key_id.len()).unwrap_or(u8::MAX));
    header.extend_from_slice(key_id.as_bytes());
    header
}

struct Parts<'a> {
    key_id: &'a str,
    nonce: [u8; NONCE_LEN],
    ciphertext_and_tag: &'a [u8],
}

fn split(sealed: &[u8]) -> Result<Parts<'_>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError::Malformed)?;
    if *version != VERSION {
        return Err(SealError::Version(*version));
    }
    let (length, rest) = rest.split_first().ok_or(SealError::Malformed)?;
    let (key_id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(SealError::Malformed)?;
    // Only what could be an id goes on: it ends up in error messages.
    let is_plain = key_id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_');
    let key_id =
        std::str::from_utf8(key_id).ok().filter(|id| is_plain && !id.is_empty()).ok_or(SealError::Malformed)?;
    let (nonce, ciphertext_and_tag) = rest.split_first_chunk().ok_or(SealError::Malformed)?;
    if ciphertext_and_tag.len() < AES_256_GCM.tag_len() {
        return Err(SealError::Malformed);
    }
    Ok(Parts { key_id, nonce: *nonce, ciphertext_and_tag })
}

/// The AES key of one table of one instance. A key of its own per tenant keeps the count of random nonces per key far
/// from the 2^32 where AES-GCM's become doubtful (NIST SP 800-38D section 8.3).
fn place_key(key: &RingKey, at: &SealedAt<'_>) -> Result<LessSafeKey, Unspecified> {
    let info = framed(&[at.instance, at.table]);
    let unbound = UnboundKey::from(key.seal.expand(&[info.as_slice()], &AES_256_GCM)?);
    Ok(LessSafeKey::new(unbound))
}

fn associated_data(at: &SealedAt<'_>) -> Aad<Vec<u8>> {
    Aad::from(framed(&[at.table, at.column, at.row, at.instance]))
}

/// Parts with their lengths in front: no two different lists give the same bytes.
fn framed(parts: &[&str]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        framed.extend_from_slice(part.as_bytes());
    }
    framed
}

#[cfg(test)]
mod tests {
    use super::super::secret::{ExposeSecret, SystemRng};
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "new:/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";
    const AT: SealedAt<'static> =
        SealedAt { table: "provider_tokens", column: "access_token_sealed", row: "eac_1", instance: "ins_1" };
    const FORGED: SealError = SealError::Forged { table: "provider_tokens", column: "access_token_sealed" };

    fn ring(setting: &str) -> KeyRing {
        KeyRing::parse(setting).unwrap()
    }

    #[test]
    fn opens_what_it_sealed() {
        let ring = ring(OLD);
        for text in ["", "ya29.a0", &"x".repeat(70_000)] {
            let sealed = ring.seal(&SystemRng, &AT, text.as_bytes()).unwrap();
            assert_eq!(ring.open(&AT, &sealed).unwrap().as_slice(), text.as_bytes());
            assert_eq!(ring.open_text(&AT, &sealed).unwrap().expose_secret(), text);
        }
        let sealed = ring.seal(&SystemRng, &AT, &[0xff]).unwrap();
        let refusal = ring.open_text(&AT, &sealed).err();
        assert_eq!(refusal, Some(SealError::NotText { table: AT.table, column: AT.column }));
    }

    #[test]
    fn has_the_layout_of_its_description() {
        struct Fixed;
        impl Rng for Fixed {
            fn fill(&self, buffer: &mut [u8]) {
                buffer.fill(9);
            }
        }
        let sealed = ring(OLD).seal(&Fixed, &AT, b"token").unwrap();
        assert_eq!(&sealed[..5], b"\x01\x03old");
        assert_eq!(sealed[..5], header("old"));
        assert_eq!(sealed[5..17], [9; 12]);
        assert_eq!(sealed.len(), 17 + 5 + 16);
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(sealed_under(&sealed), Ok("old"));
    }

    #[test]
    fn sealing_twice_gives_different_values() {
        let ring = ring(OLD);
        let sealed = || ring.seal(&SystemRng, &AT, b"token").unwrap();
        assert_ne!(sealed(), sealed());
    }

    #[test]
    fn no_changed_bit_opens() {
        let ring = ring(&format!("{OLD},{NEW}"));
        let sealed = ring.seal(&SystemRng, &AT, b"secret").unwrap();
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[index] ^= 1 << bit;
                assert!(ring.open(&AT, &changed).is_err(), "byte {index}, bit {bit}");
            }
        }
        for length in 0..sealed.len() {
            assert!(ring.open(&AT, &sealed[..length]).is_err(), "cut to {length}");
        }
        let longer: Vec<u8> = sealed.iter().copied().chain([0]).collect();
        assert_eq!(ring.open(&AT, &longer), Err(FORGED));
    }

    #[test]
    fn a_moved_value_does_not_open() {
        let ring = ring(OLD);
        let sealed = ring.seal(&SystemRng, &AT, b"secret").unwrap();
        let elsewhere = [
            SealedAt { row: "eac_2", ..AT },
            SealedAt { instance: "ins_2", ..AT },
            SealedAt { column: "refresh_token_sealed", ..AT },
            SealedAt { table: "provider_authorizations", ..AT },
            // The same letters, cut elsewhere: the frame tells them apart.
            SealedAt { row: "eac_1ins", instance: "_1", ..AT },
            SealedAt { table: "provider_tokensa", column: "ccess_token_sealed", ..AT },
        ];
        for at in elsewhere {
            let refusal = ring.open(&at, &sealed).err();
            assert_eq!(refusal, Some(SealError::Forged { table: at.table, column: at.column }), "{at:?}");
        }
    }

    #[test]
    fn after_a_rotation_old_values_open_and_new_ones_are_sealed_under_the_new_key() {
        let (before, after, finished) = (ring(OLD), ring(&format!("{NEW},{OLD}")), ring(NEW));
        let old = before.seal(&SystemRng, &AT, b"secret").unwrap();
        assert_eq!(after.open(&AT, &old).unwrap().as_slice(), b"secret");
        let new = after.seal(&SystemRng, &AT, b"secret").unwrap();
        assert_eq!(sealed_under(&new), Ok("new"));
        assert_eq!(finished.open(&AT, &new).unwrap().as_slice(), b"secret");
        assert_eq!(finished.open(&AT, &old), Err(SealError::UnknownKey { key_id: "old".to_owned() }));
    }

    #[test]
    fn another_secret_under_the_same_id_does_not_open() {
        let sealed = ring(OLD).seal(&SystemRng, &AT, b"secret").unwrap();
        assert_eq!(ring(&NEW.replace("new:", "old:")).open(&AT, &sealed), Err(FORGED));
    }

    #[test]
    fn counts_seals_until_they_are_taken() {
        let ring = ring(&format!("{NEW},{OLD}"));
        assert_eq!(ring.take_seals(), []);
        for _ in 0..3 {
            ring.seal(&SystemRng, &AT, b"secret").unwrap();
        }
        assert_eq!(ring.take_seals(), [("new".to_owned(), 3)]);
        assert_eq!(ring.take_seals(), []);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_open_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ring = ring(OLD);
            prop_assert!(ring.open(&AT, &bytes).is_err());
            let mut with_header = header("old");
            with_header.extend_from_slice(&bytes);
            prop_assert!(ring.open(&AT, &with_header).is_err());
            let _ = sealed_under(&bytes);
        }

        #[test]
        fn every_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..2_000), row in ".{0,40}") {
            let ring = ring(OLD);
            let at = SealedAt { row: &row, ..AT };
            let sealed = ring.seal(&SystemRng, &at, &text).unwrap();
            let opened = ring.open(&at, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
        }
    }
}
