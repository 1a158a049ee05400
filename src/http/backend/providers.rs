//! `/v1/vestibule/providers`: the social providers of the instance, for backends and deployment scripts.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use serde_json::{Value, json};

use crate::actions::providers::{self, Description, Patch, Set, Switch, describe};
use crate::context::Ctx;
use crate::crypto::Secret;
use crate::http::extract::{Backend, Body, Params};
use crate::http::problem::Answer;
use crate::model::problem::{Problem, code};
use crate::model::provider_config::Credentials;
use crate::store::audit::Actor;

/// Every configured provider.
#[derive(Serialize)]
pub struct Providers {
    data: Vec<Description>,
    total_count: usize,
}

const SETTINGS: [&str; 13] = [
    "enabled",
    "authenticatable",
    "required",
    "not_selectable",
    "block_email_subaddresses",
    "multiple_accounts",
    "credentials",
    "client_id",
    "client_secret",
    "scopes",
    "allowed_additional_scopes",
    "parameters",
    "custom",
];

/// `GET /v1/vestibule/providers`.
pub async fn list(ctx: Ctx) -> Answer<Json<Providers>> {
    let configs = providers::list(&ctx).await?;
    let data: Vec<Description> = configs.iter().map(|config| describe(&ctx, config)).collect();
    Ok(Json(Providers { total_count: data.len(), data }))
}

/// `POST /v1/vestibule/providers`: a new one, off unless the body says otherwise.
pub async fn create(ctx: Ctx, Backend(caller): Backend, Body(body): Body) -> Answer<Json<Description>> {
    let mut known = vec!["key"];
    known.extend(SETTINGS);
    body.refuse_unknown(&known)?;
    let unknown = |_| Problem::new(code::FORM_PARAM_VALUE_INVALID).param("key").explain("There is no such provider.");
    let slug = providers::slug(&ctx, body.required("key")?).map_err(unknown)?;
    let (patch, actor) = (patch(&body)?, Actor::SecretKey(caller.key.to_string()));
    let config = providers::add(&ctx, &slug, &patch, Switch::Off, &actor).await?;
    Ok(Json(describe(&ctx, &config)))
}

/// `GET /v1/vestibule/providers/{key}`.
pub async fn show(ctx: Ctx, Path(key): Path<String>) -> Answer<Json<Description>> {
    let slug = providers::slug(&ctx, &key)?;
    let config = providers::get(&ctx, &slug).await?;
    Ok(Json(describe(&ctx, &config)))
}

/// `PATCH /v1/vestibule/providers/{key}`: what is not named stays.
pub async fn update(
    ctx: Ctx,
    Backend(caller): Backend,
    Path(key): Path<String>,
    Body(body): Body,
) -> Answer<Json<Description>> {
    let slug = providers::slug(&ctx, &key)?;
    body.refuse_unknown(&SETTINGS)?;
    let (patch, actor) = (patch(&body)?, Actor::SecretKey(caller.key.to_string()));
    let config = providers::change(&ctx, &slug, &patch, &actor).await?;
    Ok(Json(describe(&ctx, &config)))
}

/// `DELETE /v1/vestibule/providers/{key}`: people's accounts at it stay.
pub async fn delete(ctx: Ctx, Backend(caller): Backend, Path(key): Path<String>) -> Answer<Json<Value>> {
    let slug = providers::slug(&ctx, &key)?;
    let actor = Actor::SecretKey(caller.key.to_string());
    providers::remove(&ctx, &slug, &actor).await?;
    Ok(Json(json!({ "object": "vestibule_provider", "key": slug, "deleted": true })))
}

/// The settings that a body names.
fn patch(body: &Params) -> Result<Patch, Problem> {
    let credentials = body.text("credentials").map(|text| {
        Credentials::parse(text).ok_or_else(|| Problem::new(code::FORM_PARAM_VALUE_INVALID).param("credentials"))
    });
    let scopes = match read_list(body, "scopes")? {
        Set::Leave => None,
        Set::Clear => Some(Vec::new()),
        Set::To(scopes) => Some(scopes),
    };
    let parameters = body.object("parameters")?.map(serde_json::from_value).transpose();
    let custom = body.object("custom")?.and_then(|custom| custom.as_object().cloned());
    Ok(Patch {
        is_enabled: body.flag("enabled")?,
        is_authenticatable: body.flag("authenticatable")?,
        is_required: body.flag("required")?,
        is_not_selectable: body.flag("not_selectable")?,
        blocks_email_subaddresses: body.flag("block_email_subaddresses")?,
        allows_multiple_accounts: body.flag("multiple_accounts")?,
        credentials: credentials.transpose()?,
        client_id: text(body, "client_id")?,
        client_secret: match text(body, "client_secret")? {
            Set::Leave => Set::Leave,
            Set::Clear => Set::Clear,
            Set::To(secret) => Set::To(Secret::from(secret)),
        },
        scopes,
        allowed_additional_scopes: read_list(body, "allowed_additional_scopes")?,
        parameters: parameters.map_err(|_| format_invalid("parameters"))?,
        custom,
    })
}

fn format_invalid(name: &str) -> Problem {
    Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(name)
}

/// A text; null and empty clear the setting.
fn text(body: &Params, name: &str) -> Result<Set<String>, Problem> {
    match body.value(name) {
        None => Ok(Set::Leave),
        Some(Value::Null) => Ok(Set::Clear),
        Some(Value::String(text)) if text.is_empty() => Ok(Set::Clear),
        Some(Value::String(text)) => Ok(Set::To(text.clone())),
        Some(_) => Err(format_invalid(name)),
    }
}

/// A list of words, or words between blanks; null clears the setting.
fn read_list(body: &Params, name: &str) -> Result<Set<Vec<String>>, Problem> {
    match body.value(name) {
        None => Ok(Set::Leave),
        Some(Value::Null) => Ok(Set::Clear),
        Some(Value::String(text)) => Ok(Set::To(text.split_whitespace().map(str::to_owned).collect())),
        Some(list @ Value::Array(_)) => {
            serde_json::from_value(list.clone()).map(Set::To).map_err(|_| format_invalid(name))
        }
        Some(_) => Err(format_invalid(name)),
    }
}
