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
use crate::model::settings::SignUpMode;

/// The providers a start page shows.
///
/// # Errors
/// A fault of the store.
pub async fn selectable_providers(ctx: &Ctx) -> Result<Vec<EnabledProvider>> {
    let mut offered = configured::enabled_providers(ctx).await?;
    offered.retain(|provider| provider.is_authenticatable && !provider.is_not_selectable);
    Ok(offered)
}

/// What somebody without a provider fills in; nothing where they could not go on.
pub fn fields(ctx: &Ctx, entry: EntryPage) -> Vec<Field> {
    let settings = &ctx.instance.settings;
    let rules = &settings.attributes;
    let can_verify = !factors::supported_factors(ctx).verification_strategies().is_empty();
    let has_passwords = rules.password.is_enabled();
    if entry == EntryPage::SignIn {
        // Whoever has a code sent leaves the password out.
        let wanted = [("identifier", can_verify || has_passwords, true), ("password", has_passwords, !can_verify)];
        let wanted = wanted.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        return wanted.filter_map(|(name, _, is_required)| Field::of(name, is_required)).collect();
    }
    let can_have = rules.email_address.enabled && (can_verify || !rules.email_address.verify_at_sign_up);
    if settings.sign_up.mode != SignUpMode::Public || !can_have {
        return Vec::new();
    }
    let wanted = [
        ("first_name", rules.first_name.required),
        ("last_name", rules.last_name.required),
        ("username", rules.username.required),
        ("email_address", true),
        ("password", has_passwords),
        ("legal_accepted", settings.legal_consent),
    ];
    let wanted = wanted.into_iter().filter(|(_, is_wanted)| *is_wanted);
    let is_required = |name: &str| name != "password" || rules.password.required;
    wanted.filter_map(|(name, _)| Field::chosen(name, is_required(name), &rules.password)).collect()
}

/// The start page of an entry page, for one browser.
pub struct StartPage<'a> {
    /// The context.
    pub ctx: &'a Ctx,
    /// The browser's client.
    pub client: &'a Client,
    /// Which page.
    pub entry: EntryPage,
    /// Where it leads in the end.
    pub redirects: &'a RedirectParams,
    /// The providers it shows.
    pub offered: &'a [EnabledProvider],
}

impl StartPage<'_> {
    /// The page with empty fields.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn show(&self, remark: StartMessage) -> Result<Response> {
        self.show_with(fields(self.ctx, self.entry), remark).await
    }

    /// The page with these fields.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn show_with(&self, fields: Vec<Field>, remark: StartMessage) -> Result<Response> {
        let Self { ctx, client, entry, redirects, offered } = *self;
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
}
