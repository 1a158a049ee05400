//! What an authorization at a provider is for, and how the browser that comes back is known.

use super::linking::AttemptKind;
use super::text_enum::text_enum;

text_enum! {
    /// What is done with the identity that the provider vouches for.
    pub enum Intent {
        /// Somebody signs in.
        SignIn = "sign_in",
        /// Somebody signs up.
        SignUp = "sign_up",
        /// A signed-in user adds an account.
        Connect = "connect",
        /// A signed-in user has an account approved once more.
        Reauthorize = "reauthorize",
    }
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

text_enum! {
    /// What shows that the browser that comes back belongs to the client that left.
    #[derive(Default)]
    pub enum Transport {
        /// Its cookie.
        #[default]
        Cookie = "cookie",
        /// A nonce, which it hands to the native application that began: no cookie of ours is in that browser.
        Nonce = "nonce",
    }
}
