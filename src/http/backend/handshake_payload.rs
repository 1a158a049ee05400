//! `/v1/clients/handshake_payload`: what waits behind a handshake nonce, for the instance's own backend only.

use serde_json::json;

use super::super::answer;
use super::super::extract::Query;
use super::super::problem::Answer;
use crate::actions::session::handshake;
use crate::context::Ctx;
use crate::crypto::Secret;
use crate::model::problem::{Problem, code};

/// `GET /v1/clients/handshake_payload?nonce=…`.
pub async fn show(ctx: Ctx, Query(query): Query) -> Answer {
    let nonce = query.text("nonce").ok_or_else(|| Problem::new(code::MISSING_QUERY_PARAMETER).param("nonce"))?;
    let directives = handshake::fetch(&ctx, &Secret::from(nonce.to_owned())).await?;
    Ok(answer::json(&json!({ "directives": directives })))
}
