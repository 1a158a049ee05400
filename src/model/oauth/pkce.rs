//! Proof key for code exchange (RFC 7636), S256 only: `plain` hides nothing from whoever saw the request.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::text_enum::text_enum;

text_enum! {
    /// How a challenge follows from its verifier (RFC 7636 section 4.3).
    pub enum ChallengeMethod {
        /// Its SHA-256.
        S256 = "S256",
    }
}

/// A well-formed S256 challenge: 43 base64url characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Reads a challenge; `None` unless it is exactly 43 characters of `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Option<Self> {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == 43 && text.bytes().all(base64url)).then(|| Self(text.to_owned()))
    }

    /// The challenge as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The challenge that `verifier` answers; `None` unless it is 43 to 128 unreserved characters (RFC 7636 section 4.1).
pub fn challenge_of(verifier: &str) -> Option<CodeChallenge> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
    well_formed.then(|| CodeChallenge(URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_example_of_the_rfc() {
        let challenge = challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        assert_eq!(challenge.as_str(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_eq!(CodeChallenge::parse(challenge.as_str()), Some(challenge));
    }

    #[test]
    fn refuses_malformed_challenges() {
        let good = "a".repeat(43);
        assert!(CodeChallenge::parse(&good).is_some());
        for text in ["", &good[1..], &format!("{good}a"), &good.replacen('a', "=", 1), &good.replacen('a', "+", 1)] {
            assert_eq!(CodeChallenge::parse(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_malformed_verifiers() {
        let [short, long] = ["a".repeat(43), "a".repeat(128)];
        assert!(challenge_of(&short).is_some() && challenge_of(&long).is_some());
        for text in [&short[1..], &format!("{long}a"), &short.replacen('a', "%", 1), &short.replacen('a', " ", 1)] {
            assert_eq!(challenge_of(text), None, "{text}");
        }
    }
}
