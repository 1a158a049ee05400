//! Signing in and up on the start pages without a provider: an identifier, or the fields of a sign-up.

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::super::extract::{Browser, Params};
use super::super::typed::typed;
use super::fields_view::Field;
use super::landing::{Door, Landing};
use super::outcome::hand_over;
use super::start::Remark;
use super::{factor_one, reasons, sign_up_steps, start_page, steps};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flows;
use crate::flows::client::Acted;
use crate::flows::configured::Offered;
use crate::flows::factors;
use crate::flows::sign_in::identify::{self, Identify};
use crate::flows::sign_in::password;
use crate::flows::sign_up::change;
use crate::model::client::Client;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::settings::SignUpMode;

/// A start page whose fields were filled in.
pub(super) struct ByHand<'a> {
    /// The context.
    pub ctx: &'a Ctx,
    /// Who calls.
    pub browser: &'a Browser,
    /// Which page.
    pub door: Door,
    /// Where it leads in the end.
    pub landing: &'a Landing,
    /// The caller's client.
    pub client: &'a Client,
    /// The page's providers.
    pub offered: &'a [Offered],
}

/// What somebody without a provider fills in; nothing where he could not go on.
pub(super) fn fields(ctx: &Ctx, door: Door) -> Vec<Field> {
    let settings = &ctx.instance.settings;
    let rules = &settings.attributes;
    let can_prove = !factors::offer(ctx).proofs().is_empty();
    let has_passwords = rules.password.is_enabled();
    if door == Door::SignIn {
        // Whoever has a code sent leaves the password out.
        let wanted = [("identifier", can_prove || has_passwords, true), ("password", has_passwords, !can_prove)];
        let wanted = wanted.into_iter().filter(|(_, is_wanted, _)| *is_wanted);
        return wanted.filter_map(|(name, _, is_required)| Field::of(name, is_required)).collect();
    }
    let can_have = rules.email_address.enabled && (can_prove || !rules.email_address.verify_at_sign_up);
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

/// True if a form holds something of a person, rather than a provider's button.
pub(super) fn is_filled_in(form: &Params) -> bool {
    ["identifier", "email_address", "username"].iter().any(|name| form.text(name).is_some())
}

impl ByHand<'_> {
    /// Begins with what was filled in: on to the next step, or the same page with what is wrong.
    ///
    /// # Errors
    /// Refusals that are about none of the fields, storage faults.
    pub(super) async fn begin(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let begun = match self.door {
            Door::SignIn => self.sign_in(token, form).await,
            Door::SignUp => self.sign_up(token, form).await,
        };
        match begun {
            Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
                Ok(Redirect::to(&self.landing.target).into_response())
            }
            Err(Error::Problem(problem)) if matches!(problem.status, 403 | 409 | 422 | 429) => {
                self.again(form, &problem).await
            }
            // The account has no password, and that is no secret here: the page offers what it has.
            Err(Error::Problem(problem)) if problem.code() == code::STRATEGY_FOR_USER_INVALID => {
                self.other_ways().await
            }
            other => other,
        }
    }

    async fn sign_in(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let identifier = form.required("identifier")?.trim();
        if let Some(typed) = form.text("password") {
            let done = password::begin(self.ctx, token, identifier, typed).await?;
            return steps::go_on_signing_in(self.ctx, self.browser, self.landing, &done.acted);
        }
        let asked = Identify { identifier, sign_up_if_missing: false, prepare: None };
        let acted = identify::identify(self.ctx, token, asked).await?;
        factor_one::send_first(self.ctx, self.browser, &acted).await?;
        let mut response = Redirect::to(&self.landing.carry(self.door.next_path())).into_response();
        hand_over(self.ctx, self.browser, &acted, &mut response)?;
        Ok(response)
    }

    /// To the ways into the account that was named.
    async fn other_ways(&self) -> Result<Response> {
        let client = flows::client::read(self.ctx, self.browser.hash(self.ctx).as_ref()).await?;
        let client = client.ok_or(code::RESOURCE_NOT_FOUND)?;
        factor_one::send_first(self.ctx, self.browser, &Acted { client, issued: None }).await?;
        Ok(Redirect::to(&self.landing.carry(self.door.next_path())).into_response())
    }

    async fn sign_up(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let begun = change::begin(self.ctx, token, &typed(form)?, None).await?;
        steps::go_on_signing_up(self.ctx, self.browser, self.landing, &begun.acted).await
    }

    /// The page once more, with what was filled in and what is wrong with it.
    async fn again(&self, form: &Params, problem: &Problem) -> Result<Response> {
        let (fields, other) = sign_up_steps::told(fields(self.ctx, self.door), Some(form), Some(problem));
        let remark = match (other, problem.why) {
            (None, _) => Remark::None,
            _ if matches!(problem.status, 409 | 429) => Remark::Wait(problem.retry_after.unwrap_or(1)),
            (Some(_), Some(why)) if problem.status == 403 => {
                let key = reasons::text_key(why.reason, why.detail).unwrap_or("our_fault");
                Remark::Problem(reasons::sentence(key, None), StatusCode::FORBIDDEN)
            }
            (Some(sentence), _) => Remark::Problem(sentence, StatusCode::UNPROCESSABLE_ENTITY),
        };
        let (ctx, client, door) = (self.ctx, self.client, self.door);
        start_page::show(ctx, client, door, self.landing, self.offered, fields, remark).await
    }
}
