//! Creating an instance: its keys, its hosts, and on development instances the simulated providers, in one transaction.

use serde_json::{Value, json};
use url::Url;

use crate::app::App;
use crate::crypto::{ExposeSecret, Lookup, Secret, SigningKey};
use crate::model::id::{AppId, InstanceId, SecretKeyId};
use crate::model::instance::{Environment, KeyForm, publishable_key};
use crate::model::problem::Error;
use crate::model::random::base62;
use crate::model::time::Timestamp;
use crate::store::audit::{Actor, AuditEvent};
use crate::store::instances::HostKind;
use crate::store::secret_keys::NewSecretKey;
use crate::store::{audit, instances, provider_configs, secret_keys, signing_keys, violates};

/// Random characters of a secret key: 190 bits.
const SECRET_LENGTH: usize = 32;

/// What an instance is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    name: String,
    environment: Environment,
    key_form: KeyForm,
    /// The frontend API's origin.
    origin: Url,
    /// The host that the publishable key spells.
    key_host: String,
    /// The app's own origin.
    home: Option<Url>,
    /// Groups it with another instance of the same app.
    application: Option<AppId>,
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

/// A new instance and its keys; the secret one is shown this once.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: InstanceId,
    /// Its publishable key.
    pub publishable_key: String,
    /// Its first secret key.
    pub secret_key: Secret,
}

impl NewInstance {
    /// The development instance at `http://localhost:<port>`, which answers under every loopback name without an owner.
    /// Its key spells a name with a dot, because the SDKs refuse `localhost` (frontend-api.md section 2.2).
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
            application: None,
        })
    }

    /// A production instance at an https address.
    ///
    /// # Errors
    /// A name or an address that is none.
    pub fn production(name: &str, frontend_api: &str) -> Result<Self, CreateError> {
        check_name(name)?;
        let origin = origin(frontend_api).map_err(|reason| refuse_api(frontend_api, reason))?;
        if origin.scheme() != "https" {
            return Err(refuse_api(frontend_api, "a production instance is reached over https"));
        }
        let key_host = authority(&origin);
        if crate::model::redirect::is_loopback_origin(&origin.origin().ascii_serialization()) {
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
            application: None,
        })
    }

    /// The same, with the app at `home`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn with_home(mut self, home: &str) -> Result<Self, CreateError> {
        let refuse = |reason| CreateError::Home { given: home.to_owned(), reason };
        let url = origin(home).map_err(refuse)?;
        if self.environment == Environment::Production && url.scheme() != "https" {
            return Err(refuse("a production app is reached over https"));
        }
        self.home = Some(url);
        Ok(self)
    }

    /// The same, as another instance of this application.
    #[must_use]
    pub fn of_application(mut self, application: AppId) -> Self {
        self.application = Some(application);
        self
    }

    /// The frontend API's origin, as the database has it.
    pub fn origin(&self) -> String {
        self.origin.origin().ascii_serialization()
    }

    /// The settings that differ from the defaults.
    fn settings(&self) -> Value {
        let mut settings = serde_json::Map::new();
        if self.environment == Environment::Development {
            // Addresses can be proven by a mailed code only where mail is delivered, which this version does not do:
            // a sign-up with a provider that does not vouch for the address could never end. Written out, so that the
            // default for everybody else stays what the published API says.
            let attributes = json!({ "email_address": { "verify_at_sign_up": false } });
            settings.insert("attributes".to_owned(), attributes);
        }
        if let Some(home) = &self.home {
            settings.insert("home_url".to_owned(), json!(home.as_str()));
        }
        Value::Object(settings)
    }
}

/// Makes the instance. Its first secret key is in the answer and nowhere else.
///
/// # Errors
/// A taken name or host; storage faults.
pub async fn create(app: &App, new: &NewInstance, actor: Actor) -> Result<Created, CreateError> {
    // 40 to 300 ms of arithmetic: before the transaction, off the async threads.
    let signing_key =
        tokio::task::spawn_blocking(SigningKey::generate).await.map_err(Error::internal)?.map_err(Error::internal)?;
    let (now, rng) = (app.clock.now(), app.rng.as_ref());
    let created = Created {
        id: InstanceId::new(now, rng),
        publishable_key: publishable_key(new.key_form, &new.key_host),
        secret_key: format!("sk_{}_{}", new.key_form.as_str(), base62(rng, SECRET_LENGTH)).into(),
    };
    let mut transaction = app.db.begin().await.map_err(Error::from)?;
    match write(app, &mut transaction, new, &created, &signing_key, now).await {
        Ok(()) => {}
        Err(Error::Fault(fault)) => return Err(explain(new, fault)),
        Err(problem) => return Err(problem.into()),
    }
    let event = AuditEvent {
        target: Some(("instance", created.id.as_str())),
        changes: json!({ "name": new.name, "environment_type": new.environment.as_str(), "frontend_api": new.origin() }),
        ..AuditEvent::new(created.id.as_str(), "instance.created", actor, now)
    };
    audit::append(&mut transaction, rng, event).await.map_err(Error::from)?;
    instances::announce(&mut *transaction).await.map_err(Error::from)?;
    transaction.commit().await.map_err(Error::from)?;
    app.forget_directory();
    Ok(created)
}

