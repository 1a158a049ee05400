//! From the strategy that somebody names to a provider that can be talked to under the instance's configuration.

use std::sync::Arc;

use url::Url;

use crate::actions::providers::{is_of_document, of_discovery};
use crate::context::Ctx;
use crate::model::problem::{Code, Error, Problem, Result, code};
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::model::reason::Reason;
use crate::model::strategy::{ProviderSlug, RequestedStrategy, Strategy};
use crate::store::provider_configs;
use crate::upstream::custom::CustomProvider;
use crate::upstream::descriptor::Descriptor;
use crate::upstream::error::UpstreamError;
use crate::upstream::provider::{MovedAuthority, Provider, Settings};
use crate::upstream::simulated::SimulatorSite;

/// A provider under an instance's configuration.
pub struct Configured {
    /// How to talk to it.
    pub provider: Provider,
    /// The configuration.
    pub config: ProviderConfig,
}

impl Configured {
    /// The strategy that names the provider.
    pub fn strategy(&self) -> Strategy {
        Strategy::OAuth(self.config.provider.clone())
    }
}

/// The provider that `strategy` names, if it may be used to sign in or up here.
///
/// # Errors
/// The code of what is wrong with the request, before anything is written.
pub async fn to_sign_in_with(ctx: &Ctx, strategy: &RequestedStrategy<'_>) -> Result<Configured> {
    let config = enabled(ctx, strategy).await?;
    if !config.is_authenticatable {
        return Err(unavailable(code::OAUTH_NON_AUTHENTICATABLE_PROVIDER, "connect_only").into());
    }
    configured(ctx, config).await
}

/// The provider that `strategy` names, if signed-in users may connect it here.
///
/// # Errors
/// The code of what is wrong with the request, before anything is written.
pub async fn to_connect(ctx: &Ctx, strategy: &RequestedStrategy<'_>) -> Result<Configured> {
    configured(ctx, enabled(ctx, strategy).await?).await
}

async fn enabled(ctx: &Ctx, strategy: &RequestedStrategy<'_>) -> Result<ProviderConfig> {
    let named = strategy.provider().and_then(|slug| ctx.app.catalogue.by_slug(slug));
    let named = named.ok_or_else(|| unavailable(code::OAUTH_UNSUPPORTED_PROVIDER, "unknown"))?;
    let config = provider_configs::get(&mut ctx.db(), named.slug()).await?;
    let config = config.filter(|config| config.is_enabled);
    Ok(config.ok_or_else(|| unavailable(code::OAUTH_PROVIDER_NOT_ENABLED, "disabled"))?)
}

/// The provider with this slug, whatever its switches say now: for what began while they said otherwise.
///
/// # Errors
/// `oauth_provider_not_enabled` if its configuration was removed; what [`to_sign_in_with`] says about credentials.
pub async fn by_slug(ctx: &Ctx, slug: &str) -> Result<Configured> {
    let config = provider_configs::get(&mut ctx.db(), slug).await?;
    configured(ctx, config.ok_or_else(|| unavailable(code::OAUTH_PROVIDER_NOT_ENABLED, "disabled"))?).await
}

fn unavailable(code: Code, detail: &'static str) -> Problem {
    code.because(Reason::ProviderUnavailable, detail)
}

/// The credentials are not there.
fn missing() -> Problem {
    code::OAUTH_CONFIG_MISSING.because(Reason::CredentialsUnusable, "missing")
}

/// The credentials are there, but of no use.
fn malformed() -> Problem {
    code::MISCONFIGURED_OAUTH_PROVIDER.because(Reason::CredentialsUnusable, "malformed")
}

/// Puts descriptor, credentials and addresses together.
///
/// # Errors
/// What makes them unusable.
pub async fn configured(ctx: &Ctx, config: ProviderConfig) -> Result<Configured> {
    let descriptor = descriptor(ctx, &config).await?;
    let unusable = |_| Error::from(malformed());
    let provider = match config.credentials {
        Credentials::Simulated => {
            if !ctx.instance.allows_simulated_providers() || !ctx.app.config.dev.pages {
                return Err(missing().into());
            }
            let site =
                SimulatorSite { ring: &ctx.app.ring, instance_id: ctx.instance_id(), origin: &ctx.instance.origin };
            site.provider(descriptor, config.scopes.clone()).map_err(unusable)?
        }
        Credentials::Custom => Provider::new(descriptor, settings(ctx, &config)?).map_err(unusable)?,
    };
    Ok(Configured { provider, config })
}

