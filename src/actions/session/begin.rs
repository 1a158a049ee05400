//! A session begins: for a user who has verified all that is asked, and in no other way.

use crate::actions::client::{self, Issued};
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::model::id::{ClientId, SessionActivityId, SessionId, UserId};
use crate::model::strategy::Strategy;
use crate::store::InstanceConnection;
use crate::store::clients;
use crate::store::sessions::{self, NewSession};
use crate::store::transact::Aborted;

/// Whose session, where, and by what verification.
pub struct Begin<'a> {
    /// The browser.
    pub client: &'a ClientId,
    /// The user.
    pub user: &'a UserId,
    /// By what the person verified who they are.
    pub strategy: &'a Strategy,
}

/// Begins a session and replaces the client's token, so that a planted one is dead. `None` if
/// the user may not sign in any more.
///
/// # Errors
/// [`Aborted::Conflict`] when another request of the same client replaced its token first.
pub async fn begin(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    begin: &Begin<'_>,
) -> Result<Option<(SessionId, Issued)>, Aborted> {
    let (session, activity) = (new_id(ctx), SessionActivityId::new(ctx.now, ctx.rng()));
    let new = new_session(ctx, &session, &activity, begin);
    // The old token is replaced before the session begins: within its grace it must not see the new session.
    let issued = client::new_token(ctx);
    clients::rotate_token(db, begin.client, &issued.hash, ctx.app.ring.first_id()).await?;
    if !sessions::begin(db, &new).await? {
        return Ok(None);
    }
    let strategy = Some(begin.strategy);
    clients::touch_sign_in_state(db, begin.client, Some(&session), strategy).await?;
    log_session(ctx, begin.user, &session);
    Ok(Some((session, issued)))
}

/// The id of a session that is about to begin.
pub fn new_id(ctx: &Ctx) -> SessionId {
    ctx.promised_session.clone().unwrap_or_else(|| SessionId::new(ctx.now, ctx.rng()))
}

/// A session about to begin.
pub fn new_session<'a>(
    ctx: &'a Ctx,
    id: &'a SessionId,
    activity: &'a SessionActivityId,
    begin: &Begin<'a>,
) -> NewSession<'a> {
    let Begin { client, user, strategy } = *begin;
    let lifetime = f64::from(ctx.instance.settings.session.maximum_lifetime);
    NewSession { id, client, user, strategy, amr: amr(strategy), lifetime, activity, from: &ctx.from }
}

/// Notes that a session began, which is the end of its flow.
pub fn log_session(ctx: &Ctx, user: &UserId, session: &SessionId) {
    flow_steps::log_session(ctx, user.as_str(), session.as_str());
    ctx.flow_log.succeed();
}

/// How a strategy counts as a method of authentication (RFC 8176).
fn amr(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Password => "pwd",
        Strategy::OAuth(_) => "fed",
        Strategy::EmailCode | Strategy::EmailLink | Strategy::ResetPasswordEmailCode | Strategy::Unchosen => "otp",
    }
}
