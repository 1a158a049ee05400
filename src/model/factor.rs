//! A way into an account, as an attempt shows it.

use super::email::EmailAddress;
use super::id::IdentificationId;

/// The strategy by which somebody who forgot their password chooses a new one: a code to their address.
pub const RESET: &str = "reset_password_email_code";

/// A factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// `password`, `email_code`, `email_link`, `reset_password_email_code`, `oauth_google`.
    pub strategy: String,
    /// The address, for factors that are about one.
    pub address: Option<FactorAddress>,
}

/// The address behind a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorAddress {
    /// The id by which the factor is chosen. Where answers must not tell who has an account it is made from the
    /// attempt's.
    pub id: String,
    /// The address.
    pub value: EmailAddress,
    /// The user's own id of it; `None` where nobody is known to have it.
    pub identification: Option<IdentificationId>,
    /// The one used where one is needed.
    pub is_primary: bool,
}

impl Factor {
    /// A factor that is about no address.
    pub fn plain(strategy: impl Into<String>) -> Self {
        Self { strategy: strategy.into(), address: None }
    }

    /// A factor that goes to an address.
    pub fn mailed(strategy: &str, address: &FactorAddress) -> Self {
        Self { strategy: strategy.to_owned(), address: Some(address.clone()) }
    }
}
