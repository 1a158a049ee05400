//! `/v1/client/sessions/{id}/verify`: who is signed in verifies it once more.

use axum::extract::Path;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser};
use super::super::problem::Answer;
use super::super::views;
use super::sessions::parse;
use crate::actions::session::mint;
use crate::actions::session::reverify::{self, Reverification};
use crate::context::Ctx;
use crate::model::problem::{Problem, code};
use crate::model::strategy::{RequestedStrategy, Strategy};

const LEVELS: [&str; 3] = ["first_factor", "second_factor", "multi_factor"];

/// `POST /v1/client/sessions/{id}/verify`. Nobody has a second factor yet, so every level falls to the first.
pub async fn begin(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    if !LEVELS.contains(&params.required("level")?) {
        return Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("level").into());
    }
    let begun = reverify::begin(&ctx, browser.hash.as_ref(), &parse(&id)?).await?;
    show(&ctx, &browser, &begun).await
}

/// `POST /v1/client/sessions/{id}/verify/prepare_first_factor`.
pub async fn prepare(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let (strategy, address) = (RequestedStrategy::parse(params.required("strategy")?), params.text("email_address_id"));
    let token = browser.hash;
    let prepared = reverify::prepare(&ctx, token.as_ref(), &parse(&id)?, &strategy, address).await?;
    show(&ctx, &browser, &prepared).await
}

/// `POST /v1/client/sessions/{id}/verify/attempt_first_factor`.
pub async fn attempt(ctx: Ctx, browser: Browser, Path(id): Path<String>, Body(params): Body) -> Answer {
    let (token, id) = (browser.hash, parse(&id)?);
    let verified = match RequestedStrategy::parse(params.required("strategy")?).known() {
        Some(Strategy::EmailCode) => {
            reverify::attempt_code(&ctx, token.as_ref(), &id, params.required("code")?).await?
        }
        Some(Strategy::Password) => {
            reverify::attempt_password(&ctx, token.as_ref(), &id, params.required("password")?).await?
        }
        _ => return Err(code::STRATEGY_FOR_USER_INVALID.into()),
    };
    show(&ctx, &browser, &verified).await
}

async fn show(ctx: &Ctx, browser: &Browser, shown: &Reverification) -> Answer {
    let jwt = mint::sign(ctx, &shown.session, ctx.from.origin.as_deref()).await?;
    let session = views::client::session(&shown.session, &ctx.instance, Some(&jwt), ctx.now);
    let shape = views::reverification::reverification(shown, session, ctx.now);
    answer::respond(ctx, browser, &shown.updated, Resource::Shown(shape)).await
}
