//! Account transfer: a proof that belongs in the other kind of attempt is carried over there, once.

use super::settle::{self, Attempt, Settled};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flows::attempt;
use crate::flows::client::{self, Acted, Issued};
use crate::flows::departure;
use crate::flows::identity::Proof;
use crate::flows::race::{Interrupted, TRIES};
use crate::flows::sign_up::carry;
use crate::model::id::{ClientId, SocialFlowId, VerificationId};
use crate::model::linking::Started;
use crate::model::problem::{Error, Result, code};
use crate::model::provider_config::strategy;
use crate::model::reason::Reason;
use crate::store::attempts::{self, CompletedBy, NewVerification, SignUpFields, TransferSource};
use crate::store::pool::PgConnection;
use crate::store::{clients, sign_ups, social_flows};

/// The finished (or unfinished) attempt of a transfer, and the client after it.
pub struct Transferred {
    /// The attempt's id.
    pub attempt: String,
    /// The client as it is now.
    pub acted: Acted,
}

/// `transfer=true` on a new attempt of kind `to`: needs a transferable proof of the other kind on the same client.
///
/// # Errors
/// `account_transfer_invalid`: nothing to transfer, too late, used, or another client's.
pub async fn transfer(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    to: Started,
    fields: &SignUpFields,
) -> Result<Transferred> {
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        match attempt_transfer(ctx, &mut tx, token, to, fields).await {
            Ok((attempt, issued)) => {
                tx.commit().await?;
                return Ok(Transferred { attempt, acted: client::acted(ctx, token, issued).await? });
            }
            Err(Interrupted::Lost) => tx.rollback().await?,
            Err(Interrupted::Error(error)) => return Err(error),
        }
    }
    Err(code::RESOURCE_LOCKED.into())
}

async fn attempt_transfer(
    ctx: &Ctx,
    db: &mut PgConnection,
    token: Option<&LookupHash>,
    to: Started,
    fields: &SignUpFields,
) -> Result<(String, Option<Issued>), Interrupted> {
    let invalid = || Error::from(code::ACCOUNT_TRANSFER_INVALID.because(Reason::AttemptOtherClient, "transfer"));
    let instance = ctx.instance_id();
    let client = match token {
        Some(token) => clients::lock_by_token(db, instance, token).await?.ok_or_else(invalid)?,
        None => return Err(invalid().into()),
    };
    if to == Started::SignUp
        && let Some(carried) = carry::take_over(ctx, db, &client, fields).await?
    {
        return Ok((carried.id, carried.went?));
    }
    let source = match to {
        Started::SignIn => TransferSource::SignUp,
        Started::SignUp => TransferSource::SignIn,
    };
    // Asked before the sign-up goes: it may have had the address proven, and then a sign-in need not ask again.
    let proven = sign_ups::proven_address(db, instance, &client).await?;
    let taken = attempts::take_transfer(db, instance, &client, source, ctx.offset()).await?;
    let Some(flow) = taken else {
        if !attempts::had_transfer(db, instance, &client, source).await? {
            return Err(invalid().into());
        }
        return Err(Error::from(code::ACCOUNT_TRANSFER_INVALID.because(Reason::AttemptExpired, "transfer")).into());
    };
    let flow = social_flows::get(db, instance, &flow).await?;
    if let Some(flow) = &flow.flow_id {
        ctx.trail.resume(flow);
    }
    let mut proof = Proof::reopen(ctx, &flow)?;
    let named = proof.address();
    let is_named = |address: &str| named.as_ref().is_some_and(|named| named.as_str() == address);
    proof.address_proven_by = proven.filter(|(address, _)| is_named(address)).map(|(_, strategy)| strategy);
    attempt::refuse_second_session(ctx, db, &client).await?;
    let carried = carry_over(ctx, db, &client, (&flow.id, &proof), to, fields, CompletedBy::Call).await?;
    if !carried.settled.keeps_proof() {
        social_flows::forget_tokens(db, instance, &flow.id).await?;
    }
    let issued = match carried.settled {
        Settled::Complete(issued) => Some(issued),
        Settled::Waits | Settled::GoesOn | Settled::Transferable | Settled::Failed => None,
    };
    Ok((carried.attempt, issued))
}

/// A proof in its new attempt.
pub struct Carried {
    /// The new attempt's id.
    pub attempt: String,
    /// What became of it.
    pub settled: Settled,
}

/// Puts the proof of a trip into a new attempt of kind `to`, in place of the client's present ones, and settles it:
/// decided again by what is known now, because somebody may have signed up meanwhile.
///
/// # Errors
/// [`Interrupted::Lost`] after a lost race.
pub async fn carry_over(
    ctx: &Ctx,
    db: &mut PgConnection,
    client: &ClientId,
    (trip, proof): (&SocialFlowId, &Proof),
    to: Started,
    fields: &SignUpFields,
    by: CompletedBy,
) -> Result<Carried, Interrupted> {
    attempts::replace_all(db, ctx.instance_id(), client, ctx.offset()).await?;
    let attempt = attempt::create(ctx, db, client, to, fields).await?;
    let verification = VerificationId::new(ctx.now, ctx.rng());
    let new = NewVerification {
        id: &verification,
        owner: &attempt,
        role: departure::role(to),
        client,
        strategy: &strategy(&proof.provider),
        external_url_sealed: None,
    };
    attempts::create_verification(db, ctx.instance_id(), &new, ctx.offset()).await?;
    social_flows::carry(db, ctx.instance_id(), trip, &attempt, &verification).await?;
    let target = Attempt { started: to, id: &attempt, verification: &verification, client, authorization: trip, by };
    let settled = settle::settle(ctx, db, &target, proof).await?;
    Ok(Carried { attempt, settled })
}
