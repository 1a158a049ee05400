//! A verification: a code, a link or a provider's answer, asked of one owner.

use serde::Deserialize;
use serde_json::Value;
use time::serde::rfc3339;

use super::id::VerificationId;
use super::time::Timestamp;

/// How long a verification may take, and how long a verified identity may wait for its transfer.
pub const LIFE: time::Duration = time::Duration::minutes(10);

/// Where a verification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Asked, not answered.
    Unverified,
    /// Verified.
    Verified,
    /// Verified, but it belongs in the other attempt.
    Transferable,
    /// Refused for good.
    Failed,
}

impl Status {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Transferable => "transferable",
            Self::Failed => "failed",
        }
    }
}

impl Status {
    /// The stored status.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unverified, Self::Verified, Self::Transferable, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What a verification by code or link verifies to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who signs in, or who is signed in (reverification).
    FirstFactor,
    /// The address of a sign-up, or of a user.
    EmailAddress,
}

impl Role {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstFactor => "first_factor",
            Self::EmailAddress => "email_address",
        }
    }
}

/// Wrong guesses after which a code is dead.
pub const GUESSES: i16 = 5;

/// The code that test addresses accept where test mode is on.
pub const TEST_CODE: &str = "424242";

/// A verification as attempts show it.
#[derive(Clone, Debug, Deserialize)]
pub struct Verification {
    /// Names it.
    pub id: VerificationId,
    /// `oauth_google`.
    pub strategy: String,
    /// Where it stands; see [`Verification::shown_status`].
    pub status: Status,
    /// Tries so far.
    pub attempts: i16,
    /// Why it failed, or why it must be transferred.
    pub error: Option<Value>,
    /// The address that it is about, canonical.
    pub address: Option<String>,
    /// When it was sent.
    #[serde(with = "rfc3339::option")]
    pub sent_at: Option<Timestamp>,
    /// When it ends.
    #[serde(with = "rfc3339")]
    pub expires_at: Timestamp,
    /// The provider's authorization URL, sealed (it holds the state), in base64.
    pub external_url_sealed: Option<String>,
    /// The same, opened by whoever may show it.
    #[serde(skip)]
    pub external_url: Option<String>,
}

impl Verification {
    /// The status people see at `now`: expiry is computed, not stored.
    pub fn shown_status(&self, now: Timestamp) -> &'static str {
        if self.status == Status::Unverified && self.expires_at <= now { "expired" } else { self.status.as_str() }
    }
}
