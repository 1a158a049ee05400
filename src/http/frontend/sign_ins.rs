//! `/v1/client/sign_ins`: sign-in attempts.

use axum::extract::Path;
use serde_json::json;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser, Params};
use super::super::problem::Answer;
use super::super::views;
use crate::context::Ctx;
use crate::flows;
use crate::flows::client::Acted;
use crate::flows::social::start::{self, Request};
use crate::flows::social::transfer;
use crate::model::linking::Started;
use crate::model::problem::{Problem, code};
use crate::store::attempts::SignUpFields;

/// `POST /v1/client/sign_ins`: begins a sign-in with a provider, or takes one over from a sign-up (`transfer=true`).
pub async fn create(ctx: Ctx, browser: Browser, Body(params): Body) -> Answer {
    let token = browser.hash(&ctx);
    if params.flag("transfer")? == Some(true) {
        let moved = transfer::transfer(&ctx, token.as_ref(), Started::SignIn, &SignUpFields::default()).await?;
        let attempt = flows::attempt::sign_in(&ctx, &moved.acted.client, &moved.attempt).await?;
        let shown = Resource::Shown(views::sign_in::sign_in(&attempt, ctx.now));
        return answer::acted(&ctx, &browser, &moved.acted, shown).await;
    }
    if is_blank(&params) {
        let acted = start::blank(&ctx, token.as_ref(), Started::SignIn, &SignUpFields::default()).await?;
        return answer::acted(&ctx, &browser, &acted, Resource::SignIn).await;
    }
    let acted = start::start(&ctx, token.as_ref(), Started::SignIn, request(&params)?).await?;
    answer::acted(&ctx, &browser, &acted, Resource::SignIn).await
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
pub fn request(params: &Params) -> Result<Request<'_>, Problem> {
    let strategy = params.required("strategy")?;
    if !strategy.starts_with("oauth_") {
        return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("strategy"));
    }
    Ok(Request {
        strategy,
        redirect_url: params.text("redirect_url"),
        complete_url: params.text("action_complete_redirect_url"),
        prompt: params.text("oidc_prompt"),
        login_hint: params.text("oidc_login_hint"),
        fields: SignUpFields::default(),
    })
}

/// `GET /v1/client/sign_ins/{id}`: the client's current sign-in.
pub async fn show(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    let client = flows::client::read(&ctx, browser.hash(&ctx).as_ref()).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let attempt = client.sign_in.as_ref().filter(|attempt| attempt.id.as_str() == id);
    let shown = attempt.map(|attempt| views::sign_in::sign_in(attempt, ctx.now)).ok_or(code::RESOURCE_NOT_FOUND)?;
    let shown = Resource::Shown(json!(shown));
    answer::acted(&ctx, &browser, &Acted { client, issued: None }, shown).await
}
