//! An instance, its keys' form, and the one place where development and production differ.

use super::id::{AppId, InstanceId};
use super::settings::Settings;
use super::text_enum::text_enum;

text_enum! {
    /// What an instance is for.
    pub enum Environment {
        /// For building an app: simulated providers, loopback redirects, plain http.
        Development = "development",
        /// For real users.
        Production = "production",
    }
}

/// One installation of an app: its own users, keys, providers and signing keys.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Names it.
    pub id: InstanceId,
    /// Groups a development and a production instance.
    pub application_id: AppId,
    /// The operator's name for it.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// The one spelling of the publishable key that is handed out.
    pub publishable_key: String,
    /// The frontend API's origin: the OAuth issuer, without trailing slash.
    pub origin: String,
    /// The host that the publishable key spells; session tokens are issued by `https://` and this.
    pub key_host: String,
    /// What people may do here.
    pub settings: Settings,
    /// How far its clock is moved (development only).
    pub clock_offset: time::Duration,
    /// Origins that may receive redirects and credentialed answers, beside [`Self::origin`].
    pub origins: Vec<String>,
}

text_enum! {
    /// The two forms of a publishable and a secret key, as they are spelled inside it.
    pub enum KeyForm {
        /// `pk_live_`, `sk_live_`.
        Live = "live",
        /// `pk_test_`, `sk_test_`: development transport of the browser SDK.
        Test = "test",
    }
}

impl KeyForm {
    /// The form of a publishable key.
    pub fn of(publishable_key: &str) -> Self {
        if publishable_key.starts_with("pk_test_") { Self::Test } else { Self::Live }
    }
}

/// The publishable key for `host` (base64 of `<host>$`, without padding).
pub fn publishable_key(form: KeyForm, host: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(format!("{host}$"));
    format!("pk_{}_{encoded}", form.as_str())
}

/// The host inside a publishable key; `None` if the text is not one the SDKs accept.
pub fn key_host(publishable_key: &str) -> Option<String> {
    use base64::Engine;
    let encoded = publishable_key.strip_prefix("pk_live_").or_else(|| publishable_key.strip_prefix("pk_test_"))?;
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    let host = String::from_utf8(bytes).ok()?.strip_suffix('$')?.to_owned();
    (host.contains('.') && !host.contains('$')).then_some(host)
}

/// The differences between development and production instances, all of them.
impl Instance {
    fn is_development(&self) -> bool {
        self.environment == Environment::Development
    }

    /// Providers without credentials of their own are simulated.
    pub fn allows_simulated_providers(&self) -> bool {
        self.is_development()
    }

    /// Any scheme of a native application may receive a sign-in, listed or not.
    pub fn allows_unlisted_native_targets(&self) -> bool {
        self.is_development()
    }

    /// Any loopback origin may receive redirects and credentialed answers.
    pub fn allows_loopback_origins(&self) -> bool {
        self.is_development()
    }

    /// OAuth applications may register plain-http redirect URIs outside loopback.
    pub fn allows_plain_http_clients(&self) -> bool {
        self.is_development()
    }

    /// Pages carry the development banner.
    pub fn shows_development_banner(&self) -> bool {
        self.is_development()
    }

    /// Error pages tell developers what exactly was refused.
    pub fn explains_refusals(&self) -> bool {
        self.is_development()
    }

    /// `/_dev` exists, where the server's configuration allows it too.
    pub fn has_development_pages(&self) -> bool {
        self.is_development()
    }

    /// Test addresses accept a fixed code and are sent nothing, unless the settings say otherwise.
    pub fn has_test_mode(&self) -> bool {
        self.settings.test_mode.unwrap_or(self.is_development())
    }

    /// Messages that have nowhere to go are stored to be read on a page.
    pub fn may_keep_messages(&self) -> bool {
        self.is_development()
    }

    /// Answers to every loopback host name that belongs to no other instance.
    pub fn answers_on_loopback(&self) -> bool {
        self.is_development()
    }
}

