//! The key ring: ordered 32-byte secrets from the configuration, never in the database. The first one writes, all read.
//!
//! No secret of the ring is used directly: HKDF-SHA-256 (RFC 5869) gives one sub-key per purpose, so that a weakness in
//! one use says nothing about another.

use super::label::{CookieUse, Lookup};
use super::ring_entry::{RingEntry, RingError};
use super::secret::{LookupHash, same};
use crate::model::random::Rng;
use aws_lc_rs::{error::Unspecified, hkdf, hmac};
use base64::Engine;
use std::sync::atomic::{AtomicU64, Ordering};

const SALT: &[u8] = b"vestibule key ring v1";

/// Sub-keys of one secret; the secret itself is not stored.
pub(super) struct RingKey {
    pub(super) id: String,
    pub(super) seal: hkdf::Prk,
    lookup: hmac::Key,
    refresh_chain: hmac::Key,
    cookie: hmac::Key,
    simulator: hmac::Key,
    check: [u8; 32],
    /// Values sealed since the last [`KeyRing::take_seals`].
    pub(super) seals: AtomicU64,
}

impl RingKey {
    fn derive(id: &str, secret: &[u8]) -> Result<Self, Unspecified> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
        let mac = |label: &[u8]| Ok::<_, Unspecified>(hmac::Key::from(root.expand(&[label], hmac::HMAC_SHA256)?));
        let check = hmac::sign(&mac(b"check")?, b"vestibule");
        Ok(Self {
            id: id.to_owned(),
            seal: hkdf::Prk::from(root.expand(&[b"seal"], hkdf::HKDF_SHA256)?),
            lookup: mac(b"lookup")?,
            refresh_chain: mac(b"refresh-chain")?,
            cookie: mac(b"cookie")?,
            simulator: mac(b"simulator")?,
            check: bytes(check),
            seals: AtomicU64::new(0),
        })
    }

    fn lookup_hash(&self, label: Lookup<'_>, value: &str) -> LookupHash {
        let (name, part) = label.label();
        let mut context = hmac::Context::with_key(&self.lookup);
        context.update(name.as_bytes());
        context.update(part.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        LookupHash::new(bytes(context.sign()))
    }

    fn cookie_mac(&self, purpose: CookieUse, parts: &[&str]) -> [u8; 32] {
        framed_mac(&self.cookie, purpose.label(), parts)
    }
}

/// The ring: never empty, ids and secrets unique. Shared by reference; has no `Debug`.
pub struct KeyRing {
    first: RingKey,
    older: Vec<RingKey>,
}

impl KeyRing {
    /// Reads the form of `VESTIBULE_KEYS`: `id:base64,id:base64`, blanks around entries ignored.
    pub fn parse(setting: &str) -> Result<Self, RingError> {
        if setting.trim().is_empty() {
            return Err(RingError::Empty);
        }
        let mut entries = Vec::new();
        for (index, entry) in setting.split(',').enumerate() {
            let Some((id, secret)) = entry.trim().split_once(':') else {
                return Err(RingError::Form { position: index + 1 });
            };
            entries.push(RingEntry { id: id.to_owned(), secret: secret.to_owned().into() });
        }
        Self::from_entries(&entries)
    }

    /// Reads entries in their order: the first one writes.
    pub fn from_entries(entries: &[RingEntry]) -> Result<Self, RingError> {
        let mut keys: Vec<RingKey> = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let secret = entry.read(index + 1)?;
            let key =
                RingKey::derive(&entry.id, &secret).map_err(|_| RingError::Derivation { id: entry.id.clone() })?;
            for earlier in &keys {
                if earlier.id == key.id {
                    return Err(RingError::DuplicateId { id: key.id });
                }
                if same(&earlier.check, &key.check) {
                    return Err(RingError::DuplicateSecret { first: earlier.id.clone(), second: key.id });
                }
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(RingError::Empty)?;
        Ok(Self { first, older: keys.collect() })
    }

    /// A ring of one new random key.
    pub fn generate(rng: &dyn Rng) -> Result<Self, RingError> {
        Self::from_entries(&[RingEntry::generate(rng)])
    }

    /// The id of the key that writes.
    pub fn first_id(&self) -> &str {
        &self.first.id
    }

    /// All ids, the writing key's first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys().map(|key| key.id.as_str())
    }

