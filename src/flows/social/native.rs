//! Native applications: the browser that comes back from the provider has no cookie of theirs, so it proves nothing. What
//! the provider proved waits, sealed, behind a nonce that is handed to the application's address; the application has it
//! settled by presenting the nonce with the client token it began with. Until then nothing that
//! anybody can read has changed.

use std::collections::BTreeMap;

use super::connected::{self, Outcome};
use super::landing::{self, Answered, Landing};
use super::settle::{self, Attempt, Settled};
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::flows::client::{self, Issued};
use crate::flows::identity::Proof;
use crate::flows::race::{Interrupted, TRIES};
use crate::flows::record;
use crate::flows::timeline;
use crate::model::id::SessionId;
use crate::model::linking::Started;
use crate::model::problem::{Error, Result, code};
use crate::model::random;
use crate::model::reason::Reason;
use crate::model::redirect::with_query;
use crate::store::attempts::CompletedBy;
use crate::store::clients;
use crate::store::nonces::{self, Held};
use crate::store::pool::PgConnection;
use crate::store::social_flows::{self, SocialFlow};

/// The parameter that hands the nonce on, and by which it comes back.
pub const NONCE: &str = "rotating_token_nonce";
/// The parameter that names the session which presenting the nonce begins.
const SESSION: &str = "created_session_id";

/// What presenting the nonce would do now.
enum Rehearsed {
    /// It would sign in, with this session.
    SignsIn(SessionId),
    /// It would connect the account.
    Connects,
    /// It would fail with this code.
    Fails(String),
    /// It would go on elsewhere: a transfer, or more to be asked.
    GoesOn,
}

/// Ends the browser's part of a trip: puts what came back behind a nonce, and sends the browser to the application with
/// it. The caller closes a trip that ends in an error.
///
/// # Errors
/// `oauth_callback_invalid` if a newer attempt replaced this one, or the session that connects is over; `resource_locked`
/// after lost races.
pub async fn hand_over(ctx: &Ctx, flow: &SocialFlow, started: Started, answered: &Answered) -> Result<Landing> {
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        clients::lock(&mut tx, ctx.instance_id(), &flow.client_id).await?;
        let is_current = is_current(ctx, &mut tx, flow).await?;
        if !is_current {
            tx.rollback().await?;
            timeline::replaced(ctx, &ctx.app.db, &flow.client_id).await;
            return Err(landing::invalid(Reason::AttemptReplaced, ""));
        }
        let rehearsed = match answered {
            Answered::Proof(_) => rehearse(ctx, &mut tx, flow, started, answered).await,
            // Nothing is proven, so there is nothing to wait for.
            Answered::Failed(failure) => {
                let code = failure.code.to_owned();
                apply(ctx, &mut tx, flow, started, answered).await.map(|_| Rehearsed::Fails(code))
            }
        };
        let rehearsed = match rehearsed {
            Ok(rehearsed) => rehearsed,
            Err(Interrupted::Lost) => {
                tx.rollback().await?;
                continue;
            }
            Err(Interrupted::Error(error)) => return Err(error),
        };
        let url = address(flow, &rehearsed);
        let nonce = random::token(ctx.rng());
        hold(ctx, &mut tx, flow, answered, &nonce, &url).await?;
        tx.commit().await?;
        timeline::handed_over(ctx, &url);
        return Ok(Landing { url: with_query(&url, NONCE, &nonce), issued: None });
    }
    Err(code::RESOURCE_LOCKED.into())
}

/// Settles and takes it back: the address has to say what is going to happen, and nothing may have happened.
async fn rehearse(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    started: Started,
    answered: &Answered,
) -> Result<Rehearsed, Interrupted> {
    let mut rehearsal = db.begin().await?;
    let applied = apply(&ctx.untold(), &mut rehearsal, flow, started, answered).await?;
    let instance = ctx.instance_id();
    let rehearsed = match applied {
        Applied::Connection(Outcome::Connected) => Rehearsed::Connects,
        Applied::Connection(Outcome::Refused(failure)) => Rehearsed::Fails(failure.code.to_owned()),
        Applied::Attempt(Settled::Complete(_)) => {
            match nonces::created_session(&mut rehearsal, instance, &flow.target_id).await? {
                Some(session) => Rehearsed::SignsIn(session),
                None => Rehearsed::GoesOn,
            }
        }
        Applied::Attempt(Settled::Failed) => {
            let code = nonces::shown_code(&mut rehearsal, instance, &flow.verification_id).await?;
            code.map_or(Rehearsed::GoesOn, Rehearsed::Fails)
        }
        Applied::Attempt(_) => Rehearsed::GoesOn,
    };
    rehearsal.rollback().await?;
    Ok(rehearsed)
}

/// What became of a trip, whatever it was for.
enum Applied {
    Attempt(Settled),
    Connection(Outcome),
}

async fn apply(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    started: Started,
    answered: &Answered,
) -> Result<Applied, Interrupted> {
    if flow.is_connection() {
        return connected::settle(ctx, db, flow, answered).await.map(Applied::Connection);
    }
    let attempt = Attempt {
        started,
        id: &flow.target_id,
        verification: &flow.verification_id,
        client: &flow.client_id,
        authorization: &flow.id,
        by: CompletedBy::Callback,
    };
    let settled = match answered {
        Answered::Proof(proof) => settle::settle(ctx, db, &attempt, proof).await?,
        Answered::Failed(failure) => settle::fail(ctx, db, &attempt, failure).await?,
    };
    Ok(Applied::Attempt(settled))
}

