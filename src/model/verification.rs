//! A verification: a code, a link or a provider's answer, asked of one owner.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::serde::rfc3339;

use super::id::VerificationId;
use super::linking::AttemptKind;
use super::strategy::Strategy;
use super::text_enum::text_enum;
use super::time::Timestamp;

/// How long a verification may take, and how long a verified identity may wait for its transfer.
pub const LIFE: time::Duration = time::Duration::minutes(10);

text_enum! {
    /// Where a verification stands.
    pub enum Status {
        /// Asked, not answered.
        Unverified = "unverified",
        /// Verified.
        Verified = "verified",
        /// Verified, but it belongs in the other attempt.
        Transferable = "transferable",
        /// Refused for good.
        Failed = "failed",
    }
}

/// The status people see: expiry is computed, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownStatus {
    /// Asked, not answered.
    Unverified,
    /// Verified.
    Verified,
    /// Verified, but it belongs in the other attempt.
    Transferable,
    /// Refused for good.
    Failed,
    /// Asked, and not answered in time.
    Expired,
}

impl Status {
    /// What a verification that ends at `expires_at` is shown as at `now`.
    pub fn shown(self, expires_at: Timestamp, now: Timestamp) -> ShownStatus {
        match self {
            Self::Unverified if expires_at <= now => ShownStatus::Expired,
            Self::Unverified => ShownStatus::Unverified,
            Self::Verified => ShownStatus::Verified,
            Self::Transferable => ShownStatus::Transferable,
            Self::Failed => ShownStatus::Failed,
        }
    }
}

text_enum! {
    /// What a verification verifies to its owner.
    pub enum Role {
        /// Who signs in, or who is signed in (reverification).
        FirstFactor = "first_factor",
        /// The address of a sign-up, or of a user.
        EmailAddress = "email_address",
        /// The account at a provider that a sign-up begins with, or that a user connects.
        ExternalAccount = "external_account",
    }
}

impl Role {
    /// What a provider's answer verifies to an attempt of this kind.
    pub fn of_provider(kind: AttemptKind) -> Self {
        match kind {
            AttemptKind::SignIn => Self::FirstFactor,
            AttemptKind::SignUp => Self::ExternalAccount,
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
    /// How it is verified.
    pub strategy: Strategy,
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
    /// The status people see at `now`.
    pub fn shown_status(&self, now: Timestamp) -> ShownStatus {
        self.status.shown(self.expires_at, now)
    }

    /// A link that was believed.
    pub fn is_opened_link(&self) -> bool {
        self.strategy == Strategy::EmailLink && self.status == Status::Verified
    }
}
