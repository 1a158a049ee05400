//! The social providers of an instance: added, described, changed and removed, by the command line and the backend API
//! alike.

mod change;
mod custom;
mod describe;
mod patch;
mod problem;
mod simulation;

pub use change::{add, change, remove};
pub use custom::is_of_document;
pub use describe::{Description, describe};
pub use patch::{Patch, Set};
pub use problem::{ProviderError, of_discovery};
pub use simulation::simulate;

use crate::context::Ctx;
use crate::model::provider_config::ProviderConfig;
use crate::model::strategy::ProviderSlug;
use crate::store::provider_configs;
use crate::upstream::catalogue::Named;

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

/// The slug that `name` means: with or without `oauth_`, older names included.
///
/// # Errors
/// [`ProviderError::Unknown`].
pub fn slug(ctx: &Ctx, name: &str) -> Result<ProviderSlug, ProviderError> {
    let found = ctx.app.catalogue.by_name(name).and_then(|named: Named<'_>| ProviderSlug::parse(named.slug()));
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
    let found = provider_configs::get(&mut ctx.db(), slug).await?;
    found.ok_or_else(|| ProviderError::Absent(slug.to_owned()))
}

/// Every configured provider, by slug.
///
/// # Errors
/// Storage faults.
pub async fn list(ctx: &Ctx) -> Result<Vec<ProviderConfig>, ProviderError> {
    Ok(provider_configs::all(&mut ctx.db()).await?)
}
