//! A code or a link.

/// By what an address is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means<'a> {
    /// A code, typed where it was asked for.
    Code,
    /// A link that leads to this address in the end, which was checked.
    Link(&'a str),
}

impl Means<'_> {
    /// `email_code`, `email_link`.
    pub fn strategy(self) -> &'static str {
        match self {
            Self::Code => "email_code",
            Self::Link(_) => "email_link",
        }
    }
}
