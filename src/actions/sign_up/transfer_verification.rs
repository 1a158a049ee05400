//! A stranger who verified an address while signing in goes on as a sign-up with that address.

use super::change::complete_or_wait;
use crate::actions::attempt;
use crate::actions::client::Issued;
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::model::id::{ClientId, VerificationId};
use crate::model::linking::AttemptKind;
use crate::store::InstanceConnection;
use crate::store::attempts::{self, CompletedBy, SignUpFields};
use crate::store::sign_ups::{self, Change};
use crate::store::transact::Aborted;
use crate::store::transact::Committed;
use crate::store::verifications;

/// The sign-up that a verification was transferred to.
pub struct TransferredSignUp {
    /// Its id.
    pub id: String,
    /// The client's new token, if it is complete; or why it was refused.
    pub went: Committed<Option<Issued>>,
}

/// Transfers the verified address of the client's sign-in to a new sign-up, once; `None` if there is none.
///
/// # Errors
/// Those of a completed sign-up.
pub async fn sign_up_with_address(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    fields: &SignUpFields,
) -> Result<Option<TransferredSignUp>, Aborted> {
    let Some(verified) = verifications::take_address(&mut *db, client).await? else {
        return Ok(None);
    };
    flow_steps::resume(ctx, verified.flow_id.as_ref(), None);
    attempt::refuse_second_session(ctx, &mut *db, client).await?;
    attempts::replace_all(&mut *db, client).await?;
    let id = attempt::create(ctx, &mut *db, client, AttemptKind::SignUp, fields).await?;
    let change = Change { email: Some(&verified.address), ..Change::default() };
    sign_ups::change(&mut *db, &id, &change).await?;
    let verification = VerificationId::new(ctx.now, ctx.rng());
    verifications::transfer(&mut *db, &verification, &id, client, &verified).await?;
    let went = complete_or_wait(ctx, db, client, &id, CompletedBy::Call).await?;
    Ok(Some(TransferredSignUp { id, went }))
}
