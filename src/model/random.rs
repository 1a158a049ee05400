//! Randomness as the rest of this crate sees it, and the alphabets we write it in.

/// A source of cryptographically secure random bytes.
pub trait Rng: Send + Sync {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The alphabet of ids, client ids and secret keys, in ASCII order so that ids sort by time.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` uniformly distributed base62 characters (5.95 bits each).
pub fn base62(rng: &dyn Rng, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 64];
    while text.len() < length {
        rng.fill(&mut bytes);
        // 248 = 4 × 62: larger bytes are thrown away, else the first characters would be more likely.
        let fresh = bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| BASE62.get(usize::from(byte % 62)));
        text.extend(fresh.take(length - text.len()).map(|byte| char::from(*byte)));
    }
    text
}

/// `length` uniformly distributed decimal digits: one-time codes.
pub fn digits(rng: &dyn Rng, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0u8; 16];
    while text.len() < length {
        rng.fill(&mut bytes);
        // 250 = 25 × 10: larger bytes are thrown away, else small digits would be more likely.
        let fresh = bytes.iter().filter(|byte| **byte < 250).map(|byte| char::from(b'0' + byte % 10));
        text.extend(fresh.take(length - text.len()));
    }
    text
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 random bytes in base64url without padding (43 characters, 256 bits): states, cookies, tokens.
pub fn token(rng: &dyn Rng) -> String {
    use base64::Engine;
    let mut bytes = [0u8; 32];
    rng.fill(&mut bytes);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
