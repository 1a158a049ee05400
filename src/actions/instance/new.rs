//! What an instance is made from, checked.

use serde_json::{Value, json};
use url::Url;

use crate::model::instance::{Environment, KeyForm};
use crate::model::problem::Error;
use crate::model::url_rules::{Scheme, is_loopback_origin, is_web};
use crate::store::instances::HostKind;

/// What an instance is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    pub(super) name: String,
    pub(super) environment: Environment,
    pub(super) key_form: KeyForm,
    /// The frontend API's origin.
    pub(super) origin: Url,
    /// The host that the publishable key spells.
    pub(super) key_host: String,
    /// The app's own origin.
    pub(super) home: Option<Url>,
}

/// Why an instance cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name cannot be a label of a host name.
    #[error("\"{0}\" is no name for an instance: 1 to 40 of a-z, 0-9 and '-', beginning with a letter")]
    Name(String),
    /// The address cannot be a frontend API's.
    #[error("\"{given}\" cannot be the address of the frontend API: {reason}")]
    FrontendApi {
        /// As given.
        given: String,
        /// Half a sentence.
        reason: &'static str,
    },
    /// The address cannot be an app's home.
    #[error("\"{given}\" cannot be the app's home address: {reason}")]
    Home {
        /// As given.
        given: String,
        /// Half a sentence.
        reason: &'static str,
    },
    /// Another instance has this name.
    #[error("an instance named \"{0}\" exists already")]
    NameTaken(String),
    /// Another instance answers under this host, or has a key for it.
    #[error("the host {0} belongs to another instance")]
    HostTaken(String),
    /// Anything else.
    #[error(transparent)]
    Fault(#[from] Error),
}

impl NewInstance {
    /// The development instance at `http://localhost:<port>`, which answers under every loopback name without an owner.
    /// Its key spells a name with a dot, because the SDKs refuse `localhost`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn on_localhost(name: &str, port: u16) -> Result<Self, CreateError> {
        Self::development(name, &format!("http://localhost:{port}"), &format!("vestibule.localhost:{port}"))
    }

    /// A further development instance, at `http://<name>.localhost:<port>`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn on_own_loopback_name(name: &str, port: u16) -> Result<Self, CreateError> {
        check_name(name)?;
        let host = format!("{name}.localhost:{port}");
        Self::development(name, &format!("http://{host}"), &host)
    }

    /// A development instance at an address of its own.
    ///
    /// # Errors
    /// A name or an address that is none.
    pub fn development_at(name: &str, frontend_api: &str) -> Result<Self, CreateError> {
        let origin = origin(frontend_api).map_err(|reason| refuse_api(frontend_api, reason))?;
        let host = authority(&origin);
        if !host.contains('.') {
            return Err(refuse_api(frontend_api, "the SDKs need a host name with a dot in it"));
        }
        Self::development(name, origin.as_str(), &host)
    }

    fn development(name: &str, at: &str, key_host: &str) -> Result<Self, CreateError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            environment: Environment::Development,
            key_form: KeyForm::Live,
            origin: origin(at).map_err(|reason| refuse_api(at, reason))?,
            key_host: key_host.to_owned(),
            home: None,
        })
    }

    /// A production instance at an https address.
    ///
    /// # Errors
    /// A name or an address that is none.
    pub fn production(name: &str, frontend_api: &str) -> Result<Self, CreateError> {
        check_name(name)?;
        let origin = origin(frontend_api).map_err(|reason| refuse_api(frontend_api, reason))?;
        if Scheme::of(&origin) != Scheme::Https {
            return Err(refuse_api(frontend_api, "a production instance is reached over https"));
        }
        let key_host = authority(&origin);
        if is_loopback_origin(&origin.origin().ascii_serialization()) {
            return Err(refuse_api(frontend_api, "a loopback name is for development"));
        }
        if !key_host.contains('.') {
            return Err(refuse_api(frontend_api, "the SDKs need a host name with a dot in it"));
        }
        Ok(Self {
            name: name.to_owned(),
            environment: Environment::Production,
            key_form: KeyForm::Live,
            origin,
            key_host,
            home: None,
        })
    }

    /// The same, with the app at `home`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn with_home(mut self, home: &str) -> Result<Self, CreateError> {
        let refuse = |reason| CreateError::Home { given: home.to_owned(), reason };
        let url = origin(home).map_err(refuse)?;
        if self.environment == Environment::Production && Scheme::of(&url) != Scheme::Https {
            return Err(refuse("a production app is reached over https"));
        }
        self.home = Some(url);
        Ok(self)
    }

    /// The frontend API's origin, as the database has it.
    pub fn origin(&self) -> String {
        self.origin.origin().ascii_serialization()
    }

    /// The settings that differ from the defaults.
    pub(super) fn settings(&self) -> Value {
        let mut settings = serde_json::Map::new();
        if self.environment == Environment::Development {
            // Somebody who tries a first sign-up with a simulated provider is not sent to the inbox for a code. Written
            // out, so that the default for everybody else stays what the published API says.
            let attributes = json!({ "email_address": { "verify_at_sign_up": false } });
            settings.insert("attributes".to_owned(), attributes);
        }
        if let Some(home) = &self.home {
            settings.insert("home_url".to_owned(), json!(home.as_str()));
        }
        Value::Object(settings)
    }
}

