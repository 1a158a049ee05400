//! `/v1/client/sessions`: tokens, touch, signing out.

use axum::extract::Path;
use serde_json::json;

use super::super::answer::{self, Resource};
use super::super::extract::Browser;
use super::super::problem::Answer;
use super::super::views;
use super::client::nobody;
use crate::actions::session::end::{self, SessionsToEnd};
use crate::actions::session::{mint, touch};
use crate::context::Ctx;
use crate::model::id::SessionId;
use crate::model::problem::{Problem, code};
use crate::store::sessions::Ending;

/// The session that a path names.
///
/// # Errors
/// `resource_not_found` for what cannot be one.
pub(super) fn parse(id: &str) -> Result<SessionId, Problem> {
    SessionId::parse(id).ok_or_else(|| code::RESOURCE_NOT_FOUND.into())
}

/// `POST /v1/client/sessions/{id}/tokens`: a session token, not wrapped.
pub async fn token(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    let jwt = mint::mint(&ctx, browser.hash.as_ref(), &parse(&id)?).await?;
    Ok(answer::json(&json!({ "object": "token", "jwt": jwt })))
}

/// `POST /v1/client/sessions/{id}/touch`: marks the session as used and as the active one.
pub async fn touch(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    let id = parse(&id)?;
    let updated = touch::touch(&ctx, browser.hash.as_ref(), &id).await?;
    let session = updated.client.sessions.iter().find(|session| session.id == id).ok_or(code::RESOURCE_NOT_FOUND)?;
    let jwt = mint::sign(&ctx, session, ctx.from.origin.as_deref()).await?;
    let shown = views::client::session(session, &ctx.instance, Some(&jwt), ctx.now);
    answer::respond(&ctx, &browser, &updated, Resource::Shown(shown)).await
}

/// `POST /v1/client/sessions/{id}/end`.
pub async fn end(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    finish(&ctx, &browser, SessionsToEnd::One(&parse(&id)?), Ending::Ended).await
}

/// `POST /v1/client/sessions/{id}/remove`.
pub async fn remove(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    finish(&ctx, &browser, SessionsToEnd::One(&parse(&id)?), Ending::Removed).await
}

/// `DELETE /v1/client/sessions`: signs out of everything; the client stays known.
pub async fn end_all(ctx: Ctx, browser: Browser) -> Answer {
    finish(&ctx, &browser, SessionsToEnd::All, Ending::Removed).await
}

async fn finish(ctx: &Ctx, browser: &Browser, what: SessionsToEnd<'_>, ending: Ending) -> Answer {
    let ended = end::end(ctx, browser.hash.as_ref(), what, ending).await?;
    let Some(updated) = ended else { return nobody(ctx, browser) };
    let resource = match what {
        SessionsToEnd::All => Resource::Client,
        SessionsToEnd::One(id) => Resource::Shown(json!({ "object": "session", "id": id, "status": ending })),
    };
    answer::respond(ctx, browser, &updated, resource).await
}
