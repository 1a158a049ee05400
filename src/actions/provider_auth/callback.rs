//! The person comes back from the provider: the state is consumed before anything is believed, the provider is asked
//! with no connection held, and one transaction writes down what it means.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::apply_decision::{self, AttemptOutcome, CurrentAttempt};
use super::callback_outcome::{CallbackOutcome, ProviderAnswer, close, invalid, keep, lock_client};
use super::connected;
use super::native;
use super::transfer;
use crate::actions::client::Issued;
use crate::actions::configured::{self, Configured};
use crate::actions::flow_steps;
use crate::actions::identity::ProviderIdentity;
use crate::actions::start_provider_auth::verifier_at;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash, Secret};
use crate::model::id::{FlowId, VerificationId};
use crate::model::linking::AttemptKind;
use crate::model::problem::{Error, Result};
use crate::model::reason::{Reason, Why};
use crate::model::redirect::{self, CREATED_SESSION, with_query};
use crate::store::InstanceConnection;
use crate::store::attempts::{CompletedBy, SignUpFields};
use crate::store::nonces;
use crate::store::provider_authorizations::{self, ProviderAuthorization};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::upstream::error::UpstreamError;
use crate::upstream::oidc::NonceCheck;
use crate::upstream::profile::{self, Answers};
use crate::upstream::request::Verifier;
use crate::upstream::token::{self, CodeExchange};

/// How long a second callback of the same browser waits for the first one's result.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// Finishes an authorization.
///
/// # Errors
/// `oauth_callback_invalid` where no attempt can be trusted: state missing, unknown, used, expired, of another browser
/// or of a replaced attempt, or another issuer's answer. The attempt's own failures are no errors here: they stand in
/// its verification, and the browser goes to its redirect address.
pub async fn callback(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    parameters: &BTreeMap<String, String>,
) -> Result<CallbackOutcome> {
    flow_steps::log_callback(ctx, parameters);
    let state = parameters.get("state").filter(|state| !state.is_empty());
    let state = state.ok_or_else(|| unusable(ctx, None, Reason::StateMissing, ""))?;
    let state = stored_state(ctx, state).await?;
    let consumed = provider_authorizations::consume(&mut ctx.db(), &state, token).await?;
    let Some(authorization) = consumed else { return join_or_refuse(ctx, token, &state).await };
    flow_steps::log_state(ctx, authorization.flow_id.as_ref());
    let outcome = handle_callback(ctx, token, &authorization, parameters).await;
    if outcome.is_err() {
        close(ctx, &authorization).await;
    }
    outcome
}

/// Asks the provider, and applies what it says. An authorization that ends in an error is not finished yet.
async fn handle_callback(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    authorization: &ProviderAuthorization,
    parameters: &BTreeMap<String, String>,
) -> Result<CallbackOutcome> {
    let answered = fetch_identity(ctx, authorization, parameters).await?;
    if authorization.hands_over_nonce() {
        return native::finish_for_app(ctx, authorization, &answered).await;
    }
    match authorization.intent.attempt_kind() {
        None => connected::finish(ctx, token, authorization, &answered).await,
        Some(kind) => finish(ctx, token, authorization, kind, &answered).await,
    }
}

/// What a state is looked up by: under the ring's first key, or, while the ring is being rotated, under the key that
/// was first when the authorization began.
async fn stored_state(ctx: &Ctx, state: &str) -> Result<LookupHash> {
    let ring = &ctx.app.ring;
    let first = ring.lookup_hash(Lookup::State, state);
    if ring.len() == 1 {
        return Ok(first);
    }
    let mut hashes = vec![first];
    hashes.extend(ring.older_lookup_hashes(Lookup::State, state).map(|(_, hash)| hash));
    Ok(provider_authorizations::stored_under(&mut ctx.db(), &hashes).await?.unwrap_or(first))
}

/// The state cannot be used; `flow` is that of its authorization, if it has one.
fn unusable(ctx: &Ctx, flow: Option<&FlowId>, reason: Reason, detail: &'static str) -> Error {
    flow_steps::log_unusable_state(ctx, flow, Why::new(reason, detail));
    invalid(reason, detail)
}

