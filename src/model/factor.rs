//! A way into an account, as an attempt shows it.

use super::email::EmailAddress;
use super::id::IdentificationId;
use super::strategy::Strategy;

/// A factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// How it verifies.
    pub strategy: Strategy,
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
    pub fn plain(strategy: Strategy) -> Self {
        Self { strategy, address: None }
    }

    /// A factor that goes to an address.
    pub fn mailed(strategy: Strategy, address: &FactorAddress) -> Self {
        Self { strategy, address: Some(address.clone()) }
    }
}
