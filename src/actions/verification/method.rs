//! A code or a link.

use crate::model::strategy::Strategy;

/// By what an address is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationMethod<'a> {
    /// A code, typed where it was asked for.
    Code,
    /// A code that lets its reader choose a new password.
    ResetCode,
    /// A link that leads to this address in the end, which was checked.
    Link(&'a str),
}

impl VerificationMethod<'_> {
    /// What the verification is stored as.
    pub fn strategy(self) -> Strategy {
        match self {
            Self::Code => Strategy::EmailCode,
            Self::ResetCode => Strategy::ResetPasswordEmailCode,
            Self::Link(_) => Strategy::EmailLink,
        }
    }
}
