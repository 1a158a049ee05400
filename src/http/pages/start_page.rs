//! The start page of a door as it is shown now: its providers, its fields, and what is said above them.

use axum::response::Response;

use super::fields_view::Field;
use super::landing::{Door, Landing};
use super::onward::leads_to;
use super::start::{ProviderButton, Remark, Start};
use super::{beyond, csrf, steps};
use crate::context::Ctx;
use crate::flows::configured::{self, Offered};
use crate::flows::factors;
use crate::model::client::Client;
use crate::model::problem::Result;

/// The providers a start page shows.
///
/// # Errors
/// A fault of the store.
pub async fn offered(ctx: &Ctx) -> Result<Vec<Offered>> {
    let mut offered = configured::offered(ctx).await?;
    offered.retain(|provider| provider.is_authenticatable && !provider.is_not_selectable);
    Ok(offered)
}

/// The start page with these fields.
///
/// # Errors
/// A fault of the store.
pub async fn show(
    ctx: &Ctx,
    client: &Client,
    door: Door,
    landing: &Landing,
    offered: &[Offered],
    fields: Vec<Field>,
    remark: Remark,
) -> Result<Response> {
    let button = |offered: &Offered| ProviderButton {
        key: offered.slug.clone(),
        name: offered.name.clone(),
        was_last: client.last_authentication_strategy.as_ref() == Some(&offered.strategy),
        leads_to: leads_to(offered),
    };
    let start = Start {
        instance: &ctx.instance,
        door,
        landing,
        beyond: beyond::place(ctx, &landing.target).await?,
        csrf: csrf::field(ctx, &client.id, door.path()),
        providers: offered.iter().map(button).collect(),
        fields,
        forgot: (door == Door::SignIn && factors::offer(ctx).resets_passwords()).then(|| landing.carry(steps::RESET)),
        remark,
    };
    Ok(start.render())
}
