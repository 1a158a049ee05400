//! `/v1/me/external_accounts`: the accounts at providers of the signed-in user. An account is named by its own id or by
//! that of the identification behind it.

use axum::extract::Path;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Answer;
use super::super::views::user::{begun_account, deleted_account, external_account};
use super::me::SESSION;
use crate::actions::provider_auth::connect::{self, ConnectionStart};
use crate::actions::provider_auth::disconnect;
use crate::actions::start_provider_auth::Request;
use crate::context::Ctx;
use crate::model::problem::code;
use crate::model::strategy::RequestedStrategy;

/// What an app may say about the authorization.
fn request<'a>(params: &'a Params, browser: &Browser) -> Request<'a> {
    Request {
        strategy: RequestedStrategy::parse(params.text("strategy").unwrap_or_default()),
        redirect_url: params.text("redirect_url"),
        complete_url: params.text("action_complete_redirect_url"),
        prompt: params.text("oidc_prompt"),
        login_hint: params.text("oidc_login_hint"),
        transport: browser.transport(),
        additional_scopes: Vec::new(),
    }
}

/// `POST /v1/me/external_accounts`: begins to connect an account.
pub async fn create(ctx: Ctx, browser: Browser, Query(query): Query, Body(params): Body) -> Answer {
    let scopes = connect::scopes(&params.list("additional_scope"))?;
    let strategy = RequestedStrategy::parse(params.required("strategy")?);
    let request = Request { strategy, additional_scopes: scopes, ..request(&params, &browser) };
    let session = query.text(SESSION);
    let begun = connect::connect(&ctx, browser.hash.as_ref(), session, request).await?;
    show(&ctx, &browser, &begun).await
}

/// `PATCH /v1/me/external_accounts/{id}/reauthorize`: begins to have an account approved once more.
pub async fn reauthorize(
    ctx: Ctx,
    browser: Browser,
    Path(id): Path<String>,
    Query(query): Query,
    Body(params): Body,
) -> Answer {
    let scopes = connect::scopes(&params.list("additional_scope"))?;
    let session = query.text(SESSION);
    let request = Request { additional_scopes: scopes, ..request(&params, &browser) };
    let token = browser.hash;
    let begun = connect::reauthorize(&ctx, token.as_ref(), session, &id, request).await?;
    show(&ctx, &browser, &begun).await
}

async fn show(ctx: &Ctx, browser: &Browser, begun: &ConnectionStart) -> Answer {
    let shown = begun_account(&begun.account, &begun.url, ctx.now);
    answer::respond(ctx, browser, &begun.updated, Resource::Shown(shown)).await
}

/// `DELETE /v1/me/external_accounts/{id}`.
pub async fn remove(ctx: Ctx, browser: Browser, Path(id): Path<String>, Query(query): Query) -> Answer {
    let token = browser.hash;
    let (id, updated) = disconnect::disconnect(&ctx, token.as_ref(), query.text(SESSION), &id).await?;
    answer::respond(&ctx, &browser, &updated, Resource::Shown(deleted_account(&id))).await
}

/// `DELETE /v1/me/external_accounts/{id}/tokens`.
pub async fn forget_tokens(ctx: Ctx, browser: Browser, Path(id): Path<String>, Query(query): Query) -> Answer {
    let token = browser.hash;
    let updated = disconnect::forget_tokens(&ctx, token.as_ref(), query.text(SESSION), &id).await?;
    let accounts = updated.client.sessions.iter().flat_map(|session| &session.user.external_accounts);
    let is_it = |account: &&_| is_named(account, &id);
    let account = accounts.into_iter().find(is_it).ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    let shown = Resource::Shown(external_account(account, ctx.now));
    answer::respond(&ctx, &browser, &updated, shown).await
}

fn is_named(account: &crate::model::user::ExternalAccount, id: &str) -> bool {
    account.id.as_str() == id || account.identification_id.as_str() == id
}
