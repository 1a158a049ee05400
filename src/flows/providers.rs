//! The social providers of an instance: enabled with the operator's credentials or as simulations, described by an
//! issuer where they are custom, removed.

use serde_json::{Value, json};
use url::Url;

use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::problem::Error;
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::store::audit::{Actor, AuditEvent};
use crate::store::provider_configs::{self, Change};
use crate::store::{audit, instances};
use crate::upstream::catalogue::Named;
use crate::upstream::custom::CustomProvider;

/// Why a provider cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The name is neither a built-in provider's nor `custom_<key>`.
    #[error("\"{name}\" is no provider: there are {known}, and custom_KEY with KEY of a-z, 0-9 and '_'")]
    Unknown {
        /// As given.
        name: String,
        /// The built-in ones.
        known: String,
    },
    /// The instance has it already.
    #[error("{0} is configured already; change it with: vestibule provider set {0}")]
    Exists(String),
    /// The instance does not have it.
    #[error("{0} is not configured; add it with: vestibule provider add {0}")]
    Absent(String),
    /// Real users would be let in by whoever asks.
    #[error("a production instance simulates no provider")]
    Production,
    /// There is nothing that could be simulated.
    #[error("{0} is a custom provider, which has no simulation")]
    NoSimulation(String),
    /// The issuer's address or its discovery document cannot be used.
    #[error("the issuer {issuer} cannot be used: {reason}")]
    Issuer {
        /// As given.
        issuer: String,
        /// What is wrong.
        reason: String,
    },
    /// Anything else.
    #[error(transparent)]
    Fault(#[from] Error),
}

impl From<sqlx::Error> for ProviderError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Flows may use it.
    On,
    /// They may not.
    Off,
}

impl From<bool> for Switch {
    fn from(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }
}

/// The operator's credentials at a provider.
#[derive(Clone, Debug)]
pub struct OwnCredentials {
    /// The client id.
    pub client_id: String,
    /// The client secret; none for public clients of custom providers.
    pub client_secret: Option<Secret>,
    /// Scopes beyond the base ones; `None` leaves what is there.
    pub scopes: Option<Vec<String>>,
}

