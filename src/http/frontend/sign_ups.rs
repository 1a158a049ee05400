//! `/v1/client/sign_ups`: sign-up attempts.

use axum::extract::Path;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Answer;
use super::super::typed::typed;
use super::super::views;
use super::nonce;
use super::sign_ins::{is_social, request, spend_authorization_start};
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::provider_auth::transfer;
use crate::actions::sign_up::change::{self, Typed};
use crate::actions::sign_up::verify;
use crate::actions::start_provider_auth::Request;
use crate::actions::{attempt, email_link};
use crate::context::Ctx;
use crate::model::linking::AttemptKind;
use crate::model::problem::{Problem, code};
use crate::model::strategy::{RequestedStrategy, Strategy};

/// `POST /v1/client/sign_ups`: begins a sign-up with a provider or an identifier, or takes one over from a sign-in
/// (`transfer=true`).
pub async fn create(ctx: Ctx, browser: Browser, Body(params): Body) -> Answer {
    let token = browser.hash;
    let typed = typed(&params)?;
    if params.flag("transfer")? == Some(true) {
        let moved = transfer::transfer(&ctx, token.as_ref(), AttemptKind::SignUp, &typed.fields).await?;
        return respond_with_finished(&ctx, &browser, &moved.updated, &moved.attempt).await;
    }
    let begun = change::begin(&ctx, token.as_ref(), &typed, provider(&params, &browser)?).await?;
    respond_with_finished(&ctx, &browser, &begun.updated, &begun.id).await
}

/// `PATCH /v1/client/sign_ups/{id}`: changes what the attempt has, or adds a provider.
pub async fn update(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let (token, typed) = (browser.hash, typed(&params)?);
    let updated = change::change(&ctx, token.as_ref(), &id, &typed, provider(&params, &browser)?).await?;
    respond_with_finished(&ctx, &browser, &updated, &id).await
}

/// `POST /v1/client/sign_ups/{id}/prepare_verification`: sends a code or link, or the person to a provider.
pub async fn prepare_verification(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let (token, strategy) = (browser.hash, RequestedStrategy::parse(params.required("strategy")?));
    if let Some(request) = provider(&params, &browser)? {
        spend_authorization_start(&ctx)?;
        let updated = change::change(&ctx, token.as_ref(), &id, &Typed::default(), Some(request)).await?;
        return answer::respond(&ctx, &browser, &updated, Resource::SignUp).await;
    }
    let updated = verify::prepare(&ctx, token.as_ref(), &id, &strategy, params.text("redirect_url")).await?;
    answer::respond(&ctx, &browser, &updated, Resource::SignUp).await
}

/// `POST /v1/client/sign_ups/{id}/attempt_verification`: checks a code.
pub async fn attempt_verification(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    if RequestedStrategy::parse(params.required("strategy")?).known() != Some(&Strategy::EmailCode) {
        return Err(code::VERIFICATION_STRATEGY_INVALID.into());
    }
    let token = browser.hash;
    let updated = verify::attempt_code(&ctx, token.as_ref(), &id, params.required("code")?).await?;
    respond_with_finished(&ctx, &browser, &updated, &id).await
}

/// The authorization at a provider that a body asks for.
fn provider<'a>(params: &'a Params, browser: &Browser) -> Result<Option<Request<'a>>, Problem> {
    if is_social(params) { request(params, browser).map(Some) } else { Ok(None) }
}

/// The attempt of an act, which may be over and gone from the client.
async fn respond_with_finished(ctx: &Ctx, browser: &Browser, updated: &ClientUpdate, id: &str) -> Answer {
    let shown = attempt::sign_up(ctx, &updated.client, id).await?;
    let shown = Resource::Shown(views::sign_up::sign_up(&shown, ctx.now));
    answer::respond(ctx, browser, updated, shown).await
}

/// `GET /v1/client/sign_ups/{id}`: the client's current sign-up, finished now if its link was opened in another
/// browser.
pub async fn show(ctx: Ctx, browser: Browser, Path(id): Path<String>, Query(query): Query) -> Answer {
    let (token, issued) = nonce::present(&ctx, &browser, &query).await?;
    let client = actions::client::read(&ctx, token.as_ref()).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let current = client.sign_up.as_ref().filter(|attempt| attempt.id.as_str() == id);
    let current = current.ok_or(code::RESOURCE_NOT_FOUND)?;
    if current.waits_for_opened_link()
        && let Some(updated) = email_link::finish_elsewhere_opened(&ctx, token.as_ref(), &id).await?
    {
        return respond_with_finished(&ctx, &browser, &updated, &id).await;
    }
    let shown = Resource::Shown(views::sign_up::sign_up(current, ctx.now));
    answer::respond(&ctx, &browser, &ClientUpdate { client, issued }, shown).await
}
