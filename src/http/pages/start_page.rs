//! The start page of an entry page as it is shown now: its providers, its fields, and what is said above them.

use axum::response::Response;

use super::fields_view::Field;
use super::redirect_page::leads_to;
use super::redirect_params::{EntryPage, RedirectParams};
use super::start_view::{ProviderButton, Start, StartMessage};
use super::{authorization_target, csrf, page_request};
use crate::actions::configured::{self, EnabledProvider};
use crate::actions::factors;
use crate::context::Ctx;
use crate::model::client::Client;
use crate::model::problem::Result;

/// The providers a start page shows.
///
/// # Errors
/// A fault of the store.
pub async fn selectable_providers(ctx: &Ctx) -> Result<Vec<EnabledProvider>> {
    let mut offered = configured::enabled_providers(ctx).await?;
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
    entry: EntryPage,
    redirects: &RedirectParams,
    offered: &[EnabledProvider],
    fields: Vec<Field>,
    remark: StartMessage,
) -> Result<Response> {
    let button = |offered: &EnabledProvider| ProviderButton {
        key: offered.slug.to_string(),
        name: offered.name.clone(),
        was_last: client.last_authentication_strategy.as_ref() == Some(&offered.strategy()),
        leads_to: leads_to(offered),
    };
    let start = Start {
        instance: &ctx.instance,
        entry,
        redirects,
        beyond: authorization_target::place(ctx, &redirects.target).await?,
        csrf: csrf::field(ctx, &client.id, entry.path()),
        providers: offered.iter().map(button).collect(),
        fields,
        forgot: (entry == EntryPage::SignIn && factors::supported_factors(ctx).resets_passwords())
            .then(|| redirects.carry(page_request::RESET)),
        remark,
    };
    Ok(start.render())
}
