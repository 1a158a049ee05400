//! Who somebody is according to a provider, in one shape for all providers.

use serde::{Deserialize, Serialize};

/// How far the provider's claim about the e-mail address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailTrust {
    /// The provider says that the address was verified; it may link to an existing user.
    Verified,
    /// Nothing verifies the address: a code must, before it links or signs in.
    Unverified,
    /// No flag, but the provider releases confirmed addresses only: enough for a new user, a code before linking.
    ProviderPolicy,
}

impl EmailTrust {
    /// The flag that is stored and shown beside the address (`email_verified`).
    pub const fn counts_as_verified(self) -> bool {
        matches!(self, Self::Verified | Self::ProviderPolicy)
    }
}

/// A person as the provider describes them: trimmed, without control characters, empty values left out.
///
/// The identity is (provider, `provider_user_id`), never the address and never the username.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The provider's stable id, 1 to 255 bytes.
    pub provider_user_id: String,
    /// The address as the provider spells it, if it gave one.
    pub email: Option<String>,
    /// What the provider's claim about `email` is worth; `Unverified` without an address.
    pub email_trust: EmailTrust,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Name at the provider; can change hands there, so it identifies nobody.
    pub username: Option<String>,
    /// Absolute http(s) address of the picture.
    pub avatar_url: Option<String>,
    /// Telephone number as the provider spells it; never counts as verified.
    pub phone: Option<String>,
    /// BCP 47 language tag, where the provider says one.
    pub locale: Option<String>,
    /// Claims that the operator of a custom provider wants stored on the external account.
    #[serde(default)]
    pub public_metadata: serde_json::Map<String, serde_json::Value>,
}
