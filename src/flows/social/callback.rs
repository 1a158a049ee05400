//! The person comes back from the provider: the state is consumed before anything is believed, the provider is asked
//! with no connection held, and one transaction writes down what it means.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::connected;
use super::landing::{Answered, Landing, close, invalid, keep, lock_client};
use super::native;
use super::settle::{self, Attempt, Settled};
use super::transfer;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash, Secret};
use crate::flows::client::Issued;
use crate::flows::configured::{self, Configured};
use crate::flows::departure::verifier_at;
use crate::flows::identity::Proof;
use crate::flows::race::{Interrupted, TRIES};
use crate::flows::timeline;
use crate::model::id::FlowId;
use crate::model::linking::Started;
use crate::model::problem::{Error, Result, code};
use crate::model::reason::{Reason, Why};
use crate::model::redirect::{self, CREATED_SESSION, with_query};
use crate::store::attempts::{CompletedBy, SignUpFields};
use crate::store::nonces;
use crate::store::social_flows::{self, SocialFlow};
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile;
use crate::upstream::request::Verifier;
use crate::upstream::token::{self, CodeExchange};

/// How long a second callback of the same browser waits for the first one's result.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// Finishes a trip.
///
/// # Errors
/// `oauth_callback_invalid` where no attempt can be trusted: state missing, unknown, used, expired, of another browser
/// or of a replaced attempt, or another issuer's answer. The attempt's own failures are no errors here: they stand in
/// its verification, and the browser goes to its redirect address.
pub async fn callback(ctx: &Ctx, token: Option<&LookupHash>, parameters: &BTreeMap<String, String>) -> Result<Landing> {
    timeline::came_back(ctx, parameters);
    let state = parameters.get("state").filter(|state| !state.is_empty());
    let state = state.ok_or_else(|| unusable(ctx, None, Reason::StateMissing, ""))?;
    let state = stored_state(ctx, state).await?;
    let consumed = social_flows::consume(&ctx.app.db, ctx.instance_id(), &state, token, ctx.offset()).await?;
    let Some(flow) = consumed else { return join_or_refuse(ctx, token, &state).await };
    timeline::state_checked(ctx, flow.flow_id.as_ref());
    let outcome = arrive(ctx, token, &flow, parameters).await;
    if outcome.is_err() {
        close(ctx, &flow).await;
    }
    outcome
}

/// Asks the provider, and settles what it says. A trip that ends in an error is not finished yet.
async fn arrive(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    flow: &SocialFlow,
    parameters: &BTreeMap<String, String>,
) -> Result<Landing> {
    let started = if flow.intent == "sign_up" { Started::SignUp } else { Started::SignIn };
    let answered = prove(ctx, flow, parameters).await?;
    if flow.hands_over_nonce() {
        return native::hand_over(ctx, flow, started, &answered).await;
    }
    match flow.is_connection() {
        true => connected::finish(ctx, token, flow, &answered).await,
        false => finish(ctx, token, flow, started, &answered).await,
    }
}

/// What a state is looked up by: under the ring's first key, or, while the ring is being rotated, under the key that was
/// first when the trip began.
async fn stored_state(ctx: &Ctx, state: &str) -> Result<LookupHash> {
    let ring = &ctx.app.ring;
    let first = ring.lookup_hash(Lookup::State, state);
    if ring.len() == 1 {
        return Ok(first);
    }
    let hashes = ring.lookup_hashes(Lookup::State, state);
    Ok(social_flows::stored_under(&ctx.app.db, ctx.instance_id(), &hashes).await?.unwrap_or(first))
}

/// The state cannot be used; `flow` is the one it belongs to, if it belongs to any.
fn unusable(ctx: &Ctx, flow: Option<&FlowId>, reason: Reason, detail: &'static str) -> Error {
    timeline::unusable_state(ctx, flow, Why::new(reason, detail));
    invalid(reason, detail)
}

