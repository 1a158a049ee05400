//! A first factor is prepared (a code or link goes out) and attempted (the code comes back).

use super::finish::{self, Finished, PresentedFactor, SignInAttempt};
use crate::actions::client::{self, ClientUpdate};
use crate::actions::factors;
use crate::actions::flow_steps;
use crate::actions::record_outcome;
use crate::actions::start_provider_auth::{self, AuthorizationStart, Request};
use crate::actions::verification::check::{self, Guess, Guesser};
use crate::actions::verification::issue::{self, Recipient, VerificationMethod, VerificationRequest};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits::exact;
use crate::model::client::SignIn;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::linking::{AttemptKind, UserStatus};
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::redirect::RedirectTarget;
use crate::model::sign_in;
use crate::model::strategy::{MailStrategy, RequestedStrategy, Strategy};
use crate::model::verification::{Role, Status};
use crate::store::InstanceConnection;
use crate::store::attempts::{self, CompletedBy};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{clients, sign_ins, verifications};

/// The factor that is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Prepare<'a> {
    /// Its strategy.
    pub strategy: &'a RequestedStrategy<'a>,
    /// The id of the factor's address; the first one's without.
    pub address: Option<&'a str>,
    /// Where a link leads in the end, as sent.
    pub redirect_url: Option<&'a str>,
}