/// A state that cannot be consumed: wait for the same browser's first callback if it is still at work, else refuse.
async fn join_or_refuse(ctx: &Ctx, token: Option<&LookupHash>, state: &LookupHash) -> Result<CallbackOutcome> {
    let mut waited = Duration::ZERO;
    let mut was_at_work = false;
    loop {
        let found = provider_authorizations::why_not(&mut ctx.db(), state, token).await?;
        let found = found.ok_or_else(|| unusable(ctx, None, Reason::StateMissing, ""))?;
        let unusable = |reason, detail| Err(unusable(ctx, found.flow_id.as_ref(), reason, detail));
        // Whoever knows the state may be the one who waits for somebody else's approval: the outcome is shown once.
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
            flow_steps::log_replacement(ctx, &mut ctx.db(), &found.client_id).await;
            return unusable(Reason::AttemptReplaced, "");
        }
        if was_at_work
            && found.is_finished
            && let Some(url) = &found.outcome_url
        {
            return Ok(CallbackOutcome { url: url.clone(), issued: None });
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
async fn fetch_identity(
    ctx: &Ctx,
    authorization: &ProviderAuthorization,
    parameters: &BTreeMap<String, String>,
) -> Result<ProviderAnswer> {
    let configured = configured::by_slug(ctx, &authorization.provider).await?;
    let issuer = parameters.get("iss").map(String::as_str);
    if configured.provider.check_callback_issuer(issuer).is_err() {
        return Err(invalid(Reason::IssuerMismatch, "callback"));
    }
    let descriptor = &configured.provider.descriptor;
    if let Some(error) = parameters.get("error") {
        let description = parameters.get("error_description").map(String::as_str);
        let error = UpstreamError::at_callback(descriptor, error, description);
        flow_steps::log_provider_refusal(ctx, &error);
        return Ok(failed(ctx, &error));
    }
    exchange(ctx, authorization, &configured, parameters).await
}

fn failed(ctx: &Ctx, error: &UpstreamError) -> ProviderAnswer {
    ctx.flow_log.refuse(error.failure().why());
    tracing::info!(
        call = error.call.name(),
        reason = error.reason.name(),
        detail = error.detail,
        status = error.status,
        provider_code = error.provider_code.as_deref(),
        "provider failed"
    );
    ProviderAnswer::Failed(error.failure())
}

/// Trades the code for tokens, and these for who the person is.
async fn exchange(
    ctx: &Ctx,
    authorization: &ProviderAuthorization,
    configured: &Configured,
    parameters: &BTreeMap<String, String>,
) -> Result<ProviderAnswer> {
    let code = Secret::from(parameters.get("code").cloned().unwrap_or_default());
    let verifier = match &authorization.pkce_verifier_sealed {
        None => None,
        Some(sealed) => {
            let opened = ctx.app.ring.open(&verifier_at(ctx, &authorization.id), sealed).map_err(Error::internal)?;
            Verifier::parse(&String::from_utf8_lossy(&opened))
        }
    };
    let trade = CodeExchange { code: &code, verifier: verifier.as_ref(), redirect_uri: &authorization.callback_url };
    let upstream = &ctx.app.upstream;
    let begun = Instant::now();
    let answer = token::exchange(&upstream.outbound, &configured.provider, &trade).await;
    flow_steps::log_exchange(ctx, &configured.provider.endpoints.token, begun.elapsed(), answer.as_ref().err());
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(failed(ctx, &error)),
    };
    let is_ours = |nonce: &str| {
        let hashes = ctx.app.ring.lookup_hashes(Lookup::Nonce, nonce);
        hashes.iter().any(|hash| authorization.nonce_hash.as_deref() == Some(hash.as_bytes().as_slice()))
    };
    let nonce = if authorization.nonce_hash.is_some() { NonceCheck::Demanded(&is_ours) } else { NonceCheck::NotSent };
    let begun = Instant::now();
    let answers = Answers { callback: parameters, tokens: &answer };
    let profile = profile::fetch(upstream, &configured.provider, &answers, nonce, ctx.now).await;
    flow_steps::log_identity(ctx, begun.elapsed(), profile.as_ref());
    Ok(match profile {
        Ok(profile) => {
            let identity = ProviderIdentity::new(ctx, authorization, configured, &answer, profile);
            ProviderAnswer::ProviderIdentity(Box::new(identity))
        }
        Err(error) => failed(ctx, &error),
    })
}

/// One transaction: apply the decision, keep what a transfer may need, and say where the browser goes.
async fn finish(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    authorization: &ProviderAuthorization,
    kind: AttemptKind,
    answered: &ProviderAnswer,
) -> Result<CallbackOutcome> {
    let finished = transact(ctx.db(), "callback.finish", |tx| {
        async move {
            if !is_still_wanted(tx, token, authorization).await? {
                return Ok(Committed::Done(None));
            }
            let outcome = match answered {
                ProviderAnswer::ProviderIdentity(identity) => {
                    apply_identity(ctx, tx, authorization, kind, identity).await?
                }
                ProviderAnswer::Failed(failure) => {
                    apply_decision::fail(ctx, tx, &attempt(authorization, kind), failure).await?
                }
            };
            let received = received(ctx, authorization, answered, &outcome)?;
            let received = received.as_ref().map(|(id, profile, tokens)| (id.as_str(), profile, tokens.as_slice()));
            let (url, issued) = destination(ctx, tx, authorization, outcome).await?;
            provider_authorizations::finish(tx, &authorization.id, received, &url).await?;
            Ok(Committed::Done(Some((url, issued))))
        }
        .scope_boxed()
    });
    let Some((url, issued)) = finished.await? else {
        flow_steps::log_replacement(ctx, &mut ctx.db(), &authorization.client_id).await;
        return Err(invalid(Reason::AttemptReplaced, ""));
    };
    flow_steps::log_redirect(ctx, &url);
    Ok(CallbackOutcome { url, issued })
}

/// Locks the client and looks again: while a slow provider was asked, the token may have been replaced by somebody's
/// sign-in, whose session the holder of the old token must not reach, or the attempt by a newer one.
async fn is_still_wanted(
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    authorization: &ProviderAuthorization,
) -> Result<bool> {
    Ok(lock_client(db, token, authorization).await?
        && provider_authorizations::is_current(db, &authorization.target_id, &authorization.verification_id).await?)
}

fn attempt(authorization: &ProviderAuthorization, kind: AttemptKind) -> CurrentAttempt<'_> {
    CurrentAttempt {
        kind,
        id: &authorization.target_id,
        verification: &authorization.verification_id,
        client: &authorization.client_id,
        authorization: &authorization.id,
        by: CompletedBy::Callback,
    }
}

