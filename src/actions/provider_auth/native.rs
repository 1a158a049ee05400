//! Native applications: the browser that comes back from the provider has no cookie of theirs, so it authenticates
//! nobody. What the provider verified waits, sealed, behind a nonce that is handed to the application's address; it
//! is applied when the application presents the nonce with the client token it began with. Until then nothing
//! that anybody can read has changed.

use std::collections::BTreeMap;

use super::apply_decision::{self, AttemptOutcome, CurrentAttempt};
use super::callback_outcome::{self, CallbackOutcome, ProviderAnswer};
use super::connected::{self, Outcome};
use crate::actions::client::{self, Issued};
use crate::actions::flow_steps;
use crate::actions::identity::ProviderIdentity;
use crate::actions::record_outcome;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::model::id::SessionId;
use crate::model::problem::{Error, Result};
use crate::model::random;
use crate::model::reason::Reason;
use crate::model::redirect::with_query;
use crate::store::InstanceConnection;
use crate::store::attempts::CompletedBy;
use crate::store::clients;
use crate::store::nonces::{self, RedeemedNonce};
use crate::store::provider_authorizations::{self, ProviderAuthorization};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// The parameter in which the application receives the nonce, and sends it.
pub const NONCE: &str = "rotating_token_nonce";
/// The parameter that names the session which presenting the nonce begins.
const SESSION: &str = "created_session_id";

/// What presenting the nonce would do now.
enum NoncePreview {
    /// It would sign in, with this session.
    SignsIn(SessionId),
    /// It would connect the account.
    Connects,
    /// It would fail with this code.
    Fails(String),
    /// It would go on elsewhere: a transfer, or more to be asked.
    GoesOn,
}

/// Ends the browser's part of an authorization: puts what came back behind a nonce, and sends the browser to the
/// application with it. The caller closes an authorization that ends in an error.
///
/// # Errors
/// `oauth_callback_invalid` if a newer attempt replaced this one, or the session that connects is over;
/// `resource_locked` after lost races.
pub async fn finish_for_app(
    ctx: &Ctx,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
) -> Result<CallbackOutcome> {
    let held = transact(ctx.db(), "native.hold", |tx| {
        async move {
            clients::lock(tx, &authorization.client_id).await?;
            if !is_current(tx, authorization).await? {
                return Ok(Committed::Done(None));
            }
            let previewed = match answered {
                ProviderAnswer::ProviderIdentity(_) => preview(ctx, tx, authorization, answered).await?,
                // Nothing is verified, so there is nothing to wait for.
                ProviderAnswer::Failed(failure) => {
                    apply(ctx, tx, authorization, answered).await?;
                    NoncePreview::Fails(failure.code.to_owned())
                }
            };
            let url = address(authorization, &previewed);
            let nonce = random::token(ctx.rng());
            store_identity(ctx, tx, authorization, answered, &url).await?;
            let hash = ctx.app.ring.lookup_hash(Lookup::RotatingTokenNonce, &nonce);
            nonces::put(tx, &authorization.id, &hash).await?;
            Ok(Committed::Done(Some((url, nonce))))
        }
        .scope_boxed()
    });
    let Some((url, nonce)) = held.await? else {
        flow_steps::log_replacement(ctx, &mut ctx.db(), &authorization.client_id).await;
        return Err(callback_outcome::invalid(Reason::AttemptReplaced, ""));
    };
    flow_steps::log_redirect(ctx, &url);
    Ok(CallbackOutcome { url: with_query(&url, NONCE, &nonce), issued: None })
}

/// Applies the decision and rolls it back: the address has to say what is going to happen, and nothing may have
/// happened.
async fn preview(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
) -> Result<NoncePreview, Aborted> {
    let mut preview_transaction = db.begin().await?;
    let tx = &mut preview_transaction.connection();
    let applied = apply(&ctx.without_flow(), tx, authorization, answered).await?;
    let previewed = match applied {
        Applied::Connection(Outcome::Connected) => NoncePreview::Connects,
        Applied::Connection(Outcome::Refused(failure)) => NoncePreview::Fails(failure.code.to_owned()),
        Applied::CurrentAttempt(AttemptOutcome::Complete(_)) => {
            match nonces::created_session(tx, &authorization.target_id).await? {
                Some(session) => NoncePreview::SignsIn(session),
                None => NoncePreview::GoesOn,
            }
        }
        Applied::CurrentAttempt(AttemptOutcome::Failed) => {
            let code = nonces::shown_code(tx, &authorization.verification_id).await?;
            code.map_or(NoncePreview::GoesOn, NoncePreview::Fails)
        }
        Applied::CurrentAttempt(_) => NoncePreview::GoesOn,
    };
    preview_transaction.rollback().await?;
    Ok(previewed)
}

/// What became of an authorization, whatever it was for.
enum Applied {
    CurrentAttempt(AttemptOutcome),
    Connection(Outcome),
}

async fn apply(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
) -> Result<Applied, Aborted> {
    let Some(kind) = authorization.intent.attempt_kind() else {
        return connected::apply_connection(ctx, db, authorization, answered).await.map(Applied::Connection);
    };
    let attempt = CurrentAttempt {
        kind,
        id: &authorization.target_id,
        verification: &authorization.verification_id,
        client: &authorization.client_id,
        authorization: &authorization.id,
        by: CompletedBy::Callback,
    };
    let outcome = match answered {
        ProviderAnswer::ProviderIdentity(identity) => {
            apply_decision::apply_decision(ctx, db, &attempt, identity).await?
        }
        ProviderAnswer::Failed(failure) => apply_decision::fail(ctx, db, &attempt, failure).await?,
    };
    Ok(Applied::CurrentAttempt(outcome))
}

