//! A provider's settings as they are shown: by the backend API and by the command line alike. Secrets are not among them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Ctx;
use crate::model::provider_config::{Credentials, ProviderConfig};
use crate::model::strategy::Strategy;
use crate::model::time::millis;

/// What can be seen of a provider.
#[derive(Debug, Serialize)]
pub struct Description {
    object: &'static str,
    /// Slug: `google`, `custom_acme`.
    pub key: String,
    /// `oauth_google`.
    pub strategy: Strategy,
    /// The name people read.
    pub name: String,
    /// Why no flow can begin although it is enabled: the code that a start answers.
    pub problem: Option<&'static str>,
    /// Requested always.
    pub base_scopes: Vec<String>,
    #[serde(flatten)]
    settings: Value,
    client_secret_set: bool,
    /// What to register at the provider.
    pub callback_url: String,
    created_at: i64,
    updated_at: i64,
}

/// What can be seen of `config`.
pub fn describe(ctx: &Ctx, config: &ProviderConfig) -> Description {
    let known = ctx.app.catalogue.get(&config.provider);
    let said = |member: &str| config.custom.as_ref().and_then(|custom| custom.get(member)).cloned();
    let name = said("name").and_then(|name| name.as_str().map(str::to_owned));
    let scopes = said("scopes").and_then(|scopes| serde_json::from_value(scopes).ok());
    Description {
        object: "vestibule_provider",
        key: config.provider.to_string(),
        strategy: Strategy::OAuth(config.provider.clone()),
        name: name.or_else(|| known.map(|known| known.name.clone())).unwrap_or_else(|| config.provider.to_string()),
        problem: problem(config),
        base_scopes: scopes.or_else(|| known.map(|known| known.authorize.base_scopes.clone())).unwrap_or_default(),
        settings: settings(config),
        client_secret_set: config.client_secret_sealed.is_some(),
        callback_url: ctx.instance.url("/v1/oauth_callback"),
        created_at: millis(config.created_at),
        updated_at: millis(config.updated_at),
    }
}

fn problem(config: &ProviderConfig) -> Option<&'static str> {
    let has_secret = config.client_secret_sealed.is_some() || config.custom.is_some();
    let lacks = config.credentials == Credentials::Custom && !(config.client_id.is_some() && has_secret);
    lacks.then_some("oauth_config_missing")
}

/// The settings by the names of the backend API, all but the secret.
pub(super) fn settings(config: &ProviderConfig) -> Value {
    json!({
        "enabled": config.is_enabled,
        "authenticatable": config.is_authenticatable,
        "required": config.is_required,
        "not_selectable": config.is_not_selectable,
        "block_email_subaddresses": config.blocks_email_subaddresses,
        "multiple_accounts": config.allows_multiple_accounts,
        "credentials": config.credentials.as_str(),
        "client_id": config.client_id,
        "scopes": config.scopes,
        "allowed_additional_scopes": config.allowed_additional_scopes,
        "parameters": config.parameters,
        "custom": config.custom,
    })
}
