//! An instance's settings: one JSON document, typed here; members this version does not know are kept.

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
    /// Lives of sessions.
    pub session: SessionSettings,
    /// Lives and switches of the provider side.
    pub oauth: OAuthSettings,
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
    /// Members of a later version.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// Which attributes an instance knows, and what it asks of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// E-mail address.
    pub email_address: Attribute,
}

/// One attribute's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribute {
    /// Users can have one.
    pub enabled: bool,
    /// A sign-up is not complete without one.
    pub required: bool,
    /// A sign-up is not complete before it is proven.
    pub verify_at_sign_up: bool,
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
            session: SessionSettings::default(),
            oauth: OAuthSettings::default(),
            home_url: String::new(),
            oauth_consent_url: String::new(),
            sign_in_url: String::new(),
            help_url: String::new(),
            support_email: String::new(),
            unknown: serde_json::Map::new(),
        }
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
    fn members_of_a_later_version_survive_a_round_trip() {
        let text = r#"{"session":{"maximum_lifetime":60},"passkeys":{"on":true}}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.session.maximum_lifetime, 60);
        assert_eq!(settings.session.inactivity, SessionSettings::default().inactivity);
        assert_eq!(serde_json::to_value(settings).unwrap()["passkeys"]["on"], true);
    }
}
