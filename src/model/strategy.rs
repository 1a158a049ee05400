//! How people verify who they are: the strategies, and the providers that some of them name. Parsed once, from a row or
//! from a request; written in one place.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::text_enum::{text_column, text_enum};

/// The name of a provider in strategies, addresses and rows: `google`, `custom_acme`. Whether there is such a provider
/// is the catalogue's matter and the instance's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ProviderSlug(String);

impl ProviderSlug {
    /// The slug that `text` spells; `None` if no provider can be called so.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        ((1..=71).contains(&text.len()) && text.bytes().all(is_word)).then(|| Self(text.to_owned()))
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ProviderSlug {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A way to verify who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// The password.
    Password,
    /// A code that was sent to an address.
    EmailCode,
    /// A link that was sent to an address.
    EmailLink,
    /// A code that was sent to an address, and lets its reader choose a new password.
    ResetPasswordEmailCode,
    /// A provider's word.
    OAuth(ProviderSlug),
    /// None chosen yet: a reverification that has begun. No request can name it.
    Unchosen,
}

impl Strategy {
    /// The strategies that name no provider.
    const PLAIN: [Self; 5] =
        [Self::Password, Self::EmailCode, Self::EmailLink, Self::ResetPasswordEmailCode, Self::Unchosen];

    /// As stored and shown.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Password => "password".into(),
            Self::EmailCode => MailStrategy::EmailCode.as_str().into(),
            Self::EmailLink => MailStrategy::EmailLink.as_str().into(),
            Self::ResetPasswordEmailCode => "reset_password_email_code".into(),
            Self::OAuth(slug) => of_provider(slug).into(),
            Self::Unchosen => "reverification".into(),
        }
    }

    /// The strategy that a row names.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("oauth_") {
            Some(slug) => ProviderSlug::parse(slug).map(Self::OAuth),
            None => Self::PLAIN.into_iter().find(|known| known.name() == text),
        }
    }

    /// The provider that it names.
    pub fn provider(&self) -> Option<&ProviderSlug> {
        match self {
            Self::OAuth(slug) => Some(slug),
            Self::Password | Self::EmailCode | Self::EmailLink | Self::ResetPasswordEmailCode | Self::Unchosen => None,
        }
    }
}

/// The strategy of the provider `slug`, as shown.
pub fn of_provider(slug: &str) -> String {
    format!("oauth_{slug}")
}

text_enum! {
    /// A way to verify that somebody reads an address; codes before links, as they are offered.
    pub enum MailStrategy {
        /// A code was sent to it.
        EmailCode = "email_code",
        /// A link was sent to it.
        EmailLink = "email_link",
    }
}

impl From<MailStrategy> for Strategy {
    fn from(by: MailStrategy) -> Self {
        match by {
            MailStrategy::EmailCode => Self::EmailCode,
            MailStrategy::EmailLink => Self::EmailLink,
        }
    }
}

/// What verified an address of a user, or should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressStrategy {
    /// A code or link that was sent to it.
    Mail(MailStrategy),
    /// A provider that vouched for it.
    FromOAuth(ProviderSlug),
    /// The operator.
    Admin,
}

impl AddressStrategy {
    /// As stored and shown.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Mail(by) => by.as_str().into(),
            Self::FromOAuth(slug) => format!("from_oauth_{slug}").into(),
            Self::Admin => "admin".into(),
        }
    }

    /// The strategy that a row names.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(slug) = text.strip_prefix("from_oauth_") {
            return ProviderSlug::parse(slug).map(Self::FromOAuth);
        }
        let by_mail = MailStrategy::parse(text).map(Self::Mail);
        by_mail.or_else(|| Some(Self::Admin).filter(|known| known.name() == text))
    }
}

text_column!(Strategy, Strategy::name, Strategy::parse);
text_column!(AddressStrategy, AddressStrategy::name, AddressStrategy::parse);

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Display for AddressStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A strategy as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedStrategy<'a> {
    /// As it was sent, which the flow log shows.
    pub sent: Cow<'a, str>,
    /// What it means here.
    pub meaning: Meaning,
}

/// What a named strategy means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// One that this server knows, whether or not it is open to somebody.
    Known(Strategy),
    /// A provider's, but no provider can be called so.
    NoProvider,
    /// One that exists elsewhere.
    NotHere,
    /// None: it is misspelled.
    Unknown,
}

