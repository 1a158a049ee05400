//! `/v1/users`.

use axum::extract::Path;
use serde_json::{Value, json};

use super::super::answer;
use super::super::extract::{Backend, Params, Query};
use super::super::problem::Answer;
use super::super::views::user::{Audience, user};
use super::pagination::Page;
use crate::actions;
use crate::actions::users::Change;
use crate::context::Ctx;
use crate::model::email::EmailAddress;
use crate::model::id::{InstanceId, UserId};
use crate::model::problem::{Problem, code};
use crate::model::search::Search;
use crate::store::audit::Actor;
use crate::store::directory::KeyHolder;
use crate::store::user_lists::{self, Direction, Filter, OrderBy, Position};
use crate::store::users;

/// The most values of one filter.
const FILTER_VALUES: usize = 100;

/// Published filters that this version does not have. Ignored, as unknown ones are, they would give a backend that asks
/// for one person a list of all.
const NOT_OFFERED: &[&str] = &[
    "phone_number",
    "web3_wallet",
    "organization_id",
    "email_address_query",
    "phone_number_query",
    "username_query",
    "name_query",
    "banned",
    "created_at_before",
    "created_at_after",
    "last_active_at_before",
    "last_active_at_after",
    "last_active_at_since",
    "last_sign_in_at_before",
    "last_sign_in_at_after",
    "provider",
    "provider_user_id",
];

/// `GET /v1/users`: always an array.
pub async fn list(ctx: Ctx, Query(query): Query) -> Answer {
    let (page, filter) = (Page::read(&query)?, filter(&query, ctx.instance_id())?);
    let (order, direction) = order(&query)?;
    let after = match query.text("starting_after") {
        None => None,
        Some(id) if order == OrderBy::CreatedAt && page.offset == 0 => Some(position(&ctx, id).await?),
        Some(_) => return Err(format_invalid("starting_after").into()),
    };
    let page = user_lists::Page { order, direction, limit: page.limit, offset: page.offset, after };
    let found = user_lists::list(&mut ctx.db(), &filter, &page).await?;
    let shown: Vec<Value> = found.iter().map(|found| user(found, Audience::Backend, &ctx.instance, ctx.now)).collect();
    Ok(answer::json(&Value::Array(shown)))
}

/// Where the user `id` stands: one of this instance who is still there.
async fn position(ctx: &Ctx, id: &str) -> crate::model::problem::Result<Position> {
    let id = UserId::parse(id).ok_or_else(|| format_invalid("starting_after"))?;
    let found = user_lists::position(&mut ctx.db(), &id).await?;
    found.ok_or_else(|| format_invalid("starting_after").into())
}

fn format_invalid(parameter: &str) -> Problem {
    Problem::new(code::FORM_PARAM_VALUE_INVALID).param(parameter)
}

/// `GET /v1/users/count`.
pub async fn count(ctx: Ctx, Query(query): Query) -> Answer {
    let count = user_lists::count(&mut ctx.db(), &filter(&query, ctx.instance_id())?).await?;
    Ok(answer::json(&json!({ "object": "total_count", "total_count": count })))
}

/// `GET /v1/users/{id}`.
pub async fn show(ctx: Ctx, Path(id): Path<String>) -> Answer {
    let id = UserId::parse(&id).ok_or(code::RESOURCE_NOT_FOUND)?;
    let found = users::get(&mut ctx.db(), &id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    Ok(answer::json(&user(&found, Audience::Backend, &ctx.instance, ctx.now)))
}

/// `POST /v1/users/{id}/ban`.
pub async fn ban(ctx: Ctx, Backend(caller): Backend, Path(id): Path<String>) -> Answer {
    change(&ctx, &caller, &id, Change::Ban).await
}

/// `POST /v1/users/{id}/unban`.
pub async fn unban(ctx: Ctx, Backend(caller): Backend, Path(id): Path<String>) -> Answer {
    change(&ctx, &caller, &id, Change::Unban).await
}

/// `POST /v1/users/{id}/lock`.
pub async fn lock(ctx: Ctx, Backend(caller): Backend, Path(id): Path<String>) -> Answer {
    change(&ctx, &caller, &id, Change::Lock).await
}

/// `POST /v1/users/{id}/unlock`.
pub async fn unlock(ctx: Ctx, Backend(caller): Backend, Path(id): Path<String>) -> Answer {
    change(&ctx, &caller, &id, Change::Unlock).await
}

async fn change(ctx: &Ctx, caller: &KeyHolder, id: &str, change: Change) -> Answer {
    let changed = actions::users::change(ctx, Actor::SecretKey(caller.key.to_string()), id, change).await?;
    Ok(answer::json(&user(&changed, Audience::Backend, &ctx.instance, ctx.now)))
}

/// Filters combine with "and", values inside one with "or"; values that cannot exist match nobody.
fn filter(query: &Params, instance: &InstanceId) -> Result<Filter, Problem> {
    let values = |name: &str| {
        let values = query.list(name);
        if values.len() > FILTER_VALUES {
            return Err(Problem::new(code::FORM_PARAM_DUPLICATE).param(name));
        }
        Ok(values.into_iter().map(str::to_owned).collect::<Vec<String>>())
    };
    let refused = |name: &str| Err(Problem::new(code::FEATURE_NOT_ENABLED).param(name));
    if let Some(name) = NOT_OFFERED.iter().find(|name| !query.list(name).is_empty()) {
        return refused(name);
    }
    // "All but these": likewise published and not offered.
    if let Some(name) =
        ["user_id", "external_id"].iter().find(|name| query.list(name).iter().any(|id| id.starts_with('-')))
    {
        return refused(name);
    }
    let canonical = |text: String| match EmailAddress::parse(&text) {
        Some(address) => address.as_str().to_owned(),
        None => text,
    };
    let plain = |text: String| text.strip_prefix('+').map_or(text.clone(), str::to_owned);
    Ok(Filter {
        email_addresses: values("email_address")?.into_iter().map(canonical).collect(),
        user_ids: values("user_id")?.into_iter().map(plain).collect(),
        external_ids: values("external_id")?.into_iter().map(plain).collect(),
        usernames: values("username")?.into_iter().map(|name| name.to_lowercase()).collect(),
        search: query.text("query").and_then(|text| Search::parse(instance, text)),
    })
}

/// One column with `+` or `-`; an unencoded `+` arrives as a space.
fn order(query: &Params) -> Result<(OrderBy, Direction), Problem> {
    let Some(text) = query.list("order_by").first().copied() else {
        return Ok((OrderBy::CreatedAt, Direction::Descending));
    };
    let (direction, name) = match text.strip_prefix('-') {
        Some(name) => (Direction::Descending, name),
        None => (Direction::Ascending, text.trim_start_matches(['+', ' '])),
    };
    let column = match name {
        "created_at" => OrderBy::CreatedAt,
        "updated_at" => OrderBy::UpdatedAt,
        "last_sign_in_at" => OrderBy::LastSignInAt,
        "last_active_at" => OrderBy::LastActiveAt,
        "first_name" => OrderBy::FirstName,
        "last_name" => OrderBy::LastName,
        "username" => OrderBy::Username,
        "email_address" => OrderBy::EmailAddress,
        "phone_number" => OrderBy::PhoneNumber,
        "web3wallet" => OrderBy::Web3Wallet,
        _ => return Err(format_invalid("order_by")),
    };
    Ok((column, direction))
}