impl Instance {
    /// What an app's environment says so that its SDK finds this instance, in the order in which it is shown; the secret
    /// key is not among it.
    pub fn app_variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("CLERK_PUBLISHABLE_KEY", self.publishable_key.clone())];
        variables.push(("CLERK_API_URL", self.origin.clone()));
        // The key's host is a mere name on loopback; SDKs call this address instead.
        if self.origin != self.session_issuer() {
            variables.push(("CLERK_PROXY_URL", self.origin.clone()));
        }
        // The SDKs would report about development instances to their maker.
        variables.push(("CLERK_TELEMETRY_DISABLED", "1".to_owned()));
        variables
    }

    /// The browser reaches this instance over TLS: cookies are `Secure`.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// What the browser SDK takes the instance for: decides how sign-in travels between hosts.
    pub fn key_form(&self) -> KeyForm {
        KeyForm::of(&self.publishable_key)
    }

    /// `iss` of session tokens.
    pub fn session_issuer(&self) -> String {
        format!("https://{}", self.key_host)
    }

    /// The name people read.
    pub fn display_name(&self) -> &str {
        if self.settings.application_name.is_empty() { &self.name } else { &self.settings.application_name }
    }

    /// An absolute address on this instance's origin.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.origin)
    }

    /// The page that asks for consent.
    pub fn consent_url(&self) -> String {
        let configured = &self.settings.oauth_consent_url;
        if configured.is_empty() { self.url("/oauth-consent") } else { configured.clone() }
    }

    /// The page that signs people in.
    pub fn sign_in_url(&self) -> String {
        let configured = &self.settings.sign_in_url;
        if configured.is_empty() { self.url("/sign-in") } else { configured.clone() }
    }

    /// Where people go who asked for nothing else.
    pub fn home_url(&self) -> String {
        let configured = &self.settings.home_url;
        if configured.is_empty() { self.url("/user") } else { configured.clone() }
    }

    /// `accounts.` sibling of a `clerk.` origin: always an allowed origin. Only the host's
    /// first label counts: the sibling of `myclerk.example` would be a name that anybody may register.
    pub fn accounts_origin(&self) -> Option<String> {
        let (scheme, host) = self.origin.split_once("://")?;
        Some(format!("{scheme}://accounts.{}", host.strip_prefix("clerk.")?))
    }

    /// True if `origin` may receive credentialed answers and redirects.
    pub fn is_own_origin(&self, origin: &str) -> bool {
        origin == self.origin
            || self.origins.iter().any(|listed| listed == origin)
            || self.accounts_origin().is_some_and(|sibling| sibling == origin)
            || (self.allows_loopback_origins() && super::url_rules::is_loopback_origin(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spell_their_host_and_back() {
        let key = publishable_key(KeyForm::Live, "vestibule.localhost:8484");
        assert_eq!(key, "pk_live_dmVzdGlidWxlLmxvY2FsaG9zdDo4NDg0JA");
        assert_eq!(key_host(&key).as_deref(), Some("vestibule.localhost:8484"));
        assert_eq!(key_host("pk_test_bG9jYWxob3N0JA"), None, "the SDK refuses a host without a dot");
        assert_eq!(key_host("pk_dev_bG9jYWxob3N0JA"), None);
    }

    #[test]
    fn only_a_first_label_clerk_has_a_sibling() {
        let sibling = |origin: &str| {
            let mut instance = crate::model::oauth::fixtures::production();
            instance.origin = origin.to_owned();
            instance.accounts_origin()
        };
        assert_eq!(sibling("https://clerk.shop.example").as_deref(), Some("https://accounts.shop.example"));
        assert_eq!(sibling("http://clerk.shop.example:8443").as_deref(), Some("http://accounts.shop.example:8443"));
        for foreign in
            ["https://myclerk.example", "https://id.notclerk.example", "https://a.clerk.example", "https://id.example"]
        {
            assert_eq!(sibling(foreign), None, "{foreign}: that name may be anybody's");
        }
    }
}
