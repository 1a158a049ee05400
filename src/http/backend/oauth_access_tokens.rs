//! `/v1/users/{id}/oauth_access_tokens/{provider}`: the provider's token, for a backend to use.

use axum::extract::Path;
use serde_json::{Value, json};

use super::super::answer;
use super::super::extract::{Backend, Query};
use super::super::problem::Answer;
use super::pagination::{self, Page};
use crate::actions::provider_token::{self, Part, Usable};
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::model::id::UserId;
use crate::model::problem::code;
use crate::model::strategy::of_provider;
use crate::model::time::millis;
use crate::store::audit::Actor;

/// `GET`: the usable tokens of the user's accounts at that provider, newest connection first. Never a refresh token.
pub async fn list(
    ctx: Ctx,
    Backend(caller): Backend,
    Path((user, provider)): Path<(String, String)>,
    Query(query): Query,
) -> Answer {
    let page = Page::read(&query)?;
    let user = UserId::parse(&user).ok_or(code::RESOURCE_NOT_FOUND)?;
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let part = Part { limit: count(page.limit), offset: count(page.offset) };
    let usable = provider_token::get(&ctx, &user, &provider, part, Actor::SecretKey(caller.key.to_string())).await?;
    let shown = usable.tokens.iter().map(show).collect();
    Ok(answer::json(&pagination::list(&query, shown, usable.total)?))
}

fn show(usable: &Usable) -> Value {
    let mut shape = json!({
        "object": "oauth_access_token",
        "external_account_id": usable.external_account_id,
        "provider_user_id": usable.provider_user_id,
        "token": usable.token.expose_secret(),
        "expires_at": usable.expires_at.map(millis),
        "provider": of_provider(&usable.provider),
        "public_metadata": usable.public_metadata,
        "label": usable.label,
        "scopes": usable.scopes,
    });
    if let (Some(id_token), Some(shape)) = (&usable.id_token, shape.as_object_mut()) {
        shape.insert("id_token".to_owned(), json!(id_token.expose_secret()));
    }
    shape
}
