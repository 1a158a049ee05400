//! `/v1/jwks`: the public keys of session tokens and JWT access tokens, for the server SDKs.

use super::super::answer;
use super::super::problem::Answer;
use crate::actions::signing_keys;
use crate::context::Ctx;

/// `GET /v1/jwks`: without the keys of id_tokens. Third parties hold those tokens, and the server SDKs take whatever a key
/// of this document signed for a session token.
pub async fn show(ctx: Ctx) -> Answer {
    let keys = signing_keys::shown(&ctx.app, &ctx.instance).await?;
    Ok(answer::json_bytes(keys.session_jwks.clone()))
}
