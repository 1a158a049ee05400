//! `/v1/client/sign_ins`: sign-in attempts.

use axum::extract::Path;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Answer;
use super::super::route::Limit;
use super::super::views;
use super::nonce;
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::provider_auth::transfer;
use crate::actions::sign_in::first_factor::{self, Prepare};
use crate::actions::sign_in::identify::{self, Identify};
use crate::actions::sign_in::password::{self, SignInUpdate};
use crate::actions::start_provider_auth::{self, Request};
use crate::actions::{attempt, email_link};
use crate::context::Ctx;
use crate::limits;
use crate::model::client::SignIn;
use crate::model::linking::AttemptKind;
use crate::model::problem::{Problem, code};
use crate::model::strategy::{RequestedStrategy, Strategy};
use crate::store::attempts::SignUpFields;

/// `POST /v1/client/sign_ins`: begins a sign-in with a provider or for an identifier, or takes one over from a sign-up
/// (`transfer=true`).
pub async fn create(ctx: Ctx, browser: Browser, Body(params): Body) -> Answer {
    let token = browser.hash;
    if params.flag("transfer")? == Some(true) {
        let moved = transfer::transfer(&ctx, token.as_ref(), AttemptKind::SignIn, &SignUpFields::default()).await?;
        return respond_with_finished(&ctx, &browser, &moved.updated, &moved.attempt).await;
    }
    if let (Some(identifier), Some(typed)) = (params.text("identifier"), params.text("password")) {
        return respond_with_attempt(&ctx, &browser, &password::begin(&ctx, token.as_ref(), identifier, typed).await?)
            .await;
    }
    let strategy = strategy(&params);
    let updated = match params.text("identifier").filter(|_| !is_social(&params)) {
        Some(identifier) => {
            let sign_up_if_missing = params.flag("sign_up_if_missing")? == Some(true);
            let prepare = strategy.as_ref().map(|strategy| prepare_of(&params, strategy));
            let asked = Identify { identifier, sign_up_if_missing, prepare };
            identify::identify(&ctx, token.as_ref(), asked).await?
        }
        None if is_blank(&params) => {
            start_provider_auth::create_attempt(&ctx, token.as_ref(), AttemptKind::SignIn, &SignUpFields::default())
                .await?
        }
        None => {
            start_provider_auth::start(&ctx, token.as_ref(), AttemptKind::SignIn, request(&params, &browser)?).await?
        }
    };
    answer::respond(&ctx, &browser, &updated, Resource::SignIn).await
}

/// The factor that a body names.
fn prepare_of<'a>(params: &'a Params, strategy: &'a RequestedStrategy<'a>) -> Prepare<'a> {
    Prepare { strategy, address: params.text("email_address_id"), redirect_url: params.text("redirect_url") }
}

/// The strategy that a body names.
pub fn strategy(params: &Params) -> Option<RequestedStrategy<'_>> {
    params.text("strategy").map(RequestedStrategy::parse)
}

/// True if a body names a provider's strategy.
pub fn is_social(params: &Params) -> bool {
    strategy(params).is_some_and(|strategy| strategy.is_social())
}

/// Spends one start: an authorization at a provider inside an attempt costs what one that begins an attempt does. What
/// is mailed has limits of its own, so the routes that do both declare none.
///
/// # Errors
/// `too_many_requests`.
pub fn spend_authorization_start(ctx: &Ctx) -> Result<(), Problem> {
    limits::spend(ctx, Limit::CreateAttempt)
}

/// True if a body names no way to sign in or up: the SDK resets an attempt with such.
pub fn is_blank(params: &Params) -> bool {
    let names = ["strategy", "identifier", "password", "ticket", "token", "code"];
    names.iter().all(|name| params.text(name).is_none())
}

/// What both kinds of attempt read about the provider.
///
/// # Errors
/// `form_param_missing` without a strategy; `form_param_value_invalid` for one that is no provider's.
pub fn request<'a>(params: &'a Params, browser: &Browser) -> Result<Request<'a>, Problem> {
    let strategy = RequestedStrategy::parse(params.required("strategy")?);
    if !strategy.is_social() {
        return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("strategy"));
    }
    Ok(Request {
        strategy,
        redirect_url: params.text("redirect_url"),
        complete_url: params.text("action_complete_redirect_url"),
        prompt: params.text("oidc_prompt"),
        login_hint: params.text("oidc_login_hint"),
        transport: browser.transport(),
        additional_scopes: Vec::new(),
    })
}