/// A state that cannot be consumed: wait for the same browser's first callback if it is still at work, else refuse.
async fn join_or_refuse(ctx: &Ctx, token: Option<&LookupHash>, state: &LookupHash) -> Result<Landing> {
    let mut waited = Duration::ZERO;
    let mut was_at_work = false;
    loop {
        let found = social_flows::why_not(&ctx.app.db, ctx.instance_id(), state, token, ctx.offset()).await?;
        let found = found.ok_or_else(|| unusable(ctx, None, Reason::StateMissing, ""))?;
        let unusable = |reason, detail| Err(unusable(ctx, found.flow_id.as_ref(), reason, detail));
        // Whoever knows the state may be the one who waits for somebody else's approval: the outcome is told once.
        if found.hands_over_nonce && found.is_consumed {
            return unusable(Reason::StateUsed, "");
        }
        if token.is_none() && !found.hands_over_nonce {
            return unusable(Reason::CookieMissing, "");
        }
        if !found.is_same_browser && !found.hands_over_nonce {
            return unusable(Reason::StateOtherBrowser, "client");
        }
        if !found.is_consumed && found.is_session_over {
            return unusable(Reason::StateOtherBrowser, "session");
        }
        if !found.is_consumed {
            if found.is_expired {
                return unusable(Reason::StateExpired, "");
            }
            timeline::replaced(ctx, &ctx.app.db, &found.client_id).await;
            return unusable(Reason::AttemptReplaced, "");
        }
        if was_at_work
            && found.is_finished
            && let Some(url) = &found.outcome_url
        {
            return Ok(Landing { url: url.clone(), issued: None });
        }
        if found.is_finished || waited >= PATIENCE {
            return unusable(Reason::StateUsed, "");
        }
        was_at_work = true;
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

/// Asks the provider. No connection is held here.
async fn prove(ctx: &Ctx, flow: &SocialFlow, parameters: &BTreeMap<String, String>) -> Result<Answered> {
    let configured = configured::by_slug(ctx, &flow.provider).await?;
    let issuer = parameters.get("iss").map(String::as_str);
    if configured.provider.check_callback_issuer(issuer).is_err() {
        return Err(invalid(Reason::IssuerMismatch, "callback"));
    }
    let descriptor = &configured.provider.descriptor;
    if let Some(error) = parameters.get("error") {
        let description = parameters.get("error_description").map(String::as_str);
        let error = UpstreamError::at_callback(descriptor, error, description);
        timeline::provider_refused(ctx, &error);
        return Ok(failed(ctx, &error));
    }
    match exchange(ctx, flow, &configured, parameters).await? {
        Ok(proof) => Ok(Answered::Proof(Box::new(proof))),
        Err(error) => Ok(failed(ctx, &error)),
    }
}

fn failed(ctx: &Ctx, error: &UpstreamError) -> Answered {
    ctx.trail.refuse(error.failure().why());
    tracing::info!(
        call = error.call.name(),
        reason = error.reason.name(),
        detail = error.detail,
        status = error.status,
        provider_code = error.provider_code.as_deref(),
        "provider failed"
    );
    Answered::Failed(error.failure())
}

async fn exchange(
    ctx: &Ctx,
    flow: &SocialFlow,
    configured: &Configured,
    parameters: &BTreeMap<String, String>,
) -> Result<Result<Proof, UpstreamError>> {
    let code = Secret::from(parameters.get("code").cloned().unwrap_or_default());
    let verifier = match &flow.pkce_verifier_sealed {
        None => None,
        Some(sealed) => {
            let opened = ctx.app.ring.open(&verifier_at(ctx, &flow.id), sealed).map_err(Error::internal)?;
            Verifier::parse(&String::from_utf8_lossy(&opened))
        }
    };
    let trade = CodeExchange { code: &code, verifier: verifier.as_ref(), redirect_uri: &flow.callback_url };
    let upstream = &ctx.app.upstream;
    let begun = Instant::now();
    let answer = token::exchange(&upstream.outbound, &configured.provider, &trade).await;
    timeline::exchanged(ctx, &configured.provider.endpoints.token, begun.elapsed(), answer.as_ref().err());
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let is_ours = |nonce: &str| {
        let hashes = ctx.app.ring.lookup_hashes(Lookup::Nonce, nonce);
        hashes.iter().any(|hash| flow.nonce_hash.as_deref() == Some(hash.as_bytes().as_slice()))
    };
    let nonce = if flow.nonce_hash.is_some() { NonceCheck::Demanded(&is_ours) } else { NonceCheck::NotSent };
    let begun = Instant::now();
    let profile = profile::fetch(upstream, &configured.provider, &answer, nonce, parameters, ctx.now).await;
    timeline::identified(ctx, begun.elapsed(), profile.as_ref());
    Ok(profile.map(|profile| Proof::new(ctx, flow, configured, &answer, profile)))
}

/// One transaction: settle the attempt, keep what a transfer may need, and say where the browser goes.
async fn finish(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    flow: &SocialFlow,
    started: Started,
    answered: &Answered,
) -> Result<Landing> {
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        if !is_still_wanted(ctx, &mut tx, token, flow).await? {
            tx.rollback().await?;
            timeline::replaced(ctx, &ctx.app.db, &flow.client_id).await;
            return Err(invalid(Reason::AttemptReplaced, ""));
        }
        let settled = match answered {
            Answered::Proof(proof) => settle_proof(ctx, &mut tx, flow, started, proof).await,
            Answered::Failed(failure) => settle::fail(ctx, &mut tx, &attempt(flow, started), failure).await,
        };
        let settled = match settled {
            Ok(settled) => settled,
            Err(Interrupted::Lost) => {
                tx.rollback().await?;
                continue;
            }
            Err(Interrupted::Error(error)) => return Err(error),
        };
        let kept = kept(ctx, flow, answered, &settled)?;
        let kept = kept.as_ref().map(|(id, profile, tokens)| (id.as_str(), profile, tokens.as_slice()));
        let (url, issued) = destination(ctx, &mut tx, flow, settled).await?;
        social_flows::finish(&mut tx, ctx.instance_id(), &flow.id, kept, &url, ctx.offset()).await?;
        tx.commit().await?;
        timeline::handed_over(ctx, &url);
        return Ok(Landing { url, issued: issued.map(|issued| issued.token) });
    }
    Err(code::RESOURCE_LOCKED.into())
}

/// Locks the client and looks again: while a slow provider was asked, the token may have been replaced by somebody's
/// sign-in, whose session the holder of the old token must not reach, or the attempt by a newer one.
async fn is_still_wanted(
    ctx: &Ctx,
    db: &mut crate::store::pool::PgConnection,
    token: Option<&LookupHash>,
    flow: &SocialFlow,
) -> Result<bool> {
    Ok(lock_client(ctx, db, token, flow).await?
        && social_flows::is_current(db, ctx.instance_id(), &flow.target_id, &flow.verification_id).await?)
}

fn attempt(flow: &SocialFlow, started: Started) -> Attempt<'_> {
    Attempt {
        started,
        id: &flow.target_id,
        verification: &flow.verification_id,
        client: &flow.client_id,
        authorization: &flow.id,
        by: CompletedBy::Callback,
    }
}

