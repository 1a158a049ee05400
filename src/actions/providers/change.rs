//! A provider is added, changed or removed: everything that has to be asked is asked first, then one transaction writes
//! it, so that no connection waits for a discovery document.

use serde_json::{Value, json};

use super::describe::settings;
use super::{Patch, ProviderError, Switch, custom, get};
use crate::context::Ctx;
use crate::model::problem::code;
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::model::strategy::ProviderSlug;
use crate::store::InstanceConnection;
use crate::store::audit::{Actor, AuditEvent};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{audit, instances, provider_configs};
use crate::upstream::provider::{Provider, Settings};

/// How often a change is tried again that somebody else's was faster than.
/// How often a change is made again after somebody else's.
const REREADS: usize = 3;

/// Adds a provider, `enabled` unless the patch says otherwise. A built-in provider of a development instance begins as a
/// simulation.
///
/// # Errors
/// [`ProviderError::Exists`], what the settings do not allow; storage faults.
pub async fn add(
    ctx: &Ctx,
    slug: &ProviderSlug,
    patch: &Patch,
    enabled: Switch,
    actor: &Actor,
) -> Result<ProviderConfig, ProviderError> {
    let config = prepared(ctx, blank(ctx, slug, enabled), patch).await?;
    let config = &config;
    transact(ctx.db(), "provider.create", |tx| {
        async move {
            let environment = ctx.instance.environment;
            if !provider_configs::insert(tx, environment, config).await? {
                return Err(Aborted::Error(ProviderError::Exists(slug.to_string())));
            }
            record(ctx, tx, entry(ctx, "provider.created", slug, actor), settings(config))
                .await
                .map_err(Aborted::Error)?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    get(ctx, slug).await
}

/// Changes a provider.
///
/// # Errors
/// [`ProviderError::Absent`], [`ProviderError::Busy`], what the settings do not allow; storage faults.
pub async fn change(ctx: &Ctx, slug: &str, patch: &Patch, actor: &Actor) -> Result<ProviderConfig, ProviderError> {
    for _ in 0..REREADS {
        let found = get(ctx, slug).await?;
        let config = prepared(ctx, found.clone(), patch).await?;
        let (found, config) = (&found, &config);
        let replaced = transact::<_, ProviderError>(ctx.db(), "provider.change", |tx| {
            async move {
                let is_replaced = provider_configs::replace(tx, config, ctx.now).await?;
                if is_replaced {
                    let changes = difference(found, config);
                    record(ctx, tx, entry(ctx, "provider.updated", slug, actor), changes)
                        .await
                        .map_err(Aborted::Error)?;
                }
                Ok(Committed::Done(is_replaced))
            }
            .scope_boxed()
        });
        if replaced.await? {
            return get(ctx, slug).await;
        }
    }
    Err(ProviderError::Busy(slug.to_owned()))
}

/// Removes a provider; people's accounts at it stay, and work again when it comes back.
///
/// # Errors
/// [`ProviderError::Absent`], [`ProviderError::Active`]; storage faults.
pub async fn remove(ctx: &Ctx, slug: &str, actor: &Actor) -> Result<(), ProviderError> {
    let removed = transact::<_, ProviderError>(ctx.db(), "provider.remove", |tx| {
        async move {
            let is_removed = provider_configs::remove_inactive(tx, slug).await?;
            if is_removed {
                record(ctx, tx, entry(ctx, "provider.deleted", slug, actor), json!({}))
                    .await
                    .map_err(Aborted::Error)?;
            }
            Ok(Committed::Done(is_removed))
        }
        .scope_boxed()
    });
    if removed.await? {
        return Ok(());
    }
    get(ctx, slug).await?;
    Err(ProviderError::Active(slug.to_owned()))
}

/// A provider nobody has said anything about yet.
fn blank(ctx: &Ctx, slug: &ProviderSlug, enabled: Switch) -> ProviderConfig {
    let descriptor = ctx.app.catalogue.get(slug);
    let is_simulated = descriptor.is_some() && ctx.instance.allows_simulated_providers();
    ProviderConfig {
        provider: slug.clone(),
        is_enabled: enabled == Switch::On,
        is_authenticatable: true,
        is_required: false,
        is_not_selectable: false,
        blocks_email_subaddresses: descriptor.is_some_and(|known| known.blocks_email_subaddresses()),
        allows_multiple_accounts: false,
        credentials: if is_simulated { Credentials::Simulated } else { Credentials::Custom },
        client_id: None,
        client_secret_sealed: None,
        scopes: Vec::new(),
        allowed_additional_scopes: None,
        version: 1,
        parameters: std::collections::BTreeMap::new(),
        custom: None,
        created_at: ctx.now,
        updated_at: ctx.now,
    }
}

/// The settings after the patch, found usable. Asks a custom provider's issuer where its description changes.
async fn prepared(ctx: &Ctx, mut config: ProviderConfig, patch: &Patch) -> Result<ProviderConfig, ProviderError> {
    patch.apply(ctx, &mut config)?;
    let Some(descriptor) = ctx.app.catalogue.get(&config.provider) else {
        if let Some(members) = &patch.custom {
            let described = custom::changed(ctx, &config.provider, config.custom.as_ref(), members).await?;
            config.custom = Some(described);
        }
        if config.custom.is_none() {
            let what = "A custom provider needs a description: an issuer, a discovery URL, or endpoints.";
            return Err(ProviderError::setting("custom", code::FORM_PARAM_MISSING, what));
        }
        return Ok(config);
    };
    if patch.custom.is_some() {
        let what = "Only custom providers can be described.";
        return Err(ProviderError::setting("custom", code::FORM_PARAM_UNKNOWN, what));
    }
    if let Some(unknown) = config.parameters.keys().find(|name| !descriptor.parameters.contains_key(*name)) {
        let what = "This provider has no such parameter.";
        return Err(ProviderError::setting(format!("parameters.{unknown}"), code::FORM_PARAM_UNKNOWN, what));
    }
    let settings = Settings { parameters: config.parameters.clone(), ..Settings::default() };
    Provider::new(std::sync::Arc::clone(descriptor), settings)
        .map_err(|error| ProviderError::setting("parameters", code::FORM_PARAM_VALUE_INVALID, error.to_string()))?;
    Ok(config)
}

/// Each changed setting with its old and new value; of a secret only that it changed.
fn difference(old: &ProviderConfig, new: &ProviderConfig) -> Value {
    let (before, after) = (settings(old), settings(new));
    let mut changes = serde_json::Map::new();
    for (name, value) in after.as_object().into_iter().flatten() {
        let was = before.get(name).unwrap_or(&Value::Null);
        if was != value {
            changes.insert(name.clone(), json!([was, value]));
        }
    }
    if old.client_secret_sealed != new.client_secret_sealed {
        changes.insert("client_secret".to_owned(), json!("changed"));
    }
    Value::Object(changes)
}

/// The audit entry of what `actor` did to a provider.
fn entry<'a>(ctx: &'a Ctx, action: &'a str, slug: &'a str, actor: &Actor) -> AuditEvent<'a> {
    let event = AuditEvent::new(ctx.instance_id().as_str(), action, actor.clone(), ctx.app.clock.now());
    AuditEvent { target: Some(("provider", slug)), from: Some(&ctx.from), ..event }
}

/// Writes an entry down with what changed, and lets all replicas know.
async fn record(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    entry: AuditEvent<'_>,
    changes: Value,
) -> Result<(), ProviderError> {
    audit::append(&mut *db, ctx.rng(), AuditEvent { changes, ..entry }).await?;
    Ok(instances::announce(db).await?)
}
