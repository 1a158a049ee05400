//! `/v1/users/{id}/oauth_access_tokens/{provider}`: the provider's token, for a backend to use.

use axum::extract::Path;
use serde_json::{Value, json};

use super::super::answer;
use super::super::extract::Query;
use super::super::problem::Answer;
use super::page::{self, Page};
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::flows::provider_token::{self, Usable};
use crate::model::id::UserId;
use crate::model::problem::code;
use crate::model::provider_config::strategy;
use crate::model::time::millis;

/// `GET`: the usable tokens of the user's accounts at that provider, newest connection first. Never a refresh token.
pub async fn list(ctx: Ctx, Path((user, provider)): Path<(String, String)>, Query(query): Query) -> Answer {
    let page = Page::read(&query)?;
    let user = UserId::parse(&user).ok_or(code::RESOURCE_NOT_FOUND)?;
    let usable = provider_token::get(&ctx, &user, &provider).await?;
    let total = usable.len();
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let shown = usable.iter().skip(skip).take(take).map(show).collect();
    Ok(answer::json(&page::list(&query, shown, total)?))
}

fn show(usable: &Usable) -> Value {
    let mut shape = json!({
        "object": "oauth_access_token",
        "external_account_id": usable.external_account_id,
        "provider_user_id": usable.provider_user_id,
        "token": usable.token.expose_secret(),
        "expires_at": usable.expires_at.map(millis),
        "provider": strategy(&usable.provider),
        "public_metadata": usable.public_metadata,
        "label": usable.label,
        "scopes": usable.scopes,
    });
    if let (Some(id_token), Some(shape)) = (&usable.id_token, shape.as_object_mut()) {
        shape.insert("id_token".to_owned(), json!(id_token.expose_secret()));
    }
    shape
}