    /// How many keys there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        1 + self.older.len()
    }

    /// A keyed hash of a constant, for `ring_keys.check_hash`: a wrong secret under a known id is noticed at start.
    /// `None` if the ring has no such key.
    pub fn check_hash(&self, key_id: &str) -> Option<[u8; 32]> {
        self.key(key_id).map(|key| key.check)
    }

    /// The hash to store and to look for first, under the writing key.
    pub fn lookup_hash(&self, label: Lookup<'_>, value: &str) -> LookupHash {
        self.first.lookup_hash(label, value)
    }

    /// The hash under the key that a row names; `None` if the ring no longer has it.
    pub fn lookup_hash_under(&self, key_id: &str, label: Lookup<'_>, value: &str) -> Option<LookupHash> {
        self.key(key_id).map(|key| key.lookup_hash(label, value))
    }

    /// Key id and hash under each older key, newest first: for the second try after a miss. Empty with one key.
    pub fn older_lookup_hashes<'a>(
        &'a self,
        label: Lookup<'a>,
        value: &'a str,
    ) -> impl Iterator<Item = (&'a str, LookupHash)> {
        self.older.iter().map(move |key| (key.id.as_str(), key.lookup_hash(label, value)))
    }

    /// The hashes under all keys, the writing key's first: for a comparison with a row found by something else.
    pub fn lookup_hashes(&self, label: Lookup<'_>, value: &str) -> Vec<LookupHash> {
        self.keys().map(|key| key.lookup_hash(label, value)).collect()
    }

    /// The random part of the one successor of a refresh token: HMAC-SHA-256 under `refresh-chain` of the key that
    /// the family's row names. `None` if the ring no longer has that key: the family can not go on.
    pub fn refresh_successor(&self, key_id: &str, token: &str) -> Option<[u8; 32]> {
        self.key(key_id).map(|key| bytes(hmac::sign(&key.refresh_chain, token.as_bytes())))
    }

    /// Signs parts that travel through the browser, as base64url (43 characters).
    pub fn cookie_mac(&self, purpose: CookieUse, parts: &[&str]) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.first.cookie_mac(purpose, parts))
    }

    /// True if `presented` is what [`Self::cookie_mac`] made of these parts, under any key of the ring.
    pub fn is_cookie_mac(&self, purpose: CookieUse, parts: &[&str], presented: &str) -> bool {
        let Ok(presented) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(presented) else {
            return false;
        };
        self.keys().any(|key| same(&key.cookie_mac(purpose, parts), &presented))
    }

    /// 32 bytes for the simulator (its client secrets), the same for the same parts as long as the first key stays.
    pub fn simulator_bytes(&self, purpose: &'static str, parts: &[&str]) -> [u8; 32] {
        framed_mac(&self.first.simulator, purpose, parts)
    }

    /// Values sealed under each key since the last call: for `ring_keys.seals`. Keys without a seal are left out.
    pub fn take_seals(&self) -> Vec<(String, u64)> {
        let counts = self.keys().map(|key| (key.id.clone(), key.seals.swap(0, Ordering::Relaxed)));
        counts.filter(|(_, seals)| *seals > 0).collect()
    }

    pub(super) fn first(&self) -> &RingKey {
        &self.first
    }

    pub(super) fn key(&self, key_id: &str) -> Option<&RingKey> {
        self.keys().find(|key| key.id == key_id)
    }

    fn keys(&self) -> impl Iterator<Item = &RingKey> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

/// HMAC-SHA-256 over the label and each part with its length in front, so that moving a character from one part to
/// the next gives another value.
fn framed_mac(key: &hmac::Key, label: &str, parts: &[&str]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in std::iter::once(&label).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    bytes(context.sign())
}

