//! Which providers `vestibule dev` plays itself.

use super::{Patch, ProviderError, Switch, add, change};
use crate::context::Ctx;
use crate::model::provider_config::Credentials;
use crate::model::strategy::ProviderSlug;
use crate::store::audit::Actor;
use crate::store::provider_configs;

/// Switches a simulation on or off; a provider with credentials of its own is left alone.
///
/// # Errors
/// As [`add`] and [`change`].
pub async fn simulate(ctx: &Ctx, slug: &ProviderSlug, switch: Switch, actor: &Actor) -> Result<(), ProviderError> {
    let found = provider_configs::get(&mut ctx.db(), slug).await?;
    let is_wanted = switch == Switch::On;
    match found {
        None if is_wanted => {
            let patch = Patch { credentials: Some(Credentials::Simulated), ..Patch::default() };
            add(ctx, slug, &patch, Switch::On, actor).await.map(drop)
        }
        Some(config) if config.credentials == Credentials::Simulated && config.is_enabled != is_wanted => {
            let patch = Patch { is_enabled: Some(is_wanted), ..Patch::default() };
            change(ctx, slug, &patch, actor).await.map(drop)
        }
        _ => Ok(()),
    }
}
