//! Why a token was refused, one variant per cause: the reasons of a failed flow are derived from them.

/// Why a token is not believed. Texts from the token are cut and stripped of control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// Longer than 16 KiB.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// Not three parts of strict base64url with JSON objects in the first two.
    #[error("the token is not a signed JWT in compact form")]
    Malformed,
    /// `alg` is not one that this use allows.
    #[error("the token is signed with {found}, which is not allowed here")]
    Algorithm {
        /// The token's `alg`.
        found: String,
    },
    /// `crit` names extensions, and we know none.
    #[error("the token demands extensions (crit)")]
    Critical,
    /// The issuer's key set has no key of this `kid` (or not exactly one without `kid`) that fits the algorithm.
    /// Worth one refetch of the set.
    #[error("no key of the issuer fits the token (kid {kid:?})")]
    Key {
        /// The token's `kid`.
        kid: Option<String>,
    },
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim that must be there is not.
    #[error("the token has no claim \"{0}\"")]
    MissingClaim(&'static str),
    /// A claim is there but has a wrong JSON type or form.
    #[error("the token's claim \"{0}\" has a wrong type")]
    WrongClaimType(&'static str),
    /// `iss` is another's.
    #[error("the token's issuer is {found:?}, expected {expected:?}")]
    Issuer {
        /// What it must be.
        expected: String,
        /// The token's `iss`.
        found: String,
    },
    /// We are not in `aud`.
    #[error("the token is for {found:?}, not for us")]
    Audience {
        /// The token's `aud`, separated by blanks.
        found: String,
    },
    /// There are several audiences, and another one asked for the token.
    #[error("the token was issued to {found:?}, not to us")]
    AuthorizedParty {
        /// The token's `azp`.
        found: String,
    },
    /// `exp` has come.
    #[error("the token expired {by} s ago")]
    Expired {
        /// Seconds since `exp`, leeway not taken off.
        by: i64,
    },
    /// `iat` lies ahead of our clock by more than the leeway.
    #[error("the token was issued {by} s in the future")]
    IssuedInFuture {
        /// Seconds until `iat`.
        by: i64,
    },
    /// `nbf` lies ahead of our clock by more than the leeway.
    #[error("the token is valid only in {by} s")]
    NotYetValid {
        /// Seconds until `nbf`.
        by: i64,
    },
    /// A token of another kind.
    #[error("the token's type is {found:?}, which is not the kind asked for")]
    Type {
        /// The header's `typ`.
        found: Option<String>,
    },
    /// `nonce` is not the one that was sent.
    #[error("the token's nonce is not the one that was sent")]
    Nonce,
}

/// A foreign text as operators may see it: at most 200 characters, none of them a control character.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}
