//! Which providers an instance has enabled, and its credentials there.

use std::sync::Arc;
use std::time::Duration;

use sqlx::types::Json;

use crate::crypto::SealedAt;
use crate::model::id::InstanceId;
use crate::model::provider_config::{Credentials, ProviderConfig};

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
        db: &sqlx::PgPool,
        instance: &InstanceId,
        provider: &str,
        version: i64,
    ) -> sqlx::Result<Option<Arc<ProviderConfig>>> {
        let key = (instance.clone(), provider.to_owned(), version);
        if let Some(known) = self.0.get(&key).await {
            return Ok(Some(known));
        }
        let Some(config) = get(db, instance, provider).await? else { return Ok(None) };
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
pub async fn get(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    provider: &str,
) -> sqlx::Result<Option<ProviderConfig>> {
    Ok(rows(db, instance, Some(provider)).await?.pop())
}

/// Every configured provider, by slug.
///
/// # Errors
/// Storage faults.
pub async fn all(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId) -> sqlx::Result<Vec<ProviderConfig>> {
    rows(db, instance, None).await
}

async fn rows(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    provider: Option<&str>,
) -> sqlx::Result<Vec<ProviderConfig>> {
    let rows = sqlx::query!(
        r#"select provider, enabled, authenticatable, is_required, not_selectable, block_email_subaddresses,
               credentials, client_id, client_secret_sealed, scopes, version,
               parameters as "parameters: Json<std::collections::BTreeMap<String, String>>", custom
           from provider_configs where instance_id = $1 and ($2::text is null or provider = $2) order by provider"#,
        instance.as_str(),
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
        credentials: if row.credentials == "custom" { Credentials::Custom } else { Credentials::Simulated },
        client_id: row.client_id,
        client_secret_sealed: row.client_secret_sealed,
        scopes: row.scopes,
        version: row.version,
        parameters: row.parameters.0,
        custom: row.custom,
    });
    Ok(configs.collect())
}

/// Enables a built-in provider of a development instance as a simulation. Does nothing where it has a row.
///
/// # Errors
/// Storage faults; `provider_configs_simulated_check` for a production instance.
pub async fn enable_simulated(
    db: &mut sqlx::PgConnection,
    instance: &InstanceId,
    provider: &str,
    at: crate::model::time::Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into provider_configs (instance_id, provider, environment_type, enabled, credentials, created_at,
               updated_at)
           values ($1, $2, 'development', true, 'simulated', $3, $3) on conflict (instance_id, provider) do nothing"#,
        instance.as_str(),
        provider,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What changes in a provider's row; its version grows, so that flows under way notice.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Slug, without `oauth_`.
    pub provider: &'a str,
    /// The instance's environment, for the constraint that production never simulates.
    pub environment: &'a str,
    /// Flows may use it.
    pub is_enabled: bool,
    /// Whose credentials.
    pub credentials: Credentials,
    /// The operator's client id.
    pub client_id: Option<&'a str>,
    /// The operator's client secret, sealed.
    pub client_secret_sealed: Option<&'a [u8]>,
    /// Scopes beyond the provider's base ones; `None` leaves them.
    pub scopes: Option<&'a [String]>,
    /// Set exactly for custom providers; `None` leaves it.
    pub custom: Option<&'a serde_json::Value>,
}

/// Writes a provider's row, new or changed. Returns whether it is new.
///
/// # Errors
/// Storage faults; `provider_configs_simulated_check` where production would simulate.
pub async fn put(
    db: &mut sqlx::PgConnection,
    instance: &InstanceId,
    change: &Change<'_>,
    at: crate::model::time::Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"insert into provider_configs as p (instance_id, provider, environment_type, enabled, credentials, client_id,
               client_secret_sealed, scopes, custom, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, coalesce($8::text[], '{}'), $9, $10, $10)
           on conflict (instance_id, provider) do update set enabled = excluded.enabled,
               credentials = excluded.credentials, client_id = excluded.client_id,
               client_secret_sealed = excluded.client_secret_sealed, scopes = coalesce($8::text[], p.scopes),
               custom = coalesce($9, p.custom), version = p.version + 1, updated_at = $10
           returning (version = 1) as "is_new!""#,
        instance.as_str(),
        change.provider,
        change.environment,
        change.is_enabled,
        change.credentials.as_str(),
        change.client_id,
        change.client_secret_sealed,
        change.scopes,
        change.custom,
        at
    )
    .fetch_one(db)
    .await
}

/// Removes a provider's row; people's accounts at it stay. False if there was none.
///
/// # Errors
/// Storage faults.
pub async fn remove(db: &mut sqlx::PgConnection, instance: &InstanceId, provider: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!(
        "delete from provider_configs where instance_id = $1 and provider = $2",
        instance.as_str(),
        provider
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected() > 0)
}
