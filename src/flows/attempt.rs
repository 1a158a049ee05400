//! Attempts that a call has finished: gone from the client, but still the call's answer.

use crate::context::Ctx;
use crate::flows::factors;
use crate::model::client::{Client, SignIn, SignUp};
use crate::model::problem::{Error, Result};
use crate::store::attempts;

/// The sign-in with this id: the client's current one, or the one just finished.
///
/// # Errors
/// Storage faults.
pub async fn sign_in(ctx: &Ctx, client: &Client, id: &str) -> Result<SignIn> {
    if let Some(current) = client.sign_in.as_ref().filter(|attempt| attempt.id.as_str() == id) {
        return Ok(current.clone());
    }
    let found = attempts::sign_in(&ctx.app.db, ctx.instance_id(), id).await?;
    let mut found = found.ok_or_else(|| Error::internal("a sign-in vanished while it was answered"))?;
    factors::fill(ctx, &mut found);
    Ok(found)
}

/// The sign-up with this id: the client's current one, or the one just finished.
///
/// # Errors
/// Storage faults.
pub async fn sign_up(ctx: &Ctx, client: &Client, id: &str) -> Result<SignUp> {
    if let Some(current) = client.sign_up.as_ref().filter(|attempt| attempt.id.as_str() == id) {
        return Ok(current.clone());
    }
    let found = attempts::sign_up(&ctx.app.db, ctx.instance_id(), id).await?;
    let mut found = found.ok_or_else(|| Error::internal("a sign-up vanished while it was answered"))?;
    factors::fill_sign_up(ctx, &mut found);
    Ok(found)
}
