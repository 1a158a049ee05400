//! An instance's settings: one JSON document, typed here; members this version does not know are stored.

use serde::{Deserialize, Serialize};

/// The settings of an instance (`instances.settings`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The name people read; empty = the instance's own name.
    pub application_name: String,
    /// At most one session per client.
    pub single_session_mode: bool,
    /// The public sign-up and sign-in attributes.
    pub attributes: Attributes,
    /// How an address is verified by mail.
    pub email: EmailSettings,
    /// What strangers may learn about who has an account.
    pub enumeration_protection: EnumerationProtection,
    /// Test addresses accept a fixed code and are sent nothing; `None` = on development instances.
    pub test_mode: Option<bool>,
    /// Important actions want a recent verification of who is signed in.
    pub reverification: bool,
    /// When an account locks.
    pub lockout: LockoutSettings,
    /// Lives of sessions.
    pub session: SessionSettings,
    /// Lives and switches of the provider side.
    pub oauth: OAuthSettings,
    /// Providers' tokens for backends.
    pub provider_tokens: ProviderTokenSettings,
    /// Where people go who asked for nothing else; empty = the profile page.
    pub home_url: String,
    /// The page that asks for consent; empty = our own `/oauth-consent`.
    pub oauth_consent_url: String,
    /// The page that signs people in for `/oauth/authorize`; empty = our own `/sign-in`.
    pub sign_in_url: String,
    /// The page where people find help, `http` or `https`; empty = none.
    pub help_url: String,
    /// The mailbox that answers people's questions; empty = none.
    pub support_email: String,
    /// Whether a provider's claim about an address may lead to an existing user.
    pub linking: Linking,
    /// Who may sign up.
    pub sign_up: SignUpSettings,
    /// A sign-up is not complete before the terms are accepted.
    pub legal_consent: bool,
    /// Native applications may use the frontend API.
    pub native_api: bool,
    /// Users may add and remove addresses.
    pub addresses_changeable: bool,
    /// Members of a later version.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// Which attributes an instance knows, and what it asks of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// E-mail address.
    pub email_address: Attribute,
    /// A name to sign in with.
    pub username: PlainAttribute,
    /// Given name.
    pub first_name: PlainAttribute,
    /// Family name.
    pub last_name: PlainAttribute,
    /// Password.
    pub password: PasswordAttribute,
}

/// The rules of an attribute that nothing verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlainAttribute {
    /// Users can have one.
    pub enabled: bool,
    /// A sign-up is not complete without one; implies that users can have one.
    pub required: bool,
}

impl PlainAttribute {
    /// Users can have one.
    pub fn is_enabled(self) -> bool {
        self.enabled || self.required
    }
}

/// The rules of passwords.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordAttribute {
    /// Users can have one.
    pub enabled: bool,
    /// A sign-up is not complete without one; implies that users can have one.
    pub required: bool,
    /// The least characters.
    pub min_length: usize,
    /// The most characters.
    pub max_length: usize,
}

impl PasswordAttribute {
    /// Users can have one.
    pub fn is_enabled(self) -> bool {
        self.enabled || self.required
    }

    /// The least and the most characters: 8 at least, and 64 always possible (ASVS 6.2.9).
    pub fn lengths(&self) -> (usize, usize) {
        (self.min_length.clamp(8, 64), self.max_length.clamp(64, 128))
    }
}

impl Default for PasswordAttribute {
    fn default() -> Self {
        Self { enabled: false, required: false, min_length: 8, max_length: 72 }
    }
}

/// When an account locks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockoutSettings {
    /// After so many failed verifications, 5 at least; 0 = never.
    pub attempts: u16,
    /// For so many seconds; 0 = until somebody unlocks it.
    pub duration: u32,
}

/// When an account locks, as it is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutRule {
    /// After so many failures.
    pub attempts: i16,
    /// For so long; `None` = until somebody unlocks it.
    pub duration: Option<time::Duration>,
}

impl LockoutSettings {
    /// The rule; `None` where accounts never lock.
    pub fn rule(&self) -> Option<LockoutRule> {
        let attempts = i16::try_from(self.attempts.clamp(5, 1_000)).unwrap_or(i16::MAX);
        (self.attempts > 0).then(|| LockoutRule { attempts, duration: self.duration() })
    }

    /// How long a lock holds; `None` = until somebody ends it.
    pub fn duration(&self) -> Option<time::Duration> {
        (self.duration > 0).then(|| time::Duration::seconds(i64::from(self.duration)))
    }
}

impl Default for LockoutSettings {
    fn default() -> Self {
        Self { attempts: 10, duration: 3600 }
    }
}

/// How an address is verified by mail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmailSettings {
    /// By a code of six digits.
    pub code: bool,
    /// By a link.
    pub link: bool,
    /// A link counts only in the browser that asked for it.
    pub same_device: bool,
}

/// What strangers may learn about who has an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnumerationProtection {
    /// Whatever an answer says.
    #[default]
    Off,
    /// No more than rate limits let them ask.
    Bulk,
    /// Nothing: answers for known and unknown identifiers are alike.
    Strict,
}

