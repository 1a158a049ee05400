//! What an account's token leaves behind besides itself: an error on the account, an event and an audit entry per change
//! of its state, and an audit entry for who got it.

use serde_json::{Map, Value, json};

use super::Call;
use crate::actions::record_outcome::token_event;
use crate::app::App;
use crate::app::token_access_log::TokenAccess;
use crate::context::Ctx;
use crate::model::id::{ExternalAccountId, InstanceId, UserId};
use crate::model::problem::Result;
use crate::model::provider_token::{Refusal, TokenState};
use crate::model::social_error;
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent, Outcome};
use crate::store::provider_tokens::{self, SealedTokens};
use crate::store::transact::{Committed, ScopedFutureExt, transact};

/// What an account shows that must be connected again, so that its owner is offered that.
pub(super) fn reconnect_error() -> Value {
    social_error::object(social_error::MISSING_REFRESH_TOKEN, Map::new())
}

/// How the state of an account's token changed.
pub struct TokenChange<'a> {
    /// What it was.
    pub before: TokenState,
    /// What it is.
    pub after: TokenState,
    /// Why it is no better.
    pub refusal: Option<&'a Refusal>,
}

/// The state of an account's token changed, in the transaction that changed it.
///
/// # Errors
/// Storage faults.
pub async fn changed(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    account: &ExternalAccountId,
    change: &TokenChange<'_>,
) -> Result<()> {
    let TokenChange { before, after, refusal } = *change;
    let (at, reason) = (ctx.app.clock.now(), refusal.map(Refusal::to_string));
    token_event(ctx, &mut *db, account, after, refusal).await?;
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "provider_token.changed", Actor::System, at);
    entry.outcome = if after == TokenState::Good { Outcome::Success } else { Outcome::Failure };
    entry.reason = reason.as_deref();
    entry.user = Some(user);
    entry.target = Some(("external_account", account.as_str()));
    entry.from = Some(&ctx.from);
    entry.changes = json!({ "state": { "before": before.as_str(), "after": after.as_str() } });
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// An account has nothing to give and nothing to refresh with; noted once.
pub(super) async fn missing(call: &Call<'_>, account: &SealedTokens, refusal: &Refusal) -> Result<()> {
    // An account without stored tokens has no row to say so.
    let is_noted = account.row.state == TokenState::NeedsReconnect || account.row.generation == 0;
    if account.has_error && is_noted {
        return Ok(());
    }
    let (ctx, id) = (call.ctx, &account.external_account_id);
    transact(ctx.db(), "provider_token.note_missing", |tx| {
        async move {
            let (error, generation) = (reconnect_error(), account.row.generation);
            let why = (refusal, &error);
            let noted = provider_tokens::miss(tx, id, generation, why).await?;
            if noted {
                let (before, after) = (account.row.state, TokenState::NeedsReconnect);
                let change = TokenChange { before, after, refusal: Some(refusal) };
                changed(ctx, tx, call.user, id, &change).await?;
            }
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}

/// Writes who got which provider's token, as far as it is not written yet. What the database does not take waits.
pub async fn write_token_accesses(app: &App) {
    let token_access_log = app.token_access_log.take();
    for of_one in token_access_log.chunk_by(|one, next| one.instance == next.instance) {
        let Some(TokenAccess { instance, .. }) = of_one.first() else { continue };
        if let Err(error) = write(app, instance, of_one).await {
            tracing::debug!(%error, "provider tokens handed out are not in the audit log yet");
            app.token_access_log.put_back(of_one.to_vec());
        }
    }
}

async fn write(app: &App, instance: &InstanceId, token_access_log: &[TokenAccess]) -> Result<()> {
    transact(InstanceConnection::of_pool(&app.db, instance, time::Duration::ZERO), "provider_token.log_access", |tx| {
        async move {
            for access in token_access_log {
                let action =
                    if access.refusal.is_some() { "provider_token.refused" } else { "provider_token.handed_out" };
                let mut entry = AuditEvent::new(access.instance.as_str(), action, access.actor.clone(), access.at);
                entry.outcome = if access.refusal.is_some() { Outcome::Failure } else { Outcome::Success };
                entry.reason = access.refusal.as_deref();
                entry.user = Some(&access.user);
                entry.target = Some(("external_account", access.account.as_str()));
                entry.from = Some(&access.from);
                audit::append(&mut *tx, app.rng.as_ref(), entry).await?;
            }
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}
