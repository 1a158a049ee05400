//! `/v1/me`: the signed-in user.

use super::super::answer::{self, Resource};
use super::super::extract::{Browser, Query};
use super::super::problem::Answer;
use super::super::views::user::{self, Audience};
use super::nonce;
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::session::active;
use crate::context::Ctx;
use crate::model::problem::code;

/// The query parameter that names the session a call acts for.
pub const SESSION: &str = "_clerk_session_id";

/// `GET /v1/me`: the user of the session that `_clerk_session_id` names, else of the active one.
pub async fn show(ctx: Ctx, browser: Browser, Query(query): Query) -> Answer {
    let (token, issued) = nonce::present(&ctx, &browser, &query).await?;
    let client = actions::client::read(&ctx, token.as_ref()).await?.ok_or(code::AUTHENTICATION_INVALID)?;
    let session = active::of(&client, query.text(SESSION)).ok_or(code::AUTHENTICATION_INVALID)?;
    let shown = user::user(&session.user, Audience::Frontend, &ctx.instance, ctx.now);
    answer::respond(&ctx, &browser, &ClientUpdate { client, issued }, Resource::Shown(shown)).await
}