async fn write(
    app: &App,
    db: &mut sqlx::PgConnection,
    new: &NewInstance,
    created: &Created,
    signing_key: &SigningKey,
    now: Timestamp,
) -> Result<(), Error> {
    let rng = app.rng.as_ref();
    let row = instances::NewInstance {
        id: &created.id,
        application_id: &new.application.clone().unwrap_or_else(|| AppId::new(now, rng)),
        name: &new.name,
        environment: new.environment,
        key_form: new.key_form,
        publishable_key: &created.publishable_key,
        origin: &new.origin(),
        settings: &new.settings(),
        at: now,
    };
    instances::insert(db, &row).await?;
    for (host, kind) in hosts(new) {
        instances::add_host(db, &created.id, &host, kind).await?;
    }
    if let Some(home) = &new.home {
        instances::add_home_origin(db, &created.id, &home.origin().ascii_serialization(), now).await?;
    }
    write_secret_key(app, db, created, now).await?;
    let pkcs8 = signing_key.pkcs8().map_err(Error::internal)?;
    let at = signing_keys::sealed_at(&created.id, signing_key.kid());
    let sealed = app.ring.seal(rng, &at, &pkcs8).map_err(Error::internal)?;
    // No token was signed before, so nobody has a key set without this one: it signs at once.
    signing_keys::insert(db, &created.id, signing_key.public_jwk(), &sealed, now, now).await?;
    if new.environment == Environment::Development {
        for provider in app.catalogue.all() {
            provider_configs::enable_simulated(db, &created.id, &provider.slug, now).await?;
        }
    }
    Ok(())
}

async fn write_secret_key(
    app: &App,
    db: &mut sqlx::PgConnection,
    created: &Created,
    now: Timestamp,
) -> Result<(), Error> {
    let text = created.secret_key.expose_secret();
    let key = NewSecretKey {
        id: &SecretKeyId::new(now, app.rng.as_ref()),
        name: "Default",
        hash: &app.ring.lookup_hash(Lookup::SecretKey, text),
        hash_key_id: app.ring.first_id(),
        hint: &hint(text),
        at: now,
    };
    secret_keys::insert(db, &created.id, &key).await?;
    Ok(())
}

/// Prefix and last four characters: `sk_live_…x9Qz`.
fn hint(secret_key: &str) -> String {
    let prefix: String = secret_key.split_inclusive('_').take(2).collect();
    let tail: Vec<char> = secret_key.chars().rev().take(4).collect();
    format!("{prefix}…{}", tail.into_iter().rev().collect::<String>())
}

/// The host names that are this instance's own. The development instance on `localhost` has none: it gets every
/// loopback name that nobody else has.
fn hosts(new: &NewInstance) -> Vec<(String, HostKind)> {
    let Some(host) = new.origin.host_str().filter(|host| *host != "localhost") else { return Vec::new() };
    let mut hosts = vec![(host.to_owned(), HostKind::FrontendApi)];
    let accounts = host.replacen("clerk.", "accounts.", 1);
    if accounts != host {
        hosts.push((accounts, HostKind::Accounts));
    }
    hosts
}

/// A violated constraint in words.
fn explain(new: &NewInstance, fault: crate::model::problem::Fault) -> CreateError {
    let taken = fault.source.downcast_ref::<sqlx::Error>().map(|error| {
        let is = |name| violates(error, name);
        (is("instances_name_key"), is("instances_publishable_key_key") || is("instance_hosts_pkey"))
    });
    match taken {
        Some((true, _)) => CreateError::NameTaken(new.name.clone()),
        Some((_, true)) => CreateError::HostTaken(new.key_host.clone()),
        _ => CreateError::Fault(Error::Fault(fault)),
    }
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
fn origin(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    if !matches!(url.scheme(), "http" | "https") {
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

    #[test]
    fn a_hint_shows_the_ends_only() {
        assert_eq!(hint("sk_live_abcdefghijklmnop"), "sk_live_…mnop");
    }
}
