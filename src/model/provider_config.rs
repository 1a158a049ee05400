//! How an instance uses a provider.

use std::collections::BTreeMap;

use super::strategy::ProviderSlug;
use super::text_enum::text_enum;
use super::time::Timestamp;

text_enum! {
    /// Whose credentials the provider sees.
    pub enum Credentials {
        /// The operator's own: the real service.
        Custom = "custom",
        /// The simulator's (development instances only).
        Simulated = "simulated",
    }
}

/// A row of an instance's provider configuration.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Which provider.
    pub provider: ProviderSlug,
    /// It is switched on.
    pub is_enabled: bool,
    /// It may be used to sign in and up; otherwise only connected.
    pub is_authenticatable: bool,
    /// A sign-up is not complete without it.
    pub is_required: bool,
    /// Not shown as a button.
    pub is_not_selectable: bool,
    /// Refuses addresses with a subaddress.
    pub blocks_email_subaddresses: bool,
    /// One user may have several accounts there.
    pub allows_multiple_accounts: bool,
    /// Whose credentials.
    pub credentials: Credentials,
    /// The operator's client id.
    pub client_id: Option<String>,
    /// The operator's client secret, sealed.
    pub client_secret_sealed: Option<Vec<u8>>,
    /// Scopes beyond the provider's base ones, in order.
    pub scopes: Vec<String>,
    /// The scopes that an app may ask for beyond those; `None` = any.
    pub allowed_additional_scopes: Option<Vec<String>>,
    /// Grows with every change.
    pub version: i64,
    /// Tenant, host and the like.
    pub parameters: BTreeMap<String, String>,
    /// Set exactly for custom providers: name, endpoints, mapping.
    pub custom: Option<serde_json::Value>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}