/// The built-in descriptor, or one made from what the operator said about a custom provider.
async fn descriptor(ctx: &Ctx, config: &ProviderConfig) -> Result<Arc<Descriptor>> {
    let Some(custom) = &config.custom else {
        let known = ctx.app.catalogue.get(&config.provider);
        return Ok(Arc::clone(known.ok_or(code::OAUTH_UNSUPPORTED_PROVIDER)?));
    };
    let custom: CustomProvider = serde_json::from_value(custom.clone()).map_err(Error::internal)?;
    let url = custom.discovery_url.as_deref().map(Url::parse).transpose();
    let metadata = match url.map_err(|_| code::MISCONFIGURED_OAUTH_PROVIDER)? {
        None => None,
        Some(url) => {
            let upstream = &ctx.app.upstream;
            let found = upstream.oidc.discover(&upstream.outbound, &url, custom.issuer.as_deref()).await;
            Some(found.map_err(|error| refused(&error))?)
        }
    };
    let key = config.provider.strip_prefix("custom_").unwrap_or(&config.provider);
    let may_be_http = |url: &Url| ctx.app.upstream.outbound.allows_http(url);
    let descriptor = custom.descriptor(key, metadata.as_deref(), &may_be_http);
    Ok(Arc::new(descriptor.map_err(|error| {
        tracing::warn!(%error, provider = %config.provider, "a custom provider cannot be used");
        let problem = if is_of_document(&custom, metadata.as_deref(), &error) {
            code::CUSTOM_OAUTH_PROVIDER_CANNOT_USE_DISCOVERY_URL.because(Reason::EndpointRefused, "discovery")
        } else {
            code::MISCONFIGURED_OAUTH_PROVIDER.because(Reason::CredentialsUnusable, "malformed")
        };
        Error::from(problem)
    })?))
}

fn refused(error: &UpstreamError) -> Error {
    tracing::info!(%error, "discovery failed");
    of_discovery(error).because(error.reason, error.detail).into()
}

/// The operator's own credentials, opened.
fn settings(ctx: &Ctx, config: &ProviderConfig) -> Result<Settings> {
    let client_id = config.client_id.clone().filter(|id| !id.is_empty()).ok_or_else(missing)?;
    let at = provider_configs::secret_at(ctx.instance_id(), &config.provider);
    let sealed = config.client_secret_sealed.as_ref();
    let client_secret =
        sealed.map(|sealed| ctx.app.ring.open_text(&at, sealed)).transpose().map_err(Error::internal)?;
    if client_secret.is_none() && config.custom.is_none() {
        return Err(missing().into());
    }
    Ok(Settings {
        client_id,
        client_secret,
        additional_scopes: config.scopes.clone(),
        parameters: config.parameters.clone(),
        moved_authority: MovedAuthority::Distrusted,
    })
}

/// A provider that an instance offers to people.
#[derive(Clone, Debug)]
pub struct EnabledProvider {
    /// Which provider.
    pub slug: ProviderSlug,
    /// The name people read.
    pub name: String,
    /// The picture on its button, where the operator set one.
    pub logo_url: Option<String>,
    /// It may be used to sign in and up; otherwise only connected.
    pub is_authenticatable: bool,
    /// A sign-up is not complete without it.
    pub is_required: bool,
    /// Not shown as a button.
    pub is_not_selectable: bool,
    /// Refuses addresses with a subaddress.
    pub blocks_email_subaddresses: bool,
    /// Our own simulation answers for it.
    pub is_simulated: bool,
    /// The real authorization endpoint, where it is known without asking the provider.
    pub authorization_url: Option<String>,
}

impl EnabledProvider {
    /// The strategy that names it.
    pub fn strategy(&self) -> Strategy {
        Strategy::OAuth(self.slug.clone())
    }
}

/// The enabled providers of the instance, by slug.
///
/// # Errors
/// Storage faults.
pub async fn enabled_providers(ctx: &Ctx) -> Result<Vec<EnabledProvider>> {
    let configs = provider_configs::all(&mut ctx.db()).await?;
    let offered = configs.into_iter().filter(|config| config.is_enabled).filter_map(|config| {
        let said = |member: &str| config.custom.as_ref()?.get(member)?.as_str().map(str::to_owned);
        let known = ctx.app.catalogue.get(&config.provider).map(|descriptor| descriptor.name.clone());
        Some(EnabledProvider {
            name: said("name").or(known)?,
            logo_url: said("logo_url"),
            is_simulated: config.credentials == Credentials::Simulated,
            authorization_url: authorization_url(ctx, &config),
            slug: config.provider,
            is_authenticatable: config.is_authenticatable,
            is_required: config.is_required,
            is_not_selectable: config.is_not_selectable,
            blocks_email_subaddresses: config.blocks_email_subaddresses,
        })
    });
    Ok(offered.collect())
}

/// Where a provider's authorization endpoint is: by its descriptor, or as the operator said. Discovery is not asked.
fn authorization_url(ctx: &Ctx, config: &ProviderConfig) -> Option<String> {
    if let Some(custom) = &config.custom {
        return custom.get("authorization_url")?.as_str().map(str::to_owned);
    }
    let descriptor = ctx.app.catalogue.get(&config.provider)?;
    let settings = Settings { parameters: config.parameters.clone(), ..Settings::default() };
    let provider = Provider::new(Arc::clone(descriptor), settings).ok()?;
    Some(provider.endpoints.authorize.to_string())
}