/// Sends a code or link.
///
/// # Errors
/// `resource_not_found`, `resource_forbidden`, `client_state_invalid` for the attempt; those of
/// [`factors::known`] and [`factors::find_factor`]; those of redirect addresses; 429 `verification_code_too_many_requests`.
pub async fn prepare(ctx: &Ctx, token: Option<&LookupHash>, id: &str, asked: Prepare<'_>) -> Result<ClientUpdate> {
    transact(ctx.db(), "sign_in.prepare", |tx| {
        async move {
            let (client, attempt) = current(ctx, tx, token, id).await?;
            send(ctx, tx, &client, &attempt, asked).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, None).await
}

/// Sends the person to a provider whose account is a factor of the identified one. Who comes back is who the provider
/// says; an older verification that was asked for is dead.
///
/// # Errors
/// Those of the attempt and of [`factors::find_factor`] as for [`prepare`]; the code of what is wrong with the request.
pub async fn prepare_social(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &str,
    request: Request<'_>,
) -> Result<ClientUpdate> {
    let ready = start_provider_auth::prepare_for_attempt(ctx, token, request).await?;
    let ready = &ready;
    transact(ctx.db(), "sign_in.prepare_provider", |tx| {
        async move {
            let (client, attempt) = current(ctx, tx, token, id).await?;
            factors::find_factor(attempt.first_factors.as_deref().unwrap_or_default(), &ready.strategy(), None)?;
            start_provider_auth::cancel_authorization(tx, id).await?;
            let start = AuthorizationStart::of_attempt(AttemptKind::SignIn, id, &client);
            start_provider_auth::start_authorization(ctx, tx, &start, ready).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, None).await
}

/// The caller's attempt, locked with its client, while it waits for a first factor.
///
/// # Errors
/// `resource_not_found` for another client's, `resource_forbidden` for a replaced one, `client_state_invalid` for one
/// that is over or waits for something else.
pub async fn current(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    id: &str,
) -> Result<(ClientId, SignIn)> {
    let token = token.ok_or_else(other)?;
    let client = clients::lock_by_token(&mut *db, token).await?.ok_or_else(other)?;
    let attempt = waiting(ctx, db, &client, id).await?;
    Ok((client, attempt))
}

fn other() -> Problem {
    code::RESOURCE_NOT_FOUND.because(Reason::AttemptOtherClient, "read")
}

/// The attempt `id` of `client`, which the caller has locked, while it waits for a first factor.
///
/// # Errors
/// See [`current`].
pub async fn waiting(ctx: &Ctx, db: &mut InstanceConnection<'_>, client: &ClientId, id: &str) -> Result<SignIn> {
    let found = sign_ins::of_client(&mut *db, client, id).await?.ok_or_else(other)?;
    let mut attempt = found.attempt;
    flow_steps::resume(ctx, attempt.flow_id.as_ref(), attempt.user_id.as_ref());
    if found.is_abandoned || attempt.status == sign_in::Status::Complete {
        let detail = if found.is_abandoned { "abandoned" } else { "done" };
        return Err(code::CLIENT_STATE_INVALID.because(Reason::AttemptExpired, detail).into());
    }
    if found.is_replaced {
        flow_steps::log_replacement(ctx, &mut *db, client).await;
        return Err(code::RESOURCE_FORBIDDEN.because(Reason::AttemptReplaced, "").into());
    }
    if attempt.status != sign_in::Status::NeedsFirstFactor {
        return Err(code::CLIENT_STATE_INVALID.into());
    }
    factors::fill(ctx, &mut attempt);
    Ok(attempt)
}

/// Sends what `asked` names to its address.
///
/// # Errors
/// See [`prepare`].
pub(super) async fn send(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    attempt: &SignIn,
    asked: Prepare<'_>,
) -> Result<()> {
    let strategy = factors::known(asked.strategy)?;
    let factor = factors::find_factor(attempt.first_factors.as_deref().unwrap_or_default(), strategy, asked.address)?;
    // A password needs no preparation, a provider an authorization.
    let address = factor.address.as_ref().ok_or(code::VERIFICATION_STRATEGY_INVALID)?;
    let target = match strategy {
        Strategy::EmailLink => Some(target(ctx, asked)?),
        _ => None,
    };
    let method = match &target {
        Some(target) => VerificationMethod::Link(target.as_str()),
        None if *strategy == Strategy::ResetPasswordEmailCode => VerificationMethod::ResetCode,
        None => VerificationMethod::Code,
    };
    let is_known = attempt.user_id.is_some() || attempt.sign_up_if_missing;
    exact::before_sending(ctx, &mut *db, address.value.as_str(), attempt.user_id.as_ref(), client).await?;
    let ask = VerificationRequest {
        owner: attempt.id.as_str(),
        role: Role::FirstFactor,
        client,
        session: None,
        address: &address.value,
        identification: address.identification.as_ref().map(IdentificationId::as_str),
        method,
        recipient: if is_known { Recipient::Owner } else { Recipient::Nobody },
    };
    issue::issue(ctx, db, &ask).await?;
    Ok(())
}

/// Where a link leads.
fn target(ctx: &Ctx, asked: Prepare<'_>) -> Result<RedirectTarget, Problem> {
    let missing = || Problem::new(code::FORM_PARAM_MISSING).param("redirect_url");
    let raw = asked.redirect_url.ok_or_else(missing)?;
    RedirectTarget::parse(&ctx.instance, raw, ctx.from.origin.as_deref(), "redirect_url")
}

/// Checks a code.
///
/// # Errors
/// Those of the attempt as for [`prepare`]; those of a code ([`check::check`]) and `form_code_incorrect`;
/// `user_locked`, `user_banned`; `sign_up_if_missing_transfer` when the address is verified and nobody's.
pub async fn attempt_code(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &str,
    named: &RequestedStrategy<'_>,
    guess: Option<&str>,
) -> Result<ClientUpdate> {
    let issued = transact(ctx.db(), "sign_in.attempt_code", |tx| {
        async move { try_code(ctx, tx, token, id, named, guess).await }.scope_boxed()
    });
    client::read_updated(ctx, token, issued.await?).await
}

async fn try_code(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    id: &str,
    named: &RequestedStrategy<'_>,
    guess: Option<&str>,
) -> Result<Committed<Option<client::Issued>>, Aborted> {
    let (client, attempt) = current(ctx, db, token, id).await?;
    let strategy = factors::known(named)?;
    factors::find_factor(attempt.first_factors.as_deref().unwrap_or_default(), strategy, None)?;
    let guess = guess.ok_or_else(|| Problem::new(code::FORM_PARAM_MISSING).param("code"))?;
    let user = attempt.user_id.as_ref();
    let who = Guesser { owner: id, role: Role::FirstFactor, strategy, client: &client, user };
    match check::check(ctx, db, &who, guess).await? {
        Guess::Wrong(problem) => Ok(Committed::Refused(problem)),
        Guess::Right(asked) => {
            let address = asked.identification.as_deref().and_then(IdentificationId::parse);
            let presented = address.as_ref().map(|address| match strategy {
                Strategy::ResetPasswordEmailCode => PresentedFactor::ResetCode(address),
                _ => PresentedFactor::Address(address, MailStrategy::EmailCode),
            });
            continue_sign_in(ctx, db, &client, &attempt, presented, CompletedBy::Call).await
        }
    }
}

/// Goes on from a verified address: to the session, or to the sign-up of whoever has none.
async fn continue_sign_in(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    attempt: &SignIn,
    presented: Option<PresentedFactor<'_>>,
    by: CompletedBy,
) -> Result<Committed<Option<client::Issued>>, Aborted> {
    let Some(presented) = presented.filter(|_| attempt.user_id.is_some()) else {
        return Ok(Committed::Refused(nobody(db, attempt).await?));
    };
    let target = SignInAttempt { id: attempt.id.as_str(), client, by };
    match finish::apply_first_factor(ctx, db, &target, presented).await? {
        Finished::Complete(issued) => Ok(Committed::Done(Some(issued))),
        Finished::Waits(_) => Ok(Committed::Done(None)),
        Finished::Closed(user_status, user) => Ok(Committed::Refused(closed(ctx, db, user_status, &user).await?)),
    }
}

/// The address is verified, and nobody has it: a sign-up can take its place.
async fn nobody(db: &mut InstanceConnection<'_>, attempt: &SignIn) -> Result<Problem> {
    let asked = verifications::current(&mut *db, attempt.id.as_str(), Role::FirstFactor).await?;
    let asked = asked.ok_or(code::VERIFICATION_MISSING)?;
    attempts::answer_verification(db, &asked.id, Status::Transferable, None).await?;
    Ok(code::SIGN_UP_IF_MISSING_TRANSFER.because(Reason::Transfer, "sign_up"))
}

/// The user may not sign in, which is said only now, after the verification.
///
/// # Errors
/// Storage faults.
pub(super) async fn closed(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user_status: UserStatus,
    user: &UserId,
) -> Result<Problem> {
    let problem = match user_status {
        UserStatus::Locked => code::USER_LOCKED.because(Reason::UserLocked, "operator"),
        UserStatus::Banned | UserStatus::Active => code::USER_BANNED.because(Reason::UserBanned, "banned"),
    };
    record_outcome::sign_in_refused(ctx, db, user, problem.code().name).await?;
    Ok(problem)
}

/// Finishes an attempt whose link was opened and believed. Returns the client's new token, and whether the address is
/// nobody's.
///
/// # Errors
/// Those of [`attempt_code`].
pub(crate) async fn link_opened(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    attempt: &SignIn,
    address: Option<&IdentificationId>,
) -> Result<Committed<Option<client::Issued>>, Aborted> {
    let presented = address.map(|address| PresentedFactor::Address(address, MailStrategy::EmailLink));
    continue_sign_in(ctx, db, client, attempt, presented, CompletedBy::Callback).await
}
