//! A custom provider's description: members merged, the discovery document asked, everything found usable before it is
//! stored.

use serde_json::{Map, Value};
use url::Url;

use super::ProviderError;
use super::patch::checked_scopes;
use crate::context::Ctx;
use crate::model::problem::{Error, code};
use crate::upstream::custom::{CustomError, CustomProvider, Metadata};
use crate::upstream::error::UpstreamError;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What is stored for a custom provider after `members` were changed in `stored`.
///
/// # Errors
/// [`ProviderError::Setting`], [`ProviderError::Discovery`].
pub async fn changed(
    ctx: &Ctx,
    slug: &str,
    stored: Option<&Value>,
    members: &Map<String, Value>,
) -> Result<Value, ProviderError> {
    let mut custom = merged(slug, stored, members)?;
    custom.scopes = checked_scopes("custom.scopes", &custom.scopes)?;
    // Another issuer has its document elsewhere, unless the operator said where.
    let was_derived = stored.and_then(|stored| Some(well_known(stored.get("issuer")?.as_str()?)));
    if members.contains_key("issuer") && !members.contains_key("discovery_url") && custom.discovery_url == was_derived {
        custom.discovery_url = None;
    }
    let is_manual = custom.authorization_url.is_some() && custom.token_url.is_some();
    let mut is_derived = false;
    if let (None, Some(issuer), false) = (&custom.discovery_url, &custom.issuer, is_manual) {
        custom.discovery_url = Some(well_known(issuer));
        is_derived = true;
    }
    let metadata = match &custom.discovery_url {
        Some(url) => Some(discover(ctx, url, custom.issuer.as_deref(), is_derived).await?),
        None => None,
    };
    if let Some(metadata) = metadata.as_deref().filter(|_| is_derived) {
        custom.issuer = Some(metadata.issuer.clone());
    }
    check(ctx, slug, &custom, metadata.as_deref())?;
    Ok(serde_json::to_value(&custom).map_err(Error::internal)?)
}

/// Where an issuer's document is (OpenID Connect Discovery section 4).
fn well_known(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// The stored members with the changed ones in their places. Each is tried by itself, so that the one at fault is named.
fn merged(slug: &str, stored: Option<&Value>, members: &Map<String, Value>) -> Result<CustomProvider, ProviderError> {
    let known = serde_json::to_value(CustomProvider::named(slug)).map_err(Error::internal)?;
    let mut object = stored.unwrap_or(&known).as_object().cloned().unwrap_or_default();
    for (name, value) in members {
        let setting = format!("custom.{name}");
        if known.get(name).is_none() {
            return Err(ProviderError::setting(setting, code::FORM_PARAM_UNKNOWN, "The parameter is not known here."));
        }
        let empty = value.as_str().is_some_and(str::is_empty);
        if value.is_null() || empty {
            object.remove(name);
            continue;
        }
        object.insert(name.clone(), value.clone());
        let wrong = |error: serde_json::Error| {
            ProviderError::setting(setting, code::FORM_PARAM_FORMAT_INVALID, error.to_string())
        };
        object.entry("name").or_insert_with(|| slug.into());
        CustomProvider::from_members(&object).map_err(wrong)?;
    }
    let has_name = members.get("name").is_some_and(Value::is_string) || stored.is_some();
    let mut custom = CustomProvider::from_members(&object).map_err(Error::internal)?;
    let address = custom.issuer.as_ref().or(custom.discovery_url.as_ref()).or(custom.authorization_url.as_ref());
    let host = address.and_then(|url| Url::parse(url).ok()?.host_str().map(str::to_owned));
    if let Some(host) = host.filter(|host| !has_name && host.len() <= 64) {
        custom.name = host;
    }
    Ok(custom)
}

/// Reads the discovery document anew. Issuers are compared byte for byte; only where the address was made from the
/// issuer, a slash at its end may be more or less than typed.
async fn discover(
    ctx: &Ctx,
    address: &str,
    issuer: Option<&str>,
    may_differ_by_slash: bool,
) -> Result<std::sync::Arc<Metadata>, ProviderError> {
    let url = Url::parse(address).map_err(|_| {
        let what = "This is no address.";
        ProviderError::setting("custom.discovery_url", code::FORM_PARAM_FORMAT_INVALID, what)
    })?;
    let upstream = &ctx.app.upstream;
    let refuse = |error: UpstreamError| ProviderError::Discovery { address: address.to_owned(), error };
    let found = upstream.oidc.rediscover(&upstream.outbound, &url, issuer).await;
    let Some(issuer) = issuer.filter(|_| may_differ_by_slash && found.is_err()) else { return found.map_err(refuse) };
    let other = issuer.strip_suffix('/').map_or_else(|| format!("{issuer}/"), str::to_owned);
    let again = upstream.oidc.discover(&upstream.outbound, &url, Some(&other)).await;
    again.or(found).map_err(refuse)
}

/// What flows will make of it, made now.
fn check(ctx: &Ctx, slug: &str, custom: &CustomProvider, metadata: Option<&Metadata>) -> Result<(), ProviderError> {
    let key = slug.strip_prefix("custom_").unwrap_or(slug);
    let may_be_http = |url: &Url| ctx.app.upstream.outbound.allows_http(url);
    let Err(error) = custom.descriptor(key, metadata, &may_be_http) else { return Ok(()) };
    let what = error.to_string();
    let setting = |name: &str, code| ProviderError::setting(format!("custom.{name}"), code, what.clone());
    Err(match error {
        _ if is_of_document(custom, metadata, &error) => {
            setting("discovery_url", code::CUSTOM_OAUTH_PROVIDER_CANNOT_USE_DISCOVERY_URL)
        }
        CustomError::Missing(name) => setting(name, code::FORM_PARAM_MISSING),
        CustomError::NoIdentity => setting("userinfo_url", code::FORM_PARAM_MISSING),
        CustomError::Insecure(name) => setting(name, code::FORM_PARAM_FORMAT_INVALID),
        CustomError::Path(_) | CustomError::Target(_) | CustomError::Descriptor(_) => {
            setting("attribute_mapping", code::FORM_PARAM_VALUE_INVALID)
        }
        CustomError::Member(name, _) => setting(name, code::FORM_PARAM_VALUE_INVALID),
    })
}

/// Whether it is the discovery document that lacks an address or names a bad one, and not what the operator stored.
pub fn is_of_document(custom: &CustomProvider, metadata: Option<&Metadata>, error: &CustomError) -> bool {
    let is_stored = |name: &str| {
        serde_json::to_value(custom).is_ok_and(|members| members.get(name).is_some_and(|value| !value.is_null()))
    };
    metadata.is_some()
        && match error {
            CustomError::Missing(_) | CustomError::NoIdentity => true,
            CustomError::Insecure(name) => !is_stored(name),
            _ => false,
        }
}