/// The application's address with what is going to happen; the nonce itself is kept nowhere.
fn address(flow: &SocialFlow, rehearsed: &Rehearsed) -> String {
    let complete = flow.action_complete_redirect_url.as_ref().unwrap_or(&flow.redirect_url);
    match rehearsed {
        Rehearsed::SignsIn(session) => with_query(complete, SESSION, session.as_str()),
        Rehearsed::Connects => complete.clone(),
        Rehearsed::Fails(code) => {
            let failed = with_query(&flow.redirect_url, "__clerk_status", "failed");
            with_query(&failed, "__clerk_error_code", code)
        }
        Rehearsed::GoesOn => flow.redirect_url.clone(),
    }
}

async fn hold(
    ctx: &Ctx,
    db: &mut PgConnection,
    flow: &SocialFlow,
    answered: &Answered,
    nonce: &str,
    url: &str,
) -> Result<()> {
    let kept = match answered {
        Answered::Proof(proof) => Some(landing::keep(ctx, flow, proof)?),
        Answered::Failed(_) => None,
    };
    let kept = kept.as_ref().map(|(id, profile, tokens)| (id.as_str(), profile, tokens.as_slice()));
    social_flows::finish(db, ctx.instance_id(), &flow.id, kept, url, ctx.offset()).await?;
    let hash = ctx.app.ring.lookup_hash(Lookup::RotatingTokenNonce, nonce);
    nonces::put(db, ctx.instance_id(), &flow.id, &hash, ctx.offset()).await?;
    Ok(())
}

/// Presents a nonce with the client token that began: settles what waits behind it, once, within five minutes. Returns the
/// client's new token; `None` where the nonce is wrong, used, late, or another client's, and then nothing has changed.
///
/// # Errors
/// Storage faults.
pub async fn redeem(ctx: &Ctx, token: Option<&LookupHash>, nonce: &str) -> Result<Option<Issued>> {
    let Some(token) = token else { return Ok(None) };
    let hashes = ctx.app.ring.lookup_hashes(Lookup::RotatingTokenNonce, nonce);
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        let Some(client) = clients::lock_by_token(&mut tx, ctx.instance_id(), token).await? else {
            timeline::nonce_refused(ctx, None);
            return Ok(None);
        };
        let held = nonces::take(&mut tx, ctx.instance_id(), &hashes, &client, ctx.offset()).await?;
        let Some(held) = held else {
            record::nonce_refused(ctx, &mut tx, &client).await?;
            let flow = nonces::flow_of(&mut tx, ctx.instance_id(), &hashes).await?;
            timeline::nonce_refused(ctx, flow.as_ref());
            tx.commit().await?;
            return Ok(None);
        };
        match settle_held(ctx, &mut tx, &held).await {
            Ok(Some(issued)) => {
                tx.commit().await?;
                return Ok(Some(issued));
            }
            Ok(None) => {
                let issued = client::new_token(ctx);
                let first = ctx.app.ring.first_id();
                clients::rotate_token(&mut tx, ctx.instance_id(), &client, &issued.hash, first, ctx.offset()).await?;
                tx.commit().await?;
                return Ok(Some(issued));
            }
            Err(Interrupted::Lost) => tx.rollback().await?,
            Err(Interrupted::Error(error)) => return Err(error),
        }
    }
    Err(code::RESOURCE_LOCKED.into())
}

/// A connection's own state says whether it is still wanted; an attempt's is asked for here.
async fn is_current(ctx: &Ctx, db: &mut PgConnection, flow: &SocialFlow) -> Result<bool> {
    let (instance, target) = (ctx.instance_id(), &flow.target_id);
    Ok(flow.is_connection() || social_flows::is_current(db, instance, target, &flow.verification_id).await?)
}

/// Settles what waited; the token of the session that begins, if one does. An attempt that was replaced meanwhile, and a
/// session that is over, leave nothing to settle.
async fn settle_held(ctx: &Ctx, db: &mut PgConnection, held: &Held) -> Result<Option<Issued>, Interrupted> {
    let flow = social_flows::get(db, ctx.instance_id(), &held.id).await?;
    timeline::resumed(ctx, flow.flow_id.as_ref(), None);
    if flow.tokens_sealed.is_none() || !is_current(ctx, db, &flow).await? {
        return Ok(None);
    }
    let answered = Answered::Proof(Box::new(Proof::reopen(ctx, &flow)?));
    let ctx = ctx.promising(promised(held.outcome_url.as_deref()));
    let started = if flow.intent == "sign_up" { Started::SignUp } else { Started::SignIn };
    let mut inner = db.begin().await?;
    let applied = match apply(&ctx, &mut inner, &flow, started, &answered).await {
        Ok(applied) => applied,
        Err(Interrupted::Error(Error::Problem(problem))) => {
            tracing::info!(code = problem.code().name, "what waited behind a nonce is over");
            inner.rollback().await?;
            return Ok(None);
        }
        Err(interrupted) => return Err(interrupted),
    };
    let keeps_proof = matches!(&applied, Applied::Attempt(settled) if settled.keeps_proof());
    if !keeps_proof {
        social_flows::forget_tokens(&mut inner, ctx.instance_id(), &flow.id).await?;
    }
    inner.commit().await?;
    Ok(match applied {
        Applied::Attempt(Settled::Complete(issued)) => Some(issued),
        Applied::Attempt(_) | Applied::Connection(_) => None,
    })
}

/// The session that the address promised.
fn promised(url: Option<&str>) -> Option<SessionId> {
    let query = url?.split('#').next()?.split_once('?')?.1;
    let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.get(SESSION).and_then(|id| SessionId::parse(id))
}
