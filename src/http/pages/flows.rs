//! `/_dev/flows`: the Flow inspector for developers, as pages and as JSON. It exists where the
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
use super::flows_view::{Detail, List, Mode};
use super::outcome::page;
use crate::actions::flow_reader;
use crate::context::Ctx;
use crate::model::flow::ObservedStatus;
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

/// `GET /_dev/flows`: the newest flows, filtered by `outcome`, `provider`, `reason`, `user`, `app`, `id`. With `live`
/// the browser asks again by itself.
async fn list(ctx: Ctx, headers: HeaderMap, query: Result<Query, Failure>) -> Response {
    page(&ctx, listed(&ctx, query, accepts_pages(&headers)).await)
}

/// `GET /_dev/flows.json`: the same as JSON.
async fn list_json(ctx: Ctx, query: Result<Query, Failure>) -> Response {
    page(&ctx, listed(&ctx, query, false).await)
}

/// `GET /_dev/flows/{id}`: one flow with its steps; by its id, or that of one of its requests.
async fn show(ctx: Ctx, headers: HeaderMap, Path(id): Path<String>) -> Response {
    page(&ctx, shown(&ctx, &id, accepts_pages(&headers)).await)
}

async fn listed(ctx: &Ctx, query: Result<Query, Failure>, as_page: bool) -> Result<Response> {
    exists(ctx)?;
    let Query(query) = query.map_err(|failure| failure.0)?;
    flow_reader::flush_notes(ctx).await;
    let outcome = query.text("outcome").map(ObservedStatus::parse);
    let id = match query.text("id") {
        // A reference that names nothing finds nothing.
        Some(reference) => Some(flow_reader::find(ctx, reference).await?.map_or_else(String::new, |id| id.to_string())),
        None => None,
    };
    let found = match outcome {
        // No flow ever ends in a way that has no name.
        Some(None) => Vec::new(),
        outcome => {
            let outcome = outcome.flatten();
            let mut found = flow_reader::list(ctx, &filter(&query, outcome, id.as_deref())).await?;
            found.retain(|(_, status)| outcome.is_none_or(|outcome| outcome == *status));
            found
        }
    };
    if as_page {
        return Ok(List { instance: &ctx.instance, flows: &found, mode: mode(&query) }.render());
    }
    let flows: Vec<_> = found.iter().map(|(flow, status)| flow_document::summary(flow, *status)).collect();
    Ok(answer::json(&json!({ "flows": flows })))
}

/// How the page is shown, with the address of the same list in the other way.
fn mode(query: &Params) -> Mode {
    let names = ["outcome", "provider", "reason", "user", "app", "id"];
    let begin = "/_dev/flows?";
    let mut address = url::form_urlencoded::Serializer::for_suffix(begin.to_owned(), begin.len());
    for (name, value) in names.into_iter().filter_map(|name| Some((name, query.text(name)?))) {
        address.append_pair(name, value);
    }
    match query.text("live") {
        Some(_) => Mode::Live { still: address.finish() },
        None => Mode::Still { live: address.append_pair("live", "1").finish() },
    }
}

fn filter<'a>(query: &'a Params, outcome: Option<ObservedStatus>, id: Option<&'a str>) -> Filter<'a> {
    Filter {
        status: outcome.map(ObservedStatus::stored),
        provider: query.text("provider"),
        reason: query.text("reason"),
        user: query.text("user"),
        application: query.text("app"),
        id,
        before: query.text("before"),
    }
}

async fn shown(ctx: &Ctx, id: &str, as_page: bool) -> Result<Response> {
    exists(ctx)?;
    flow_reader::flush_notes(ctx).await;
    let id = flow_reader::find(ctx, id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let shown = flow_reader::show(ctx, &id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    if as_page {
        return Ok(Detail { instance: &ctx.instance, shown: &shown }.render());
    }
    Ok(answer::json(&flow_document::flow(&shown)))
}
