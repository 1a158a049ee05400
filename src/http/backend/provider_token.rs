//! `/v1/vestibule/users/{user_id}/external_accounts/{id}/token`: how an account's token is doing, never the token.

use axum::Json;
use axum::extract::Path;
use serde_json::Value;

use super::super::problem::Answer;
use super::super::views::provider_token::checkup;
use crate::actions::provider_token;
use crate::context::Ctx;
use crate::model::id::UserId;
use crate::model::problem::code;

/// `GET`: the state of the token of an account, named by its own or its identification's id.
pub async fn show(ctx: Ctx, Path((user, account)): Path<(String, String)>) -> Answer<Json<Value>> {
    let user = UserId::parse(&user).ok_or(code::RESOURCE_NOT_FOUND)?;
    Ok(Json(checkup(&provider_token::checkup(&ctx, Some(&user), &account).await?)))
}