/// The application's address with what is going to happen; the nonce itself is stored nowhere.
fn address(authorization: &ProviderAuthorization, previewed: &NoncePreview) -> String {
    let complete = authorization.action_complete_redirect_url.as_ref().unwrap_or(&authorization.redirect_url);
    match previewed {
        NoncePreview::SignsIn(session) => with_query(complete, SESSION, session.as_str()),
        NoncePreview::Connects => complete.clone(),
        NoncePreview::Fails(code) => {
            let failed = with_query(&authorization.redirect_url, "__clerk_status", "failed");
            with_query(&failed, "__clerk_error_code", code)
        }
        NoncePreview::GoesOn => authorization.redirect_url.clone(),
    }
}

async fn store_identity(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
    url: &str,
) -> Result<()> {
    let received = match answered {
        ProviderAnswer::ProviderIdentity(identity) => Some(callback_outcome::keep(ctx, authorization, identity)?),
        ProviderAnswer::Failed(_) => None,
    };
    let received = received.as_ref().map(|(id, profile, tokens)| (id.as_str(), profile, tokens.as_slice()));
    provider_authorizations::finish(db, &authorization.id, received, url).await?;
    Ok(())
}

/// Presents a nonce with the client token that began: applies what waits behind it, once, within five minutes. Returns
/// the client's new token; `None` where the nonce is wrong, used, late, or another client's, and then nothing has
/// changed.
///
/// # Errors
/// Storage faults.
pub async fn redeem(ctx: &Ctx, token: Option<&LookupHash>, nonce: &str) -> Result<Option<Issued>> {
    let Some(token) = token else { return Ok(None) };
    let hashes = &ctx.app.ring.lookup_hashes(Lookup::RotatingTokenNonce, nonce);
    transact(ctx.db(), "native.redeem_nonce", |tx| {
        async move {
            let Some(client) = clients::lock_by_token(tx, token).await? else {
                flow_steps::log_refused_nonce(ctx, None);
                return Ok(Committed::Done(None));
            };
            let Some(held) = nonces::take(tx, hashes, &client).await? else {
                record_outcome::nonce_refused(ctx, tx, &client).await?;
                let flow = nonces::flow_of(tx, hashes).await?;
                flow_steps::log_refused_nonce(ctx, flow.as_ref());
                return Ok(Committed::Done(None));
            };
            if let Some(issued) = apply_held(ctx, tx, &held).await? {
                return Ok(Committed::Done(Some(issued)));
            }
            let issued = client::new_token(ctx);
            let first = ctx.app.ring.first_id();
            clients::rotate_token(tx, &client, &issued.hash, first).await?;
            Ok(Committed::Done(Some(issued)))
        }
        .scope_boxed()
    })
    .await
}

/// A connection's own state says whether it is still wanted; an attempt's is asked for here.
async fn is_current(db: &mut InstanceConnection<'_>, authorization: &ProviderAuthorization) -> Result<bool> {
    let target = &authorization.target_id;
    Ok(authorization.is_connection()
        || provider_authorizations::is_current(db, target, &authorization.verification_id).await?)
}

/// Applies what waited; the token of the session that begins, if one does. An attempt that was replaced meanwhile, and
/// a session that is over, leave nothing to apply.
async fn apply_held(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    held: &RedeemedNonce,
) -> Result<Option<Issued>, Aborted> {
    let authorization = provider_authorizations::get(db, &held.id).await?;
    flow_steps::resume(ctx, authorization.flow_id.as_ref(), None);
    if authorization.tokens_sealed.is_none() || !is_current(db, &authorization).await? {
        return Ok(None);
    }
    let answered = ProviderAnswer::ProviderIdentity(Box::new(ProviderIdentity::reopen(ctx, &authorization)?));
    let ctx = ctx.promising(promised(held.outcome_url.as_deref()));
    let mut inner = db.begin().await?;
    let tx = &mut inner.connection();
    let applied = match apply(&ctx, tx, &authorization, &answered).await {
        Ok(applied) => applied,
        Err(Aborted::Error(Error::Problem(problem))) => {
            tracing::info!(code = problem.code().name, "what waited behind a nonce is over");
            inner.rollback().await?;
            return Ok(None);
        }
        Err(interrupted) => return Err(interrupted),
    };
    let keeps_identity = matches!(&applied, Applied::CurrentAttempt(outcome) if outcome.keeps_identity());
    if !keeps_identity {
        provider_authorizations::forget_tokens(tx, &authorization.id).await?;
    }
    inner.commit().await?;
    Ok(match applied {
        Applied::CurrentAttempt(AttemptOutcome::Complete(issued)) => Some(issued),
        Applied::CurrentAttempt(_) | Applied::Connection(_) => None,
    })
}

/// The session that the URL named.
fn promised(url: Option<&str>) -> Option<SessionId> {
    let query = url?.split('#').next()?.split_once('?')?.1;
    let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.get(SESSION).and_then(|id| SessionId::parse(id))
}