/// Settles; our own pages transfer here, on the server, in the same transaction, so that nobody sees a step between.
async fn settle_proof(
    ctx: &Ctx,
    db: &mut crate::store::pool::PgConnection,
    flow: &SocialFlow,
    started: Started,
    proof: &Proof,
) -> Result<Settled, Interrupted> {
    let settled = settle::settle(ctx, db, &attempt(flow, started), proof).await?;
    let ours = ["/sign-in/sso-callback", "/sign-up/sso-callback"].map(|path| ctx.instance.url(path));
    let is_ours = ours.iter().any(|url| flow.redirect_url.split('?').next() == Some(url.as_str()));
    if !is_ours || !matches!(settled, Settled::Transferable) {
        return Ok(settled);
    }
    let to = match started {
        Started::SignIn => Started::SignUp,
        Started::SignUp => Started::SignIn,
    };
    let fields = SignUpFields::default();
    let carried =
        transfer::carry_over(ctx, db, &flow.client_id, (&flow.id, proof), to, &fields, CompletedBy::Callback).await?;
    Ok(carried.settled)
}

type Kept = Option<(String, serde_json::Value, Vec<u8>)>;

/// What a later transfer or completion needs; nothing once the tokens lie with their account.
fn kept(ctx: &Ctx, flow: &SocialFlow, answered: &Answered, settled: &Settled) -> Result<Kept> {
    let Answered::Proof(proof) = answered else { return Ok(None) };
    if settled.keeps_proof() { keep(ctx, flow, proof).map(Some) } else { Ok(None) }
}

/// A finished attempt goes to the complete address, if one was given; everything else to the redirect address. The page
/// that ends a sign-in in a popup sees no cookie: it is told which session began.
async fn destination(
    ctx: &Ctx,
    db: &mut crate::store::pool::PgConnection,
    flow: &SocialFlow,
    settled: Settled,
) -> Result<(String, Option<Issued>)> {
    let Settled::Complete(issued) = settled else { return Ok((flow.redirect_url.clone(), None)) };
    let url = flow.action_complete_redirect_url.as_ref().unwrap_or(&flow.redirect_url);
    if !redirect::is_popup_page(&ctx.instance, url) {
        return Ok((url.clone(), Some(issued)));
    }
    let session = nonces::created_session(db, ctx.instance_id(), &flow.target_id).await?;
    let told = session.map(|session| with_query(url, CREATED_SESSION, session.as_str()));
    Ok((told.unwrap_or_else(|| url.clone()), Some(issued)))
}
