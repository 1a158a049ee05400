//! `/v1/redirect_urls`: where native applications may be sent after a sign-in.

use axum::extract::Path;
use serde_json::{Value, json};

use super::super::answer;
use super::super::extract::{Backend, Body, Query};
use super::super::problem::Answer;
use super::pagination::{self, Page};
use crate::actions::redirect_urls as flow;
use crate::context::Ctx;
use crate::model::id::RedirectUrlId;
use crate::model::native_url::NativeUrl;
use crate::model::problem::{Problem, code};
use crate::model::time::millis;
use crate::store::audit::Actor;
use crate::store::redirect_urls::{self, RedirectUrl};

/// `GET /v1/redirect_urls`: newest first.
pub async fn list(ctx: Ctx, Query(query): Query) -> Answer {
    let page = Page::read(&query)?;
    let listed = redirect_urls::list(&mut ctx.db()).await?;
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let shown = listed.iter().skip(skip).take(take).map(show).collect();
    Ok(answer::json(&pagination::list(&query, shown, listed.len())?))
}

/// `POST /v1/redirect_urls`.
pub async fn create(ctx: Ctx, Backend(holder): Backend, Body(params): Body) -> Answer {
    params.refuse_unknown(&["url"])?;
    let url = NativeUrl::parse(params.required("url")?, "url")?;
    let listed = flow::create(&ctx, &url, Actor::SecretKey(holder.key.to_string())).await?;
    Ok(answer::json(&show(&listed)))
}

/// `GET /v1/redirect_urls/{id}`.
pub async fn get(ctx: Ctx, Path(id): Path<String>) -> Answer {
    let found = redirect_urls::get(&mut ctx.db(), &parse(&id)?).await?;
    Ok(answer::json(&show(&found.ok_or(code::RESOURCE_NOT_FOUND)?)))
}

/// `DELETE /v1/redirect_urls/{id}`.
pub async fn remove(ctx: Ctx, Backend(holder): Backend, Path(id): Path<String>) -> Answer {
    let id = parse(&id)?;
    flow::delete(&ctx, &id, Actor::SecretKey(holder.key.to_string())).await?;
    Ok(answer::json(&json!({ "object": "redirect_url", "id": id, "deleted": true })))
}

fn parse(id: &str) -> Result<RedirectUrlId, Problem> {
    RedirectUrlId::parse(id).ok_or_else(|| code::RESOURCE_NOT_FOUND.into())
}

fn show(listed: &RedirectUrl) -> Value {
    json!({
        "object": "redirect_url",
        "id": listed.id,
        "url": listed.url,
        "created_at": millis(listed.created_at),
        "updated_at": millis(listed.updated_at),
    })
}
