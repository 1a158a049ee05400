//! Which of an instance's keys signs, and which verify.

use std::sync::Arc;

use crate::app::App;
use crate::context::Ctx;
use crate::crypto::SigningKey;
use crate::model::instance::Instance;
use crate::model::problem::Error;
use crate::store::signing_keys::OwnKeys;

/// The key that signs now, by the instance's clock: every replica changes at the same moment.
///
/// # Errors
/// Storage faults; an instance without a key.
pub async fn active(ctx: &Ctx) -> Result<Arc<SigningKey>, Error> {
    let keys = published(&ctx.app, &ctx.instance).await?;
    keys.active(ctx.now).cloned().ok_or_else(|| Error::internal("the instance has no signing key"))
}

/// The published keys: the JWKS document, and what verifies our own tokens.
///
/// # Errors
/// Storage faults.
pub async fn published(app: &App, instance: &Instance) -> Result<Arc<OwnKeys>, Error> {
    let now = app.clock.now() + instance.clock_offset;
    app.signing_keys.of(&app.db, &app.ring, &instance.id, now).await
}