/// The 32 bytes of an HMAC-SHA-256 tag.
fn bytes(tag: hmac::Tag) -> [u8; 32] {
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::secret::{ExposeSecret, SystemRng};
    use super::*;

    const OLD: &str = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "new:/+7dzLuqmYh3ZlVEMyIRAP/u3cy7qpmId2ZVRDMiEQA=";

    fn ring(entries: &[&str]) -> KeyRing {
        KeyRing::parse(&entries.join(",")).unwrap()
    }

    fn refusal(setting: &str) -> RingError {
        KeyRing::parse(setting).err().unwrap()
    }

    #[test]
    fn reads_entries_in_order() {
        let ring = KeyRing::parse(&format!(" {NEW} ,\n{OLD}\n")).unwrap();
        assert_eq!(ring.first_id(), "new");
        assert_eq!(ring.ids().collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!(ring.len(), 2);
    }

    #[test]
    fn refuses_settings_that_are_no_ring() {
        assert_eq!(refusal(""), RingError::Empty);
        assert_eq!(refusal("  \n"), RingError::Empty);
        assert_eq!(KeyRing::from_entries(&[]).err(), Some(RingError::Empty));
        assert_eq!(refusal("AAECAwQF"), RingError::Form { position: 1 });
        assert_eq!(refusal(&format!("{OLD},")), RingError::Form { position: 2 });
        assert_eq!(refusal(&format!("{OLD},:x")), RingError::Id { position: 2 });
        assert_eq!(refusal(&format!("{OLD},{OLD}")), RingError::DuplicateId { id: "old".to_owned() });
        let copied = OLD.replace("old:", "copy:");
        let (first, second) = ("old".to_owned(), "copy".to_owned());
        assert_eq!(refusal(&format!("{OLD},{copied}")), RingError::DuplicateSecret { first, second });
    }

    #[test]
    fn no_error_repeats_a_secret() {
        let secret = OLD.trim_start_matches("old:");
        for setting in [secret.to_owned(), format!("{OLD},{OLD}"), format!("a b:{secret}"), format!("x:{secret}!")] {
            let error = refusal(&setting);
            assert!(!format!("{error} {error:?}").contains("AAECAw"), "{error}");
        }
    }

    /// The whole derivation once more with plain HMAC, after RFC 5869 sections 2.2 and 2.3.
    #[test]
    fn lookup_hash_is_hmac_under_the_hkdf_sub_key() {
        let mac = |key: &[u8], text: &[u8]| bytes(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text));
        let secret: Vec<u8> = (0..32).collect();
        let lookup_key = mac(&mac(SALT, &secret), b"lookup\x01");
        let wanted = mac(&lookup_key, b"authorization_code\0abc");
        assert_eq!(ring(&[OLD]).lookup_hash(Lookup::AuthorizationCode, "abc").as_bytes(), &wanted);
        let wanted = mac(&lookup_key, b"one_time_code:ver_1\x00424242");
        assert_eq!(ring(&[OLD]).lookup_hash(Lookup::OneTimeCode("ver_1"), "424242").as_bytes(), &wanted);
        let wanted = mac(&mac(&mac(SALT, &secret), b"refresh-chain\x01"), b"ort_x");
        assert_eq!(ring(&[OLD]).refresh_successor("old", "ort_x"), Some(wanted));
    }

    /// RFC 5869 appendix A.1: shows that the library's extract-then-expand is the standard's.
    #[test]
    fn hkdf_gives_the_vector_of_the_rfc() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&[0x0b; 22]);
        let mut okm = [0u8; 32];
        root.expand(&[&info], hkdf::HKDF_SHA256).unwrap().fill(&mut okm).unwrap();
        let hex: String = okm.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }

    #[test]
    fn hashes_differ_by_kind_value_and_key() {
        let (old, new) = (ring(&[OLD]), ring(&[NEW]));
        let hash = old.lookup_hash(Lookup::State, "abc");
        assert_eq!(hash, old.lookup_hash(Lookup::State, "abc"));
        assert_ne!(hash, old.lookup_hash(Lookup::Nonce, "abc"));
        assert_ne!(hash, old.lookup_hash(Lookup::State, "abd"));
        assert_ne!(hash, new.lookup_hash(Lookup::State, "abc"));
        let code = |verification| old.lookup_hash(Lookup::OneTimeCode(verification), "424242");
        assert_ne!(code("ver_1"), code("ver_2"));
    }

    #[test]
    fn a_rotated_ring_finds_what_the_old_one_stored() {
        let (before, after) = (ring(&[OLD]), ring(&[NEW, OLD]));
        let stored = before.lookup_hash(Lookup::SecretKey, "sk_live_1");
        assert_ne!(after.lookup_hash(Lookup::SecretKey, "sk_live_1"), stored);
        assert_eq!(after.older_lookup_hashes(Lookup::SecretKey, "sk_live_1").collect::<Vec<_>>(), [("old", stored)]);
        assert_eq!(after.lookup_hash_under("old", Lookup::SecretKey, "sk_live_1"), Some(stored));
        assert_eq!(after.lookup_hash_under("gone", Lookup::SecretKey, "sk_live_1"), None);
        assert_eq!(after.lookup_hashes(Lookup::SecretKey, "sk_live_1").get(1), Some(&stored));
        assert_eq!(before.older_lookup_hashes(Lookup::SecretKey, "sk_live_1").count(), 0);
    }

    #[test]
    fn the_successor_depends_on_token_and_named_key_alone() {
        let (before, after) = (ring(&[OLD]), ring(&[NEW, OLD]));
        let successor = before.refresh_successor("old", "ort_a").unwrap();
        assert_eq!(after.refresh_successor("old", "ort_a"), Some(successor));
        assert_ne!(after.refresh_successor("new", "ort_a"), Some(successor));
        assert_ne!(after.refresh_successor("old", "ort_b"), Some(successor));
        assert_eq!(before.refresh_successor("new", "ort_a"), None);
    }

    #[test]
    fn check_hash_distinguishes_a_wrong_secret_under_a_known_id() {
        let impostor = KeyRing::parse(&NEW.replace("new:", "old:")).unwrap();
        assert_eq!(ring(&[OLD]).check_hash("old"), ring(&[NEW, OLD]).check_hash("old"));
        assert_ne!(ring(&[OLD]).check_hash("old"), impostor.check_hash("old"));
        assert_eq!(ring(&[OLD]).check_hash("new"), None);
    }

    #[test]
    fn signed_parts_are_believed_as_they_were_and_under_any_key() {
        let (before, after) = (ring(&[OLD]), ring(&[NEW, OLD]));
        let mac = before.cookie_mac(CookieUse::Csrf, &["client_1", "consent"]);
        assert!(after.is_cookie_mac(CookieUse::Csrf, &["client_1", "consent"], &mac));
        assert!(!after.is_cookie_mac(CookieUse::Notice, &["client_1", "consent"], &mac));
        assert!(!after.is_cookie_mac(CookieUse::Csrf, &["client_1c", "onsent"], &mac));
        assert!(!after.is_cookie_mac(CookieUse::Csrf, &["client_1consent"], &mac));
        assert!(!ring(&[NEW]).is_cookie_mac(CookieUse::Csrf, &["client_1", "consent"], &mac));
        for forged in ["", "AAAA", "not base64!", &mac[1..]] {
            assert!(!after.is_cookie_mac(CookieUse::Csrf, &["client_1", "consent"], forged));
        }
    }

    #[test]
    fn simulator_bytes_differ_by_purpose_and_part() {
        let ring = ring(&[OLD]);
        let bytes = ring.simulator_bytes("client_secret", &["ins_1", "google"]);
        assert_eq!(bytes, ring.simulator_bytes("client_secret", &["ins_1", "google"]));
        assert_ne!(bytes, ring.simulator_bytes("client_secret", &["ins_1g", "oogle"]));
        assert_ne!(bytes, ring.simulator_bytes("other", &["ins_1", "google"]));
    }

    #[test]
    fn generated_rings_are_read_back_from_their_setting() {
        let entry = RingEntry::generate(&SystemRng);
        let ring = KeyRing::parse(entry.to_setting().expose_secret()).unwrap();
        assert_eq!(ring.first_id(), entry.id);
        assert_eq!(KeyRing::generate(&SystemRng).unwrap().len(), 1);
    }
}