/// The host names that are this instance's own. The development instance on `localhost` has none: it gets every
/// loopback name that nobody else has.
pub(super) fn hosts(new: &NewInstance) -> Vec<(String, HostKind)> {
    let Some(host) = new.origin.host_str().filter(|host| *host != "localhost") else { return Vec::new() };
    let mut hosts = vec![(host.to_owned(), HostKind::FrontendApi)];
    let accounts = host.replacen("clerk.", "accounts.", 1);
    if accounts != host {
        hosts.push((accounts, HostKind::Accounts));
    }
    hosts
}

fn refuse_api(given: &str, reason: &'static str) -> CreateError {
    CreateError::FrontendApi { given: given.to_owned(), reason }
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let fits = (1..=40).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(()) } else { Err(CreateError::Name(name.to_owned())) }
}

/// An address that is nothing but an origin.
pub(super) fn origin(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    if !is_web(&url) {
        return Err("it must begin with https://");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("it must be a scheme and a host only, like https://clerk.example.com");
    }
    Ok(url)
}

/// Host and, unless it is the scheme's own, port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_instances_have_a_dotted_key_host() {
        let dev = NewInstance::on_localhost("dev", 8484).unwrap();
        assert_eq!(dev.origin(), "http://localhost:8484");
        assert_eq!(dev.key_host, "vestibule.localhost:8484");
        assert!(hosts(&dev).is_empty());
        let shop = NewInstance::on_own_loopback_name("shop", 8484).unwrap();
        assert_eq!(
            (shop.origin().as_str(), shop.key_host.as_str()),
            ("http://shop.localhost:8484", "shop.localhost:8484")
        );
        assert_eq!(hosts(&shop), [("shop.localhost".to_owned(), HostKind::FrontendApi)]);
    }

    #[test]
    fn production_instances_own_their_host_and_its_sibling() {
        let new = NewInstance::production("shop", "https://Clerk.Example.com").unwrap();
        let new = new.with_home("https://example.com").unwrap();
        assert_eq!(new.origin(), "https://clerk.example.com");
        let names: Vec<_> = hosts(&new).into_iter().map(|(host, _)| host).collect();
        assert_eq!(names, ["clerk.example.com", "accounts.example.com"]);
        assert_eq!(new.settings(), json!({ "home_url": "https://example.com/" }));
    }

    #[test]
    fn refuses_what_cannot_work() {
        for address in [
            "clerk.example.com",
            "http://clerk.example.com",
            "https://clerk",
            "https://localhost:8484",
            "https://clerk.localhost",
            "https://clerk.example.com/v1",
            "https://a@clerk.example.com",
            "ftp://clerk.example.com",
        ] {
            assert!(NewInstance::production("shop", address).is_err(), "{address}");
        }
        for name in ["", "Shop", "1shop", "shop-", "my shop", "a.b", &"x".repeat(41)] {
            assert!(NewInstance::on_localhost(name, 1).is_err(), "{name}");
        }
        assert!(NewInstance::production("a", "https://clerk.a.com").unwrap().with_home("http://a.com").is_err());
    }
}