/// `POST /v1/client/sign_ins/{id}/prepare_first_factor`: sends a code or link, or the person to a provider.
pub async fn prepare_first_factor(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let strategy = RequestedStrategy::parse(params.required("strategy")?);
    if strategy.is_social() {
        spend_authorization_start(&ctx)?;
        let token = browser.hash;
        let updated = first_factor::prepare_social(&ctx, token.as_ref(), &id, request(&params, &browser)?).await?;
        return answer::respond(&ctx, &browser, &updated, Resource::SignIn).await;
    }
    let asked = prepare_of(&params, &strategy);
    let updated = first_factor::prepare(&ctx, browser.hash.as_ref(), &id, asked).await?;
    answer::respond(&ctx, &browser, &updated, Resource::SignIn).await
}

/// `POST /v1/client/sign_ins/{id}/attempt_first_factor`: checks a code or password.
pub async fn attempt_first_factor(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let (token, strategy) = (browser.hash, RequestedStrategy::parse(params.required("strategy")?));
    if strategy.known() == Some(&Strategy::Password) {
        let typed = params.required("password")?;
        return respond_with_attempt(&ctx, &browser, &password::attempt(&ctx, token.as_ref(), &id, typed).await?).await;
    }
    let updated = first_factor::attempt_code(&ctx, token.as_ref(), &id, &strategy, params.text("code")).await?;
    // Whoever sends the new password along with the code has chosen it already.
    let is_reset = strategy.known() == Some(&Strategy::ResetPasswordEmailCode);
    let updated = match params.text("password").filter(|_| is_reset) {
        Some(chosen) => password::reset(&ctx, token.as_ref(), &id, chosen).await?,
        None => updated,
    };
    respond_with_finished(&ctx, &browser, &updated, &id).await
}

/// `POST /v1/client/sign_ins/{id}/reset_password`: chooses the new password that the sign-in waits for.
pub async fn reset_password(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let token = browser.hash;
    let updated = password::reset(&ctx, token.as_ref(), &id, params.required("password")?).await?;
    respond_with_finished(&ctx, &browser, &updated, &id).await
}

/// The attempt of an act, which may be over and gone from the client.
async fn respond_with_finished(ctx: &Ctx, browser: &Browser, updated: &ClientUpdate, id: &str) -> Answer {
    respond_with(ctx, browser, updated, &attempt::sign_in(ctx, &updated.client, id).await?).await
}

/// The attempt after its password was looked at.
async fn respond_with_attempt(ctx: &Ctx, browser: &Browser, done: &SignInUpdate) -> Answer {
    respond_with(ctx, browser, &done.updated, &done.attempt).await
}

async fn respond_with(ctx: &Ctx, browser: &Browser, updated: &ClientUpdate, attempt: &SignIn) -> Answer {
    let shown = Resource::Shown(views::sign_in::sign_in(attempt, &ctx.instance, ctx.now));
    answer::respond(ctx, browser, updated, shown).await
}

/// `GET /v1/client/sign_ins/{id}`: the client's current sign-in. A first tab that waits for a link asks here; if the
/// link was opened in another browser, the sign-in is finished now.
pub async fn show(ctx: Ctx, browser: Browser, Path(id): Path<String>, Query(query): Query) -> Answer {
    let (token, issued) = nonce::present(&ctx, &browser, &query).await?;
    let client = actions::client::read(&ctx, token.as_ref()).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let current = client.sign_in.as_ref().filter(|attempt| attempt.id.as_str() == id);
    let current = current.ok_or(code::RESOURCE_NOT_FOUND)?;
    if current.waits_for_opened_link()
        && let Some(updated) = email_link::finish_elsewhere_opened(&ctx, token.as_ref(), &id).await?
    {
        return respond_with_finished(&ctx, &browser, &updated, &id).await;
    }
    let attempt = current.clone();
    respond_with(&ctx, &browser, &ClientUpdate { client, issued }, &attempt).await
}