/// The slug that `name` means: with or without `oauth_`, older names included.
///
/// # Errors
/// [`ProviderError::Unknown`].
pub fn slug(ctx: &Ctx, name: &str) -> Result<String, ProviderError> {
    let found = ctx.app.catalogue.by_name(name).map(|named: Named<'_>| named.slug().to_owned());
    found.ok_or_else(|| {
        let known: Vec<&str> = ctx.app.catalogue.all().map(|provider| provider.slug.as_str()).collect();
        ProviderError::Unknown { name: name.to_owned(), known: known.join(", ") }
    })
}

/// The configuration of `slug`.
///
/// # Errors
/// [`ProviderError::Absent`].
pub async fn get(ctx: &Ctx, slug: &str) -> Result<ProviderConfig, ProviderError> {
    let found = provider_configs::get(&ctx.app.db, ctx.instance_id(), slug).await?;
    found.ok_or_else(|| ProviderError::Absent(slug.to_owned()))
}

/// Enables a provider with the operator's credentials: the real service. `custom` describes a custom one that is new.
///
/// # Errors
/// Storage faults.
pub async fn use_own(
    ctx: &Ctx,
    slug: &str,
    own: &OwnCredentials,
    custom: Option<&CustomProvider>,
    actor: &Actor,
) -> Result<(), ProviderError> {
    let at = provider_configs::secret_at(ctx.instance_id(), slug);
    let seal = |secret: &Secret| ctx.app.ring.seal(ctx.rng(), &at, secret.expose_secret().as_bytes());
    let sealed = own.client_secret.as_ref().map(seal).transpose().map_err(Error::internal)?;
    let custom = custom.map(serde_json::to_value).transpose().map_err(Error::internal)?;
    let change = Change {
        client_id: Some(&own.client_id),
        client_secret_sealed: sealed.as_deref(),
        scopes: own.scopes.as_deref(),
        custom: custom.as_ref(),
        ..simulation(ctx, slug, Credentials::Custom)
    };
    write(ctx, &change, actor).await
}

/// Lets the simulator play a built-in provider (again); the operator's credentials are forgotten.
///
/// # Errors
/// Production instances, custom providers; storage faults.
pub async fn use_simulation(ctx: &Ctx, slug: &str, actor: &Actor) -> Result<(), ProviderError> {
    if !ctx.instance.allows_simulated_providers() {
        return Err(ProviderError::Production);
    }
    if ctx.app.catalogue.get(slug).is_none() {
        return Err(ProviderError::NoSimulation(slug.to_owned()));
    }
    write(ctx, &simulation(ctx, slug, Credentials::Simulated), actor).await
}

/// Switches a simulation on or off; a provider with credentials of its own is left alone.
///
/// # Errors
/// As [`use_simulation`].
pub async fn simulate(ctx: &Ctx, slug: &str, switch: Switch, actor: &Actor) -> Result<(), ProviderError> {
    let found = provider_configs::get(&ctx.app.db, ctx.instance_id(), slug).await?;
    let is_own = found.as_ref().is_some_and(|config| config.credentials == Credentials::Custom);
    let is_on = found.is_some_and(|config| config.is_enabled);
    match switch {
        _ if is_own => Ok(()),
        Switch::On if !is_on => use_simulation(ctx, slug, actor).await,
        Switch::Off if is_on => {
            let change = Change { is_enabled: false, ..simulation(ctx, slug, Credentials::Simulated) };
            write(ctx, &change, actor).await
        }
        _ => Ok(()),
    }
}

/// Switches a configured provider on or off and leaves everything else.
///
/// # Errors
/// [`ProviderError::Absent`]; storage faults.
pub async fn switch(ctx: &Ctx, slug: &str, switch: Switch, actor: &Actor) -> Result<(), ProviderError> {
    let found = get(ctx, slug).await?;
    let change = Change {
        is_enabled: switch == Switch::On,
        client_id: found.client_id.as_deref(),
        client_secret_sealed: found.client_secret_sealed.as_deref(),
        ..simulation(ctx, slug, found.credentials)
    };
    write(ctx, &change, actor).await
}

/// Removes a provider; people's accounts at it stay, and work again when it comes back.
///
/// # Errors
/// [`ProviderError::Absent`]; storage faults.
pub async fn remove(ctx: &Ctx, slug: &str, actor: &Actor) -> Result<(), ProviderError> {
    let mut transaction = ctx.app.db.begin().await?;
    if !provider_configs::remove(&mut transaction, ctx.instance_id(), slug).await? {
        return Err(ProviderError::Absent(slug.to_owned()));
    }
    record(ctx, &mut transaction, "provider.deleted", slug, json!({}), actor).await?;
    transaction.commit().await?;
    Ok(())
}

/// A custom provider at `issuer`, its discovery document read and found usable. Issuers are compared byte for byte;
/// only a slash at the end may be more or less than typed.
///
/// # Errors
/// [`ProviderError::Issuer`].
pub async fn discover(ctx: &Ctx, slug: &str, issuer: &str, name: &str) -> Result<CustomProvider, ProviderError> {
    let refuse = |reason: String| ProviderError::Issuer { issuer: issuer.to_owned(), reason };
    let bare = issuer.trim_end_matches('/');
    let url = Url::parse(&format!("{bare}/.well-known/openid-configuration"));
    let url = url.map_err(|_| refuse("it is no URL".to_owned()))?;
    let upstream = &ctx.app.upstream;
    let other = if bare == issuer { format!("{issuer}/") } else { bare.to_owned() };
    let mut spelling = issuer;
    let mut found = upstream.oidc.discover(&upstream.outbound, &url, Some(issuer)).await;
    if found.is_err() {
        spelling = &other;
        let again = upstream.oidc.discover(&upstream.outbound, &url, Some(&other)).await;
        found = again.or(found);
    }
    let metadata = found.map_err(|error| refuse(error.to_string()))?;
    let custom = CustomProvider::discovered(name, spelling, url.as_str());
    let key = slug.strip_prefix("custom_").unwrap_or(slug);
    let may_be_http = |url: &Url| upstream.outbound.allows_http(url);
    custom.descriptor(key, Some(&metadata), &may_be_http).map_err(|error| refuse(error.to_string()))?;
    Ok(custom)
}

/// A change that enables `slug` without credentials of the operator's.
fn simulation<'a>(ctx: &'a Ctx, slug: &'a str, credentials: Credentials) -> Change<'a> {
    Change {
        provider: slug,
        environment: ctx.instance.environment.as_str(),
        is_enabled: true,
        credentials,
        client_id: None,
        client_secret_sealed: None,
        scopes: None,
        custom: None,
    }
}

async fn write(ctx: &Ctx, change: &Change<'_>, actor: &Actor) -> Result<(), ProviderError> {
    let mut transaction = ctx.app.db.begin().await?;
    let is_new = provider_configs::put(&mut transaction, ctx.instance_id(), change, ctx.now).await?;
    let action = if is_new { "provider.created" } else { "provider.updated" };
    let changes = json!({
        "credentials": change.credentials.as_str(), "enabled": change.is_enabled, "client_id": change.client_id
    });
    record(ctx, &mut transaction, action, change.provider, changes, actor).await?;
    transaction.commit().await?;
    Ok(())
}

async fn record(
    ctx: &Ctx,
    db: &mut sqlx::PgConnection,
    action: &str,
    slug: &str,
    changes: Value,
    actor: &Actor,
) -> Result<(), ProviderError> {
    let event = AuditEvent {
        target: Some(("provider", slug)),
        changes,
        ..AuditEvent::new(ctx.instance_id().as_str(), action, actor.clone(), ctx.app.clock.now())
    };
    audit::append(db, ctx.rng(), event).await?;
    Ok(instances::announce(&mut *db).await?)
}