/// One attribute's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribute {
    /// Users can have one.
    pub enabled: bool,
    /// A sign-up is not complete without one.
    pub required: bool,
    /// A sign-up is not complete before it is verified.
    pub verify_at_sign_up: bool,
}

/// Whether a provider's claim about an address may lead to an existing user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Linking {
    /// Where both sides have verified the address, or the person verifies it now.
    #[default]
    VerifiedOnly,
    /// Never: people connect providers themselves once they are signed in.
    Never,
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignUpSettings {
    /// Everybody, or only some.
    pub mode: SignUpMode,
    /// The most users the instance takes; 0 = no end.
    pub user_quota: u32,
}

/// Who may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUpMode {
    /// Everybody.
    #[default]
    Public,
    /// Only whom the operator invites or creates.
    Restricted,
    /// Only whom the operator lets off the waitlist.
    Waitlist,
}

/// Lives of sessions, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionSettings {
    /// From creation, whatever happens.
    pub maximum_lifetime: u32,
    /// Without a touch; shown as `abandon_at`.
    pub inactivity: u32,
}

/// Providers' tokens for backends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderTokenSettings {
    /// How many seconds before its end a token is refreshed when a backend asks for it.
    pub leeway: u32,
}

/// The provider side's defaults (oauth-provider settings), in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OAuthSettings {
    /// Access token life.
    pub access_token_lifetime: u32,
    /// Refresh token life, from each issue.
    pub refresh_token_lifetime: u32,
    /// Life of a refresh family from its first token; 0 = no end.
    pub refresh_family_lifetime: u32,
    /// How long a consumed refresh token still answers with its successor.
    pub refresh_grace: u32,
    /// ID token life.
    pub id_token_lifetime: u32,
    /// Authorization code life.
    pub code_lifetime: u32,
    /// Scopes of a request that names none; empty = `profile email`.
    pub default_scopes: Vec<String>,
}

const DAY: u32 = 86_400;

impl Default for Settings {
    fn default() -> Self {
        Self {
            application_name: String::new(),
            single_session_mode: true,
            attributes: Attributes::default(),
            email: EmailSettings::default(),
            enumeration_protection: EnumerationProtection::default(),
            test_mode: None,
            reverification: true,
            lockout: LockoutSettings::default(),
            session: SessionSettings::default(),
            oauth: OAuthSettings::default(),
            provider_tokens: ProviderTokenSettings::default(),
            home_url: String::new(),
            oauth_consent_url: String::new(),
            sign_in_url: String::new(),
            help_url: String::new(),
            support_email: String::new(),
            linking: Linking::default(),
            sign_up: SignUpSettings::default(),
            legal_consent: false,
            native_api: true,
            addresses_changeable: true,
            unknown: serde_json::Map::new(),
        }
    }
}

impl Default for Attributes {
    fn default() -> Self {
        let offered = PlainAttribute { enabled: true, required: false };
        Self {
            email_address: Attribute::default(),
            username: PlainAttribute::default(),
            first_name: offered,
            last_name: offered,
            password: PasswordAttribute::default(),
        }
    }
}

impl Default for EmailSettings {
    /// Links are off: where both are on, the prebuilt components of the SDK choose the link.
    fn default() -> Self {
        Self { code: true, link: false, same_device: true }
    }
}

impl Default for Attribute {
    fn default() -> Self {
        Self { enabled: true, required: true, verify_at_sign_up: true }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { maximum_lifetime: 7 * DAY, inactivity: 30 * DAY }
    }
}

impl Default for ProviderTokenSettings {
    fn default() -> Self {
        Self { leeway: 60 }
    }
}

impl Default for OAuthSettings {
    fn default() -> Self {
        Self {
            access_token_lifetime: 7200,
            refresh_token_lifetime: 3 * DAY,
            refresh_family_lifetime: 90 * DAY,
            refresh_grace: 30,
            id_token_lifetime: 7200,
            code_lifetime: 600,
            default_scopes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_gives_the_published_defaults() {
        let settings: Settings = serde_json::from_str("{}").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.oauth.access_token_lifetime, 7200);
        assert_eq!(settings.oauth.refresh_token_lifetime, 259_200);
    }

    #[test]
    fn an_account_never_locks_before_the_fifth_failure() {
        let rule = |attempts, duration| LockoutSettings { attempts, duration }.rule();
        assert_eq!(rule(0, 60), None);
        assert_eq!(rule(1, 60).unwrap().attempts, 5);
        assert_eq!(rule(20, 0).unwrap(), LockoutRule { attempts: 20, duration: None });
    }

    #[test]
    fn members_of_a_later_version_survive_a_round_authorization() {
        let text = r#"{"session":{"maximum_lifetime":60},"passkeys":{"on":true}}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.session.maximum_lifetime, 60);
        assert_eq!(settings.session.inactivity, SessionSettings::default().inactivity);
        assert_eq!(serde_json::to_value(settings).unwrap()["passkeys"]["on"], true);
    }
}