impl<'a> RequestedStrategy<'a> {
    /// What `text` names.
    pub fn parse(text: &'a str) -> Self {
        // Strategies that other servers have.
        const ELSEWHERE: [&str; 9] = [
            "phone_code",
            "reset_password_phone_code",
            "passkey",
            "ticket",
            "totp",
            "backup_code",
            "enterprise_sso",
            "saml",
            "google_one_tap",
        ];
        let meaning = match Strategy::parse(text) {
            Some(Strategy::Unchosen) => Meaning::Unknown,
            Some(known) => Meaning::Known(known),
            None if text.starts_with("oauth_") => Meaning::NoProvider,
            None if text.starts_with("web3_") || ELSEWHERE.contains(&text) => Meaning::NotHere,
            None => Meaning::Unknown,
        };
        Self { sent: text.into(), meaning }
    }

    /// It names a provider, even if that cannot be one.
    pub fn is_social(&self) -> bool {
        matches!(self.meaning, Meaning::Known(Strategy::OAuth(_)) | Meaning::NoProvider)
    }

    /// The strategy, where this server knows it.
    pub fn known(&self) -> Option<&Strategy> {
        match &self.meaning {
            Meaning::Known(strategy) => Some(strategy),
            Meaning::NoProvider | Meaning::NotHere | Meaning::Unknown => None,
        }
    }

    /// The provider that it names.
    pub fn provider(&self) -> Option<&ProviderSlug> {
        self.known().and_then(Strategy::provider)
    }
}

impl From<Strategy> for RequestedStrategy<'_> {
    fn from(strategy: Strategy) -> Self {
        Self { sent: strategy.name(), meaning: Meaning::Known(strategy) }
    }
}

impl Default for RequestedStrategy<'_> {
    fn default() -> Self {
        Self { sent: "".into(), meaning: Meaning::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> ProviderSlug {
        ProviderSlug::parse(text).unwrap()
    }

    #[test]
    fn a_name_leads_back_to_its_strategy() {
        let social = Strategy::OAuth(slug("custom_acme"));
        for (strategy, name) in Strategy::PLAIN.into_iter().chain([social]).zip([
            "password",
            "email_code",
            "email_link",
            "reset_password_email_code",
            "reverification",
            "oauth_custom_acme",
        ]) {
            assert_eq!((strategy.name().as_ref(), Strategy::parse(name)), (name, Some(strategy.clone())));
            assert_eq!(serde_json::to_value(&strategy).unwrap(), name);
        }
        for (strategy, name) in [
            (AddressStrategy::Mail(MailStrategy::EmailCode), "email_code"),
            (AddressStrategy::Mail(MailStrategy::EmailLink), "email_link"),
            (AddressStrategy::FromOAuth(slug("google")), "from_oauth_google"),
            (AddressStrategy::Admin, "admin"),
        ] {
            assert_eq!((strategy.name().as_ref(), AddressStrategy::parse(name)), (name, Some(strategy.clone())));
        }
    }

    #[test]
    fn an_unknown_name_in_a_tree_is_a_fault() {
        for unknown in ["", "sms", "oauth_", "oauth_Google", "Password", "from_oauth_google"] {
            assert!(serde_json::from_value::<Strategy>(unknown.into()).is_err(), "{unknown}");
        }
        for unknown in ["", "password", "from_oauth_", "oauth_google", "from_google"] {
            assert!(serde_json::from_value::<AddressStrategy>(unknown.into()).is_err(), "{unknown}");
        }
        assert!(serde_json::from_value::<MailStrategy>("password".into()).is_err());
    }

    #[test]
    fn misspelled_strategy_is_not_one_that_is_not_offered() {
        for (sent, meaning) in [
            ("email_code", Meaning::Known(Strategy::EmailCode)),
            ("oauth_google", Meaning::Known(Strategy::OAuth(slug("google")))),
            ("oauth_nope", Meaning::Known(Strategy::OAuth(slug("nope")))),
            ("oauth_", Meaning::NoProvider),
            ("oauth_Google", Meaning::NoProvider),
            ("totp", Meaning::NotHere),
            ("web3_metamask_signature", Meaning::NotHere),
            ("emailcode", Meaning::Unknown),
            ("reverification", Meaning::Unknown),
            ("", Meaning::Unknown),
        ] {
            let named = RequestedStrategy::parse(sent);
            assert_eq!((named.sent.as_ref(), &named.meaning), (sent, &meaning));
            assert_eq!(named.is_social(), sent.starts_with("oauth_"), "{sent}");
        }
    }
}
