//! Which providers an instance has enabled, and its credentials there.

use std::sync::Arc;
use std::time::Duration;

use sqlx::types::Json;

use super::InstanceConnection;
use crate::crypto::SealedAt;
use crate::model::id::InstanceId;
use crate::model::instance::Environment;
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::model::strategy::ProviderSlug;

/// Where a provider's client secret is sealed to.
pub fn secret_at<'a>(instance: &'a InstanceId, provider: &'a str) -> SealedAt<'a> {
    SealedAt { table: "provider_configs", column: "client_secret_sealed", row: provider, instance: instance.as_str() }
}

/// How long a configuration may be served without a look at the database, if no notification comes.
const LIFE: Duration = Duration::from_secs(30);

/// Configurations by the version that a statement just read, cached: a refresh need not read them again.
pub struct ProviderConfigs(moka::future::Cache<(InstanceId, String, i64), Arc<ProviderConfig>>);

impl Default for ProviderConfigs {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(10_000).time_to_live(LIFE).build())
    }
}

impl ProviderConfigs {
    /// The configuration of `provider` in its version `version`; the newest one if that is gone.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn of_version(
        &self,
        db: &mut InstanceConnection<'_>,
        provider: &str,
        version: i64,
    ) -> sqlx::Result<Option<Arc<ProviderConfig>>> {
        let key = (db.instance().clone(), provider.to_owned(), version);
        if let Some(known) = self.0.get(&key).await {
            return Ok(Some(known));
        }
        let Some(config) = get(db, provider).await? else { return Ok(None) };
        let config = Arc::new(config);
        if config.version == version {
            self.0.insert(key, Arc::clone(&config)).await;
        }
        Ok(Some(config))
    }

    /// Forgets everything: a removed provider begins anew with version 1.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}

/// The configuration of one provider; `None` = never configured.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut InstanceConnection<'_>, provider: &str) -> sqlx::Result<Option<ProviderConfig>> {
    Ok(rows(db, Some(provider)).await?.pop())
}

/// Every configured provider, by slug.
///
/// # Errors
/// Storage faults.
pub async fn all(db: &mut InstanceConnection<'_>) -> sqlx::Result<Vec<ProviderConfig>> {
    rows(db, None).await
}

async fn rows(db: &mut InstanceConnection<'_>, provider: Option<&str>) -> sqlx::Result<Vec<ProviderConfig>> {
    let rows = sqlx::query!(
        r#"select provider as "provider: ProviderSlug", enabled, authenticatable, is_required, not_selectable, block_email_subaddresses,
               multiple_accounts, credentials as "credentials: Credentials", client_id, client_secret_sealed, scopes,
               allowed_additional_scopes, version, created_at, updated_at, parameters as "parameters: Json<std::collections::BTreeMap<String, String>>", custom
           from provider_configs where instance_id = $1 and ($2::text is null or provider = $2) order by provider"#,
        db.instance().as_str(),
        provider,
    )
    .fetch_all(db)
    .await?;
    let configs = rows.into_iter().map(|row| ProviderConfig {
        provider: row.provider,
        is_enabled: row.enabled,
        is_authenticatable: row.authenticatable,
        is_required: row.is_required,
        is_not_selectable: row.not_selectable,
        blocks_email_subaddresses: row.block_email_subaddresses,
        allows_multiple_accounts: row.multiple_accounts,
        credentials: row.credentials,
        client_id: row.client_id,
        client_secret_sealed: row.client_secret_sealed,
        scopes: row.scopes,
        allowed_additional_scopes: row.allowed_additional_scopes,
        version: row.version,
        parameters: row.parameters.0,
        custom: row.custom,
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(configs.collect())
}

/// Enables a built-in provider of a development instance as a simulation. Does nothing where it has a row.
///
/// # Errors
/// Storage faults; `provider_configs_simulated_check` for a production instance.
pub async fn enable_simulated(
    db: &mut InstanceConnection<'_>,
    provider: &str,
    blocks_email_subaddresses: bool,
    at: crate::model::time::Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into provider_configs (instance_id, provider, environment_type, enabled, block_email_subaddresses,
               credentials, created_at, updated_at)
           values ($1, $2, 'development', true, $3, 'simulated', $4, $4)
           on conflict (instance_id, provider) do nothing"#,
        db.instance().as_str(),
        provider,
        blocks_email_subaddresses,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a provider's row. False if there is one.
///
/// # Errors
/// Storage faults; `provider_configs_simulated_check` where production would simulate.
pub async fn insert(
    db: &mut InstanceConnection<'_>,
    environment: Environment,
    new: &ProviderConfig,
) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        r#"insert into provider_configs (instance_id, provider, environment_type, enabled, authenticatable, is_required,
               not_selectable, block_email_subaddresses, multiple_accounts, credentials, client_id, client_secret_sealed,
               scopes, allowed_additional_scopes, parameters, custom, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)
           on conflict (instance_id, provider) do nothing"#,
        db.instance().as_str(),
        new.provider.as_str(),
        environment as Environment,
        new.is_enabled,
        new.is_authenticatable,
        new.is_required,
        new.is_not_selectable,
        new.blocks_email_subaddresses,
        new.allows_multiple_accounts,
        new.credentials as Credentials,
        new.client_id,
        new.client_secret_sealed,
        &new.scopes,
        new.allowed_additional_scopes.as_deref(),
        Json(&new.parameters) as _,
        new.custom,
        new.created_at,
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() > 0)
}

