//! A code or a link.

use crate::model::factor::RESET;

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
    /// `email_code`, `email_link`, `reset_password_email_code`.
    pub fn strategy(self) -> &'static str {
        match self {
            Self::Code => "email_code",
            Self::ResetCode => RESET,
            Self::Link(_) => "email_link",
        }
    }
}
