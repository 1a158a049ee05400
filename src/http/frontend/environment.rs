//! `/v1/environment`: what the browser SDK needs to know about the instance. Bare, not enveloped.

use bytes::Bytes;

use super::super::answer;
use super::super::problem::Answer;
use super::super::views::environment;
use crate::actions::configured;
use crate::actions::factors;
use crate::context::Ctx;

/// `GET`, or `PATCH` from development keys: the environment; while the database is away, as it was last.
pub async fn show(ctx: Ctx) -> Answer {
    let read = async {
        let offered = configured::enabled_providers(&ctx).await?;
        let environment = environment::environment(&ctx.instance, &offered, factors::supported_factors(&ctx));
        Ok(Bytes::from(environment.to_string()))
    };
    Ok(answer::json_bytes(ctx.app.last_known.environment(ctx.instance_id(), read).await?))
}