/// Applies the decision; our own pages transfer here, on the server, in the same transaction, so that nobody sees a
/// step between.
async fn apply_identity(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    kind: AttemptKind,
    identity: &ProviderIdentity,
) -> Result<AttemptOutcome, Aborted> {
    let outcome = apply_decision::apply_decision(ctx, db, &attempt(authorization, kind), identity).await?;
    let ours = ["/sign-in/sso-callback", "/sign-up/sso-callback"].map(|path| ctx.instance.url(path));
    let is_ours = ours.iter().any(|url| authorization.redirect_url.split('?').next() == Some(url.as_str()));
    if !is_ours || !matches!(outcome, AttemptOutcome::Transferable) {
        return Ok(outcome);
    }
    let to = kind.other();
    let fields = SignUpFields::default();
    let id = transfer::begin(ctx, db, &authorization.client_id, to, &fields).await?;
    let verification = VerificationId::new(ctx.now, ctx.rng());
    let target = CurrentAttempt { kind: to, id: &id, verification: &verification, ..attempt(authorization, kind) };
    transfer::apply(ctx, db, &target, identity).await
}

type ReceivedIdentity = Option<(String, serde_json::Value, Vec<u8>)>;

/// What a later transfer or completion needs; nothing once the tokens lie with their account.
fn received(
    ctx: &Ctx,
    authorization: &ProviderAuthorization,
    answered: &ProviderAnswer,
    outcome: &AttemptOutcome,
) -> Result<ReceivedIdentity> {
    let ProviderAnswer::ProviderIdentity(identity) = answered else { return Ok(None) };
    if outcome.keeps_identity() { keep(ctx, authorization, identity).map(Some) } else { Ok(None) }
}

/// A finished attempt goes to the complete address, if one was given; everything else to the redirect address. The page
/// that ends a sign-in in a popup sees no cookie: it is shown which session began.
async fn destination(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization: &ProviderAuthorization,
    outcome: AttemptOutcome,
) -> Result<(String, Option<Issued>)> {
    let AttemptOutcome::Complete(issued) = outcome else { return Ok((authorization.redirect_url.clone(), None)) };
    let url = authorization.action_complete_redirect_url.as_ref().unwrap_or(&authorization.redirect_url);
    if !redirect::is_popup_page(&ctx.instance, url) {
        return Ok((url.clone(), Some(issued)));
    }
    let session = nonces::created_session(db, &authorization.target_id).await?;
    let with_session = session.map(|session| with_query(url, CREATED_SESSION, session.as_str()));
    Ok((with_session.unwrap_or_else(|| url.clone()), Some(issued)))
}
