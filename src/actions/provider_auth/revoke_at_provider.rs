//! Telling a provider that tokens are no longer wanted: written down, sealed, with the act that forgets them, and done
//! in the background.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::actions::configured;
use crate::app::App;
use crate::context::Ctx;
use crate::crypto::Secret;
use crate::model::id::{ExternalAccountId, InstanceId, OutboxId, RequestId};
use crate::model::problem::{Error, Result};
use crate::model::reason::Again;
use crate::model::request::Origin;
use crate::store::InstanceConnection;
use crate::store::directory;
use crate::store::outbox::{self, ClaimedEffect, Effort, Kind};
use crate::store::provider_tokens::{self, forget::Forgotten};
use crate::upstream::revocation;

/// What the outbox keeps.
#[derive(Serialize, Deserialize)]
struct TokensToRevoke {
    provider: String,
    /// The refresh token first: most providers end the whole approval with it.
    tokens: Vec<String>,
}

impl Drop for TokensToRevoke {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.tokens.zeroize();
    }
}

/// Writes down that the tokens of `account`, just forgotten, are to be revoked, where the provider can be notified.
///
/// # Errors
/// Storage faults; a fault if a token does not open.
pub async fn put(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    provider: &str,
    account: &ExternalAccountId,
    forgotten: Option<Forgotten>,
) -> Result<()> {
    let Some(forgotten) = forgotten else { return Ok(()) };
    if ctx.app.catalogue.get(provider).is_none_or(|descriptor| descriptor.revoke.is_none()) {
        return Ok(());
    }
    let held = [
        ("refresh_token_sealed", forgotten.refresh_token_sealed),
        ("access_token_sealed", forgotten.access_token_sealed),
    ];
    let mut unwanted = TokensToRevoke { provider: provider.to_owned(), tokens: Vec::new() };
    for (column, sealed) in held {
        let Some(sealed) = sealed else { continue };
        let at = provider_tokens::sealed_at(ctx.instance_id(), account, column);
        let token = Zeroizing::new(ctx.app.ring.open(&at, &sealed).map_err(Error::internal)?);
        unwanted.tokens.push(String::from_utf8_lossy(&token).into_owned());
    }
    if unwanted.tokens.is_empty() {
        return Ok(());
    }
    let id = OutboxId::new(ctx.app.clock.now(), ctx.rng());
    let plain = Zeroizing::new(serde_json::to_vec(&unwanted).map_err(Error::internal)?);
    let at = outbox::payload_at(ctx.instance_id().as_str(), id.as_str());
    let sealed = ctx.app.ring.seal(ctx.rng(), &at, &plain).map_err(Error::internal)?;
    outbox::put_sealed(db, &id, Kind::ProviderRevoke, &sealed, Effort::Real).await?;
    Ok(())
}

/// Revokes what a side effect names. A provider that refuses has its reasons (the token ended long ago): only one that
/// does not answer is asked again.
///
/// # Errors
/// A provider that may answer later; faults.
pub async fn deliver(app: &Arc<App>, effect: &ClaimedEffect) -> Result<()> {
    let Some(ctx) = context(app, effect).await? else { return Ok(()) };
    let sealed = effect.payload_sealed.as_ref().ok_or_else(|| Error::internal("a revocation without its tokens"))?;
    let at = outbox::payload_at(&effect.instance, &effect.id);
    let opened = Zeroizing::new(app.ring.open(&at, sealed).map_err(Error::internal)?);
    let unwanted: TokensToRevoke = serde_json::from_slice(&opened).map_err(Error::internal)?;
    let configured = match configured::by_slug(&ctx, &unwanted.provider).await {
        Ok(configured) => configured,
        Err(Error::Problem(problem)) => {
            tracing::info!(provider = unwanted.provider, code = problem.code().name, "nobody to withdraw tokens at");
            return Ok(());
        }
        Err(fault) => return Err(fault),
    };
    for token in &unwanted.tokens {
        let token = Secret::from(token.clone());
        match revocation::revoke(&app.upstream.outbound, &configured.provider, &token).await {
            Ok(()) => {}
            Err(error) if error.reason.again() == Again::Later => return Err(Error::unavailable(error)),
            Err(error) => tracing::info!(%error, provider = unwanted.provider, "a token was not withdrawn"),
        }
    }
    Ok(())
}

/// What a request of the instance would carry; `None` if the instance is gone.
async fn context(app: &Arc<App>, effect: &ClaimedEffect) -> Result<Option<Ctx>> {
    let Some(id) = InstanceId::parse(&effect.instance) else { return Ok(None) };
    let Some(instance) = directory::by_id(&app.db, &id).await? else { return Ok(None) };
    let request_id = RequestId::new(app.clock.now(), app.rng.as_ref());
    let from = Origin { request_id, ip: None, user_agent: None, origin: None };
    Ok(Some(Ctx::new(Arc::clone(app), Arc::new(instance), from)))
}
