//! Scopes: syntax (RFC 6749 section 3.3), the built-in ones, and what a client may ask for.

use super::error::{ErrorCode, OAuthError};

/// Begins OpenID Connect: an id_token comes with the tokens.
pub const OPENID: &str = "openid";
/// Asks for a refresh token (always given with the code grant).
pub const OFFLINE_ACCESS: &str = "offline_access";
/// Names, picture, username.
pub const PROFILE: &str = "profile";
/// The primary e-mail address.
pub const EMAIL: &str = "email";
/// Public and unsafe metadata.
pub const PUBLIC_METADATA: &str = "public_metadata";
/// Private metadata.
pub const PRIVATE_METADATA: &str = "private_metadata";

/// The longest `scopes` text of an application, in characters.
pub const MAX_LENGTH: usize = 1024;

/// What a scope is, in words for the person who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The scope's name on the wire.
    pub name: &'static str,
    /// A sentence part for the consent page: "This will let it …".
    pub description: &'static str,
    /// False for scopes that give nothing away and need not be asked for.
    pub requires_consent: bool,
    /// True for what should stand first on the consent page, marked.
    pub is_sensitive: bool,
}

/// Every built-in scope in force.
pub const BUILT_IN: [BuiltIn; 6] = [
    BuiltIn { name: OPENID, description: "Know who you are", requires_consent: false, is_sensitive: false },
    BuiltIn {
        name: OFFLINE_ACCESS,
        description: "Keep this access while you are away",
        requires_consent: true,
        is_sensitive: false,
    },
    BuiltIn {
        name: PROFILE,
        description: "See your name, username and profile picture",
        requires_consent: true,
        is_sensitive: false,
    },
    BuiltIn { name: EMAIL, description: "See your email address", requires_consent: true, is_sensitive: false },
    BuiltIn {
        name: PUBLIC_METADATA,
        description: "See the public details kept with your account",
        requires_consent: true,
        is_sensitive: false,
    },
    BuiltIn {
        name: PRIVATE_METADATA,
        description: "See the private details kept with your account",
        requires_consent: true,
        is_sensitive: true,
    },
];

/// The built-in scope called `name`.
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|scope| scope.name == name)
}

/// A list of well-formed scopes, each once, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Reads a space-separated list; superfluous spaces and repetitions are dropped (clients that join lists make them).
    ///
    /// # Errors
    /// `invalid_scope` if a character is outside RFC 6749 section 3.3.
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        let well_formed = |scope: &str| scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        let mut scopes = Vec::<String>::new();
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            if !well_formed(scope) {
                return Err(OAuthError::new(
                    ErrorCode::InvalidScope,
                    "the scope holds a character that is not allowed",
                ));
            }
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
        Ok(Self(scopes))
    }

    /// Scopes that were stored by us.
    pub fn stored(scopes: Vec<String>) -> Self {
        Self(scopes)
    }

    /// What an application has unless it says otherwise.
    pub fn of_new_application() -> Self {
        Self(vec![PROFILE.to_owned(), EMAIL.to_owned()])
    }

    /// True if `scope` is in the list.
    pub fn has(&self, scope: &str) -> bool {
        self.0.iter().any(|known| known == scope)
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The scopes as stored.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// True if an application with these scopes may ask for `scope`: it lists it, or it is one of the two that carry no
    /// data of their own and are always allowed.
    pub fn allow(&self, scope: &str) -> bool {
        matches!(scope, OPENID | OFFLINE_ACCESS) || (built_in(scope).is_some() && self.has(scope))
    }

    /// These scopes without those that `allowed` does not allow.
    pub fn cut_to(&self, allowed: &Self) -> Self {
        Self(self.0.iter().filter(|scope| allowed.allow(scope)).cloned().collect())
    }

    /// True if every one of these is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.iter().all(|scope| other.has(scope))
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    #[test]
    fn keeps_the_order_and_drops_repetitions() {
        assert_eq!(scopes("openid email  profile email ").to_string(), "openid email profile");
        assert!(scopes("").is_empty());
    }

    #[test]
    fn refuses_foreign_characters() {
        for text in ["a\"b", "a\\b", "é", "a\tb", "openid\u{7f}"] {
            assert_eq!(Scopes::parse(text).unwrap_err().code, ErrorCode::InvalidScope, "{text}");
        }
    }

    #[test]
    fn an_application_may_ask_for_what_it_lists_and_for_openid() {
        let listed = scopes("profile email");
        for (scope, expected) in
            [("openid", true), ("offline_access", true), ("profile", true), ("private_metadata", false), ("x", false)]
        {
            assert_eq!(listed.allow(scope), expected, "{scope}");
        }
        assert_eq!(scopes("openid private_metadata email x").cut_to(&listed), scopes("openid email"));
        // A scope that an application lists but nobody defines is not allowed either.
        assert!(!scopes("custom").allow("custom"));
    }

    #[test]
    fn compares_as_sets() {
        assert!(scopes("a b").is_within(&scopes("b c a")));
        assert!(!scopes("a d").is_within(&scopes("b c a")));
    }
}
