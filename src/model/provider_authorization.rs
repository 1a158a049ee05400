//! What an authorization at a provider is for, and how the browser that comes back is known.

use super::linking::AttemptKind;

/// What is done with the identity that the provider vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Intent {
    /// Somebody signs in.
    SignIn,
    /// Somebody signs up.
    SignUp,
    /// A signed-in user adds an account.
    Connect,
    /// A signed-in user has an account approved once more.
    Reauthorize,
}

impl Intent {
    /// The kind of attempt that it is made for; `None` for a connection.
    pub fn attempt_kind(self) -> Option<AttemptKind> {
        match self {
            Self::SignIn => Some(AttemptKind::SignIn),
            Self::SignUp => Some(AttemptKind::SignUp),
            Self::Connect | Self::Reauthorize => None,
        }
    }
}

impl From<AttemptKind> for Intent {
    fn from(kind: AttemptKind) -> Self {
        match kind {
            AttemptKind::SignIn => Self::SignIn,
            AttemptKind::SignUp => Self::SignUp,
        }
    }
}

/// What shows that the browser that comes back belongs to the client that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Transport {
    /// Its cookie.
    #[default]
    Cookie,
    /// A nonce, which it hands to the native application that began: no cookie of ours is in that browser.
    Nonce,
}
