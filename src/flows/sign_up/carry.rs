//! A stranger who proved an address while signing in goes on as a sign-up with that address.

use super::change::settle;
use crate::context::Ctx;
use crate::flows::attempt;
use crate::flows::client::Issued;
use crate::flows::race::Interrupted;
use crate::flows::timeline;
use crate::model::id::{ClientId, VerificationId};
use crate::model::linking::Started;
use crate::model::problem::Problem;
use crate::store::attempts::{self, CompletedBy, SignUpFields};
use crate::store::pool::PgConnection;
use crate::store::sign_ups::{self, Change};
use crate::store::verifications;

/// The sign-up that a proof was carried over to.
pub struct Carried {
    /// Its id.
    pub id: String,
    /// The client's new token, if it is complete; or why it was refused.
    pub went: Result<Option<Issued>, Problem>,
}

/// Takes the proven address of the client's sign-in over to a new sign-up, once; `None` if there is none.
///
/// # Errors
/// Those of a completed sign-up.
pub async fn take_over(
    ctx: &Ctx,
    db: &mut PgConnection,
    client: &ClientId,
    fields: &SignUpFields,
) -> Result<Option<Carried>, Interrupted> {
    let (instance, offset) = (ctx.instance_id(), ctx.offset());
    let Some(proven) = verifications::take_address(&mut *db, instance, client, offset).await? else { return Ok(None) };
    timeline::resumed(ctx, proven.flow_id.as_ref(), None);
    attempt::refuse_second_session(ctx, &mut *db, client).await?;
    attempts::replace_all(&mut *db, instance, client, ctx.offset()).await?;
    let id = attempt::create(ctx, &mut *db, client, Started::SignUp, fields).await?;
    let change = Change { email: Some(&proven.address), ..Change::default() };
    sign_ups::change(&mut *db, instance, &id, &change, ctx.offset()).await?;
    let verification = VerificationId::new(ctx.now, ctx.rng());
    verifications::carry(&mut *db, instance, &verification, &id, client, &proven, ctx.offset()).await?;
    let went = settle(ctx, db, client, &id, CompletedBy::Call).await?;
    Ok(Some(Carried { id, went }))
}