/// Writes every setting of a provider's row, whose version grows, so that flows under way notice. False if the row is
/// not the one of `new.version` any more.
///
/// # Errors
/// Storage faults; `provider_configs_simulated_check` where production would simulate.
pub async fn replace(
    db: &mut InstanceConnection<'_>,
    new: &ProviderConfig,
    at: crate::model::time::Timestamp,
) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        r#"update provider_configs set enabled = $4, authenticatable = $5, is_required = $6, not_selectable = $7,
               block_email_subaddresses = $8, multiple_accounts = $9, credentials = $10, client_id = $11,
               client_secret_sealed = $12, scopes = $13, allowed_additional_scopes = $14, parameters = $15,
               custom = $16, version = version + 1, updated_at = $17
           where instance_id = $1 and provider = $2 and version = $3"#,
        db.instance().as_str(),
        new.provider.as_str(),
        new.version,
        new.is_enabled,
        new.is_authenticatable,
        new.is_required,
        new.is_not_selectable,
        new.blocks_email_subaddresses,
        new.allows_multiple_accounts,
        new.credentials as Credentials,
        new.client_id,
        new.client_secret_sealed,
        &new.scopes,
        new.allowed_additional_scopes.as_deref(),
        Json(&new.parameters) as _,
        new.custom,
        at,
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() > 0)
}

/// Removes a provider's row, unless it is an enabled custom one; people's accounts at it stay. False if nothing was
/// removed.
///
/// # Errors
/// Storage faults.
pub async fn remove_inactive(db: &mut InstanceConnection<'_>, provider: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!(
        "delete from provider_configs
         where instance_id = $1 and provider = $2 and not (enabled and custom is not null)",
        db.instance().as_str(),
        provider
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected() > 0)
}

/// How far signed-in users may go with a provider.
#[derive(Clone, Debug)]
pub struct Connecting {
    /// One user may have several accounts there.
    pub multiple_accounts: bool,
    /// The scopes that an app may ask for beyond the configured ones; `None` = any.
    pub allowed_additional_scopes: Option<Vec<String>>,
}

/// The rules for connecting accounts of a provider; `None` = never configured.
///
/// # Errors
/// Storage faults.
pub async fn connecting(db: &mut InstanceConnection<'_>, provider: &str) -> sqlx::Result<Option<Connecting>> {
    sqlx::query_as!(
        Connecting,
        "select multiple_accounts, allowed_additional_scopes from provider_configs
         where instance_id = $1 and provider = $2",
        db.instance().as_str(),
        provider,
    )
    .fetch_optional(db)
    .await
}
