//! `/v1/users/{id}/external_accounts`: the accounts of a user at providers.

use axum::extract::Path;

use super::super::answer;
use super::super::extract::Backend;
use super::super::problem::Answer;
use super::super::views::user::deleted_account;
use crate::actions::provider_auth::disconnect;
use crate::context::Ctx;
use crate::model::id::UserId;
use crate::model::problem::code;
use crate::store::audit::Actor;

/// `DELETE /v1/users/{id}/external_accounts/{account}`.
pub async fn remove(ctx: Ctx, Backend(holder): Backend, Path((user, account)): Path<(String, String)>) -> Answer {
    let user = UserId::parse(&user).ok_or(code::RESOURCE_NOT_FOUND)?;
    let actor = Actor::SecretKey(holder.key.to_string());
    let id = disconnect::disconnect_by_backend(&ctx, &user, &account, actor).await?;
    Ok(answer::json(&deleted_account(&id)))
}
