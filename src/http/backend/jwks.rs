//! `/v1/jwks`: the instance's public keys, for the server SDKs.

use super::super::answer;
use super::super::problem::Answer;
use crate::context::Ctx;
use crate::flows::signing_keys;

/// `GET /v1/jwks`: the same keys as the public document.
pub async fn show(ctx: Ctx) -> Answer {
    let keys = signing_keys::published(&ctx.app, &ctx.instance).await?;
    Ok(answer::json_bytes(keys.jwks.clone()))
}
