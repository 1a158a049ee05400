//! The address of a sign-up is verified: a code or link goes out, and comes back.

use super::change::{complete_or_wait, current};
use crate::actions::client::{self, ClientUpdate, Issued};
use crate::actions::factors;
use crate::actions::verification::check::{self, Guess, Guesser};
use crate::actions::verification::issue::{self, Recipient, VerificationMethod, VerificationRequest};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits::exact;
use crate::model::client::SignUp;
use crate::model::email::EmailAddress;
use crate::model::id::ClientId;
use crate::model::problem::{Problem, Result, code};
use crate::model::redirect::RedirectTarget;
use crate::model::strategy::{MailStrategy, RequestedStrategy, Strategy};
use crate::model::verification::{Role, Status};
use crate::store::InstanceConnection;
use crate::store::attempts::CompletedBy;
use crate::store::sign_ins;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// Sends a code or link to the sign-up's address.
///
/// # Errors
/// Those of the attempt; `form_param_value_invalid` for a strategy that verifies no address here, `form_param_missing`
/// without an address, `verification_already_verified`; those of redirect addresses; 429
/// `verification_code_too_many_requests`.
pub async fn prepare(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    id: &str,
    named: &RequestedStrategy<'_>,
    redirect_url: Option<&str>,
) -> Result<ClientUpdate> {
    transact(ctx.db(), "sign_up.prepare", |tx| {
        async move {
            let (client, attempt) = current(ctx, tx, token, id).await?;
            send(ctx, tx, &client, &attempt, named, redirect_url).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, None).await
}

async fn send(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    attempt: &SignUp,
    named: &RequestedStrategy<'_>,
    redirect_url: Option<&str>,
) -> Result<()> {
    let offered = factors::supported_factors(ctx).verification_strategies();
    let strategy = offered.into_iter().find(|offered| named.known() == Some(&Strategy::from(*offered)));
    let strategy = strategy.ok_or_else(|| Problem::new(code::FORM_PARAM_VALUE_INVALID).param("strategy"))?;
    let missing = |param| Problem::new(code::FORM_PARAM_MISSING).param(param);
    let address = attempt.email_address.as_deref().and_then(EmailAddress::parse).ok_or(missing("email_address"))?;
    if is_verified(attempt) {
        return Err(code::VERIFICATION_ALREADY_VERIFIED.into());
    }
    let target = match strategy {
        MailStrategy::EmailLink => {
            let raw = redirect_url.ok_or(missing("redirect_url"))?;
            Some(RedirectTarget::parse(&ctx.instance, raw, ctx.from.origin.as_deref(), "redirect_url")?)
        }
        MailStrategy::EmailCode => None,
    };
    exact::before_sending(ctx, &mut *db, address.as_str(), None, client).await?;
    let ask = VerificationRequest {
        owner: attempt.id.as_str(),
        role: Role::EmailAddress,
        client,
        session: None,
        address: &address,
        identification: None,
        method: target.as_ref().map_or(VerificationMethod::Code, |target| VerificationMethod::Link(target.as_str())),
        recipient: Recipient::Owner,
    };
    issue::issue(ctx, db, &ask).await?;
    Ok(())
}

fn is_verified(attempt: &SignUp) -> bool {
    let verification =
        attempt.email_verification.as_ref().filter(|verification| verification.status == Status::Verified);
    verification.is_some_and(|verification| verification.address == attempt.email_address)
}

/// Checks a code; if nothing is missing any more the user is made.
///
/// # Errors
/// Those of the attempt; those of a code ([`check::check`]) and `form_code_incorrect`; those of restrictions;
/// `identification_claimed` when somebody else verified the address first.
pub async fn attempt_code(ctx: &Ctx, token: Option<&LookupHash>, id: &str, guess: &str) -> Result<ClientUpdate> {
    let issued = transact(ctx.db(), "sign_up.attempt_code", |tx| {
        async move { try_code(ctx, tx, token, id, guess).await }.scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, issued).await
}

async fn try_code(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    id: &str,
    guess: &str,
) -> Result<Committed<Option<Issued>>, Aborted> {
    let (client, attempt) = current(ctx, db, token, id).await?;
    // A verified address may lead into its owner's account: guesses count there, as those of a sign-in do.
    let address = attempt.email_address.as_deref().unwrap_or_default();
    let owner = sign_ins::owner_of_address(&mut *db, address, false).await?;
    let user = owner.as_ref().map(|(user, _)| user);
    let who = Guesser { owner: id, role: Role::EmailAddress, strategy: &Strategy::EmailCode, client: &client, user };
    match check::check(ctx, db, &who, guess).await? {
        Guess::Wrong(problem) => Ok(Committed::Refused(problem)),
        Guess::Right(_) => complete_or_wait(ctx, db, &client, id, CompletedBy::Call).await,
    }
}

/// Goes on from a link that was opened and believed. The attempt stays on the client: the first tab reads it there.
///
/// # Errors
/// Those of [`attempt_code`].
pub(crate) async fn link_opened(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    id: &str,
) -> Result<Committed<Option<Issued>>, Aborted> {
    complete_or_wait(ctx, db, client, id, CompletedBy::Callback).await
}
