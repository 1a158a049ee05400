//! Account transfer: a verification that belongs in the other kind of attempt is transferred there, once.

use super::apply_decision::{self, AttemptOutcome, CurrentAttempt};
use crate::actions::attempt;
use crate::actions::client::{self, ClientUpdate, Issued};
use crate::actions::identity::ProviderIdentity;
use crate::actions::sign_up::transfer_verification;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::id::{ClientId, VerificationId};
use crate::model::linking::AttemptKind;
use crate::model::problem::{Error, Result, code};
use crate::model::reason::Reason;
use crate::model::verification::Role;
use crate::store::InstanceConnection;
use crate::store::attempts::{self, CompletedBy, NewProviderVerification, SignUpFields};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{clients, provider_authorizations, sign_ups};

/// The finished (or unfinished) attempt of a transfer, and the client after it.
pub struct Transferred {
    /// The attempt's id.
    pub attempt: String,
    /// The client as it is now.
    pub updated: ClientUpdate,
}

/// `transfer=true` on a new attempt of kind `to`: needs a transferable verification of the other kind on the same
/// client.
///
/// # Errors
/// `account_transfer_invalid`: nothing to transfer, too late, used, or another client's.
pub async fn transfer(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    to: AttemptKind,
    fields: &SignUpFields,
) -> Result<Transferred> {
    let transferred = transact(ctx.db(), "transfer", |tx| {
        async move { attempt_transfer(ctx, tx, token, to, fields).await }.scope_boxed()
    })
    .await?;
    let (attempt, issued) = transferred;
    Ok(Transferred { attempt, updated: client::read_updated(ctx, token, issued).await? })
}

async fn attempt_transfer(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    to: AttemptKind,
    fields: &SignUpFields,
) -> Result<Committed<(String, Option<Issued>)>, Aborted> {
    let invalid = || Error::from(code::ACCOUNT_TRANSFER_INVALID.because(Reason::AttemptOtherClient, "transfer"));
    let client = match token {
        Some(token) => clients::lock_by_token(db, token).await?.ok_or_else(invalid)?,
        None => return Err(invalid().into()),
    };
    if to == AttemptKind::SignUp
        && let Some(carried) = transfer_verification::sign_up_with_address(ctx, db, &client, fields).await?
    {
        let id = carried.id;
        return match carried.went {
            Committed::Done(issued) => Ok(Committed::Done((id, issued))),
            // The verified address stays with the sign-in, to be transferred once more.
            Committed::Refused(problem) => Err(problem.into()),
        };
    }
    let source = to.other();
    // Asked before the sign-up goes: it may have had the address verified, and then a sign-in need not ask again.
    let verified = sign_ups::verified_address(db, &client).await?;
    let taken = attempts::take_transfer(db, &client, source).await?;
    let Some(authorization) = taken else {
        if !attempts::had_transfer(db, &client, source).await? {
            return Err(invalid().into());
        }
        return Err(Error::from(code::ACCOUNT_TRANSFER_INVALID.because(Reason::AttemptExpired, "transfer")).into());
    };
    let authorization = provider_authorizations::get(db, &authorization).await?;
    if let Some(flow) = &authorization.flow_id {
        ctx.flow_log.resume(flow);
    }
    let mut identity = ProviderIdentity::reopen(ctx, &authorization)?;
    identity.address_verified_by = verified.filter(|(address, _)| identity.names(address)).map(|(_, by)| by);
    attempt::refuse_second_session(ctx, db, &client).await?;
    let id = begin(ctx, db, &client, to, fields).await?;
    let target = CurrentAttempt {
        kind: to,
        id: &id,
        verification: &VerificationId::new(ctx.now, ctx.rng()),
        client: &client,
        authorization: &authorization.id,
        by: CompletedBy::Call,
    };
    let outcome = apply(ctx, db, &target, &identity).await?;
    if !outcome.keeps_identity() {
        provider_authorizations::forget_tokens(db, &authorization.id).await?;
    }
    let issued = match outcome {
        AttemptOutcome::Complete(issued) => Some(issued),
        AttemptOutcome::Waits | AttemptOutcome::GoesOn | AttemptOutcome::Transferable | AttemptOutcome::Failed => None,
    };
    Ok(Committed::Done((id, issued)))
}

/// A new attempt of kind `to` in place of the client's present ones: its id.
///
/// # Errors
/// Storage faults.
pub async fn begin(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    to: AttemptKind,
    fields: &SignUpFields,
) -> Result<String> {
    attempts::replace_all(db, client).await?;
    attempt::create(ctx, db, client, to, fields).await
}

/// Puts the verification of an authorization into the new attempt `target`, under the id that this names, and applies
/// it: decided again by what is known now, because somebody may have signed up meanwhile.
///
/// # Errors
/// [`Aborted::Conflict`] after a lost race.
pub async fn apply(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    target: &CurrentAttempt<'_>,
    identity: &ProviderIdentity,
) -> Result<AttemptOutcome, Aborted> {
    let new = NewProviderVerification {
        id: target.verification,
        owner: target.id,
        role: Role::of_provider(target.kind),
        client: target.client,
        strategy: &identity.strategy(),
        external_url_sealed: None,
    };
    attempts::create_verification(db, &new).await?;
    let (authorization, attempt, verification) = (target.authorization, target.id, target.verification);
    provider_authorizations::transfer(db, authorization, attempt, verification).await?;
    apply_decision::apply_decision(ctx, db, target, identity).await
}
