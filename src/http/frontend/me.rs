//! `/v1/me`: the signed-in user.

use super::super::answer::{self, Resource};
use super::super::extract::{Browser, Query};
use super::super::problem::Answer;
use super::super::views::user::{self, Audience};
use crate::context::Ctx;
use crate::flows;
use crate::flows::client::Acted;
use crate::model::problem::code;

/// `GET /v1/me`: the user of the session that `_clerk_session_id` names, else of the active one.
pub async fn show(ctx: Ctx, browser: Browser, Query(query): Query) -> Answer {
    let client = flows::client::read(&ctx, browser.hash(&ctx).as_ref()).await?.ok_or(code::AUTHENTICATION_INVALID)?;
    let session = match query.text("_clerk_session_id") {
        Some(id) => client.sessions.iter().find(|session| session.id.as_str() == id && session.status == "active"),
        None => client.active_session(),
    };
    let session = session.ok_or(code::AUTHENTICATION_INVALID)?;
    let shown = user::user(&session.user, Audience::Frontend, &ctx.instance.origin, ctx.now);
    answer::acted(&ctx, &browser, &Acted { client, issued: None }, Resource::Shown(shown)).await
}
