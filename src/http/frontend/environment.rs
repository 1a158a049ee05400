//! `/v1/environment`: what the browser SDK needs to know about the instance. Bare, not enveloped.

use super::super::answer;
use super::super::problem::Answer;
use super::super::views::environment;
use crate::context::Ctx;
use crate::flows::configured;
use crate::flows::factors;

/// `GET`, or `PATCH` from development keys: the environment.
pub async fn show(ctx: Ctx) -> Answer {
    let offered = configured::offered(&ctx).await?;
    Ok(answer::json(&environment::environment(&ctx.instance, &offered, factors::offer(&ctx))))
}
