//! `/_dev/flows`: the flow inspector (pages.md section 10.1) for developers, as pages and as JSON. It exists where the
//! other development pages do.

use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;
use serde_json::json;

use super::super::answer;
use super::super::extract::{Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get};
use super::dev::exists;
use super::error::accepts_pages;
use super::flow_document;
use super::flows_view::{Detail, List};
use super::outcome::page;
use crate::context::Ctx;
use crate::flows::inspector;
use crate::model::id::FlowId;
use crate::model::problem::{Result, code};
use crate::store::flows::Filter;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        get("/_dev/flows", Rules::PAGE, list),
        get("/_dev/flows.json", Rules::PAGE, list_json),
        get("/_dev/flows/{id}", Rules::PAGE, show),
    ]
}

/// `GET /_dev/flows`: the newest flows, filtered by `outcome`, `provider`, `reason`, `user`, `app`, `id`.
async fn list(ctx: Ctx, headers: HeaderMap, query: Result<Query, Failure>) -> Response {
    page(&ctx, listed(&ctx, query, accepts_pages(&headers)).await)
}

/// `GET /_dev/flows.json`: the same as JSON.
async fn list_json(ctx: Ctx, query: Result<Query, Failure>) -> Response {
    page(&ctx, listed(&ctx, query, false).await)
}

/// `GET /_dev/flows/{id}`: one flow with its timeline.
async fn show(ctx: Ctx, headers: HeaderMap, Path(id): Path<String>) -> Response {
    page(&ctx, shown(&ctx, &id, accepts_pages(&headers)).await)
}

async fn listed(ctx: &Ctx, query: Result<Query, Failure>, as_page: bool) -> Result<Response> {
    exists(ctx)?;
    let Query(query) = query.map_err(|failure| failure.0)?;
    inspector::settle(ctx).await;
    let outcome = query.text("outcome");
    let found = inspector::list(ctx, &filter(&query, outcome)).await?;
    let wanted = |status: &str| outcome.is_none_or(|outcome| outcome == status);
    let found: Vec<_> = found.into_iter().filter(|(_, status)| wanted(status)).collect();
    if as_page {
        return Ok(List { instance: &ctx.instance, flows: &found }.render());
    }
    let flows: Vec<_> = found.iter().map(|(flow, status)| flow_document::summary(flow, status)).collect();
    Ok(answer::json(&json!({ "flows": flows })))
}

/// Silent flows are stored as open: nobody tells that nothing comes any more.
fn filter<'a>(query: &'a Params, outcome: Option<&'a str>) -> Filter<'a> {
    Filter {
        status: outcome.map(|outcome| if outcome == "silent" { "open" } else { outcome }),
        provider: query.text("provider"),
        reason: query.text("reason"),
        user: query.text("user"),
        application: query.text("app"),
        id: query.text("id"),
        before: query.text("before"),
    }
}

async fn shown(ctx: &Ctx, id: &str, as_page: bool) -> Result<Response> {
    exists(ctx)?;
    let id = FlowId::parse(id).ok_or(code::RESOURCE_NOT_FOUND)?;
    inspector::settle(ctx).await;
    let shown = inspector::show(ctx, &id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    if as_page {
        return Ok(Detail { instance: &ctx.instance, shown: &shown }.render());
    }
    Ok(answer::json(&flow_document::flow(&shown)))
}
