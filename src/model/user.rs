//! A user with addresses and external accounts: the tree that both APIs, the client and the pages show.

use serde::Deserialize;
use serde_json::Value;
use time::serde::rfc3339;

use super::id::{ExternalAccountId, IdentificationId, UserId};
use super::settings::LockoutRule;
use super::strategy::{AddressStrategy, ProviderSlug, Strategy};
use super::text_enum::text_enum;
use super::time::Timestamp;

/// A user.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// Names the user.
    pub id: UserId,
    /// The operator's own id for the user.
    pub external_id: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The picture that a provider gave at sign-up.
    pub image_url: Option<String>,
    /// Backend writes, frontend reads.
    pub public_metadata: Value,
    /// Backend only.
    pub private_metadata: Value,
    /// The user writes.
    pub unsafe_metadata: Value,
    /// Set while banned.
    #[serde(with = "rfc3339::option")]
    pub banned_at: Option<Timestamp>,
    /// Set while locked.
    #[serde(with = "rfc3339::option")]
    pub locked_at: Option<Timestamp>,
    /// End of the lock; `None` with `locked_at` = until unlocked.
    #[serde(with = "rfc3339::option")]
    pub locked_until: Option<Timestamp>,
    /// Failed verifications since the last good one.
    pub failed_attempts: i16,
    /// A password opens the account.
    pub has_password: bool,
    /// The user may delete the account.
    pub delete_self_enabled: bool,
    /// The user may create organizations.
    pub create_organization_enabled: bool,
    /// BCP 47.
    pub locale: Option<String>,
    /// When terms were accepted.
    #[serde(with = "rfc3339::option")]
    pub legal_accepted_at: Option<Timestamp>,
    /// The newest sign-in.
    #[serde(with = "rfc3339::option")]
    pub last_sign_in_at: Option<Timestamp>,
    /// The newest day of activity.
    #[serde(with = "rfc3339::option")]
    pub last_active_at: Option<Timestamp>,
    /// Creation.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Last change.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    /// Addresses, the primary one of each kind first.
    pub identifications: Vec<Identification>,
    /// Accounts at providers, oldest first.
    pub external_accounts: Vec<ExternalAccount>,
}

impl User {
    /// The primary e-mail address.
    pub fn primary_email(&self) -> Option<&Identification> {
        self.emails().find(|address| address.is_primary)
    }

    /// The e-mail addresses.
    pub fn emails(&self) -> impl Iterator<Item = &Identification> {
        self.identifications.iter().filter(|address| address.kind == IdentificationKind::EmailAddress)
    }

    /// What tells this user to people: the primary address, else the username, else the id.
    pub fn identifier(&self) -> &str {
        let email = self.primary_email().map(|address| address.value.as_str());
        email.or(self.username.as_deref()).unwrap_or(self.id.as_str())
    }

    /// Given and family name, as far as known.
    pub fn full_name(&self) -> Option<String> {
        let parts: Vec<&str> = [self.first_name.as_deref(), self.last_name.as_deref()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// True while locked at `now`.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.locked_at.is_some() && self.locked_until.is_none_or(|until| until > now)
    }

    /// The failed verifications that strangers have left before the account locks; a lock that is over gave all of them
    /// back.
    pub fn tries_left(&self, rule: LockoutRule, now: Timestamp) -> i16 {
        let is_over = self.locked_at.is_some() && !self.is_locked(now);
        let failed = if is_over { 0 } else { self.failed_attempts };
        rule.attempts.saturating_sub(failed).max(0)
    }
}

/// An address of a user.
#[derive(Clone, Debug, Deserialize)]
pub struct Identification {
    /// Names the address.
    pub id: IdentificationId,
    /// What sort of address it is.
    pub kind: IdentificationKind,
    /// The address as shown.
    pub value: String,
    /// How far it is the user's.
    pub status: IdentificationStatus,
    /// The one of its kind that is used where one is needed.
    pub is_primary: bool,
    /// What verified it, or should.
    pub verification_strategy: Option<AddressStrategy>,
    /// When it was verified.
    #[serde(with = "rfc3339::option")]
    pub verified_at: Option<Timestamp>,
    /// Creation.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Last change.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    /// External accounts that vouch for it.
    pub linked_to: Vec<Link>,
}

/// A sort of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentificationKind {
    /// An e-mail address.
    EmailAddress,
    /// A telephone number.
    PhoneNumber,
    /// A web3 wallet.
    Web3Wallet,
}

text_enum! {
    /// How far an address is its user's.
    pub enum IdentificationStatus {
        /// Claimed, not verified.
        Unverified = "unverified",
        /// Verified; nobody else can have it.
        Verified = "verified",
        /// Set aside by the backend; nobody else can have it.
        Reserved = "reserved",
    }
}

/// An external account that an address is linked to.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct Link {
    /// The provider's strategy.
    #[serde(rename = "type")]
    pub kind: Strategy,
    /// The account's identification.
    pub id: IdentificationId,
}

/// An account of a user at a provider.
#[derive(Clone, Debug, Deserialize)]
pub struct ExternalAccount {
    /// Names the account.
    pub id: ExternalAccountId,
    /// The identification behind it.
    pub identification_id: IdentificationId,
    /// Where it is.
    pub provider: ProviderSlug,
    /// The provider's id; `None` until the first callback.
    pub provider_user_id: Option<String>,
    /// True once verified.
    #[serde(rename = "status", deserialize_with = "is_verified")]
    pub is_verified: bool,
    /// When it was verified first.
    #[serde(with = "rfc3339::option")]
    pub verified_at: Option<Timestamp>,
    /// What is wrong with it, as shown in `verification.error`.
    pub error: Option<Value>,
    /// The address the provider gave last.
    pub email_address: Option<String>,
    /// Given name there.
    pub first_name: Option<String>,
    /// Family name there.
    pub last_name: Option<String>,
    /// Username there.
    pub username: Option<String>,
    /// Picture there.
    pub avatar_url: Option<String>,
    /// Telephone number there.
    pub phone_number: Option<String>,
    /// Scopes the provider granted.
    pub approved_scopes: Vec<String>,
    /// Stored claims.
    pub public_metadata: Value,
    /// The operator's label for it.
    pub label: Option<String>,
    /// End of the authorization that a pending one waits for.
    #[serde(with = "rfc3339::option")]
    pub expires_at: Option<Timestamp>,
    /// Why the last try to approve a verified one again failed. It is as good as it was.
    pub reconnection_error: Option<Value>,
    /// Creation.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Last change.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
}

impl ExternalAccount {
    /// What is shown to be wrong with it.
    pub fn shown_error(&self) -> Option<&Value> {
        self.error.as_ref().or(self.reconnection_error.as_ref())
    }
}

text_enum! {
    /// Where an external account stands.
    pub enum ExternalAccountStatus {
        /// It waits for its identity.
        Pending = "pending",
        /// Its identity was verified.
        Verified = "verified",
    }
}

fn is_verified<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(ExternalAccountStatus::deserialize(deserializer)? == ExternalAccountStatus::Verified)
}

text_enum! {
    /// What locked a user's account.
    pub enum LockReason {
        /// An operator.
        Admin = "admin",
        /// Too many wrong codes or passwords.
        Attempts = "attempts",
    }
}
