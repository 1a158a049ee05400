//! What an act leaves behind besides its result: an audit event and an event in the outbox, in the same transaction.

use serde_json::json;

use crate::context::Ctx;
use crate::model::id::{
    AuditEventId, ClientId, ExternalAccountId, FlowId, IdentificationId, OutboxId, SessionId, UserId,
};
use crate::model::problem::Result;
use crate::model::provider_token::{Refusal, TokenState};
use crate::model::reason::{Failure, Reason};
use crate::model::time::millis;
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent, Outcome};
use crate::store::outbox;
use crate::store::password_sign_ins::SessionRecord;
use crate::store::sessions::Ending;

/// A user came into being and is signed in.
///
/// # Errors
/// Storage faults.
pub async fn signed_up(ctx: &Ctx, db: &mut InstanceConnection<'_>, user: &UserId, session: &SessionId) -> Result<()> {
    event(ctx, db, "user.created", user.as_str()).await?;
    append(ctx, db, "user.created", user, ("user", user.as_str())).await?;
    signed_in(ctx, db, user, session).await
}

/// A session began.
///
/// # Errors
/// Storage faults.
pub async fn signed_in(ctx: &Ctx, db: &mut InstanceConnection<'_>, user: &UserId, session: &SessionId) -> Result<()> {
    event(ctx, db, "session.created", session.as_str()).await?;
    append(ctx, db, "session.created", user, ("session", session.as_str())).await
}

/// What [`signed_in`] leaves behind, for the statement that begins the session.
pub fn of_session(ctx: &Ctx, session: &SessionId) -> SessionRecord {
    let at = ctx.app.clock.now();
    SessionRecord {
        event: OutboxId::new(at, ctx.rng()),
        payload: json!({ "type": "session.created", "id": session.as_str() }),
        entry: AuditEventId::new(at, ctx.rng()),
        unlocked: AuditEventId::new(at, ctx.rng()),
        flow: ctx.flow_log.flow(),
        at,
    }
}

/// A session ended.
///
/// # Errors
/// Storage faults.
pub async fn signed_out(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    session: &SessionId,
    ending: Ending,
) -> Result<()> {
    let name = match ending {
        Ending::Ended => "session.ended",
        Ending::Removed => "session.removed",
        Ending::Revoked => "session.revoked",
    };
    event(ctx, db, name, session.as_str()).await?;
    append(ctx, db, name, user, ("session", session.as_str())).await
}

/// A user could not sign in; `code` is what the app sees. What names no user stands in the log alone.
///
/// # Errors
/// Storage faults.
pub async fn sign_in_refused(ctx: &Ctx, db: &mut InstanceConnection<'_>, user: &UserId, code: &str) -> Result<()> {
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "sign_in.refused", Actor::System, now);
    entry.outcome = Outcome::Failure;
    entry.reason = Some(code);
    entry.user = Some(user);
    entry.from = Some(&ctx.from);
    let flow = ctx.flow_log.flow();
    entry.flow = flow.as_ref().map(FlowId::as_str);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// A sign-up was refused, and left nothing but this.
///
/// # Errors
/// Storage faults.
pub async fn sign_up_refused(ctx: &Ctx, db: &mut InstanceConnection<'_>, failure: &Failure) -> Result<()> {
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "sign_up.refused", Actor::System, ctx.app.clock.now());
    entry.outcome = Outcome::Failure;
    entry.reason = Some(failure.reason.name());
    entry.changes = json!({ "detail": failure.detail });
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// An account at a provider became a user's.
///
/// # Errors
/// Storage faults.
pub async fn account_linked(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    account: &ExternalAccountId,
) -> Result<()> {
    append(ctx, db, "external_account.linked", user, ("external_account", account.as_str())).await
}

/// An account at a provider did not become a user's.
///
/// # Errors
/// Storage faults.
pub async fn account_refused(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    failure: &Failure,
) -> Result<()> {
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "external_account.refused", Actor::System, now);
    entry.outcome = Outcome::Failure;
    entry.reason = Some(failure.reason.name());
    entry.changes = json!({ "detail": failure.detail });
    entry.user = Some(user);
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// A user verified an address.
///
/// # Errors
/// Storage faults.
pub async fn address_verified(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    address: &IdentificationId,
) -> Result<()> {
    append(ctx, db, "email_address.verified", user, ("email_address", address.as_str())).await
}

/// A user lost an address that was only claimed: somebody else verified it.
///
/// # Errors
/// Storage faults.
pub async fn address_lost(ctx: &Ctx, db: &mut InstanceConnection<'_>, user: &UserId) -> Result<()> {
    event(ctx, db, "user.updated", user.as_str()).await?;
    append(ctx, db, "email_address.lost", user, ("user", user.as_str())).await
}

/// Somebody verified an address that an account only claimed, and has that account now.
///
/// # Errors
/// Storage faults.
pub async fn address_reassigned(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    address: &IdentificationId,
) -> Result<()> {
    append(ctx, db, "user.taken_over", user, ("email_address", address.as_str())).await
}

/// What happened to an account at a provider. Its user did it, where nobody else is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// It is the user's now.
    Connected,
    /// It was approved once more.
    Updated,
    /// It is gone: who removed it.
    Disconnected(Actor),
    /// Its tokens are gone.
    TokensForgotten,
}

impl AccountChange {
    fn name(&self) -> &'static str {
        match self {
            Self::Connected => "external_account.connected",
            Self::Updated => "external_account.updated",
            Self::Disconnected(_) => "external_account.disconnected",
            Self::TokensForgotten => "external_account.tokens_forgotten",
        }
    }
}

/// An account of a user at a provider changed.
///
/// # Errors
/// Storage faults.
pub async fn account_changed(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    account: &ExternalAccountId,
    change: AccountChange,
) -> Result<()> {
    event(ctx, db, "user.updated", user.as_str()).await?;
    match change {
        // Who approves an account once more gives it a good token.
        AccountChange::Updated => token_event(ctx, db, account, TokenState::Good, None).await?,
        _ => event(ctx, db, &format!("vestibule.{}", change.name()), account.as_str()).await?,
    }
    let name = change.name();
    let actor = match change {
        AccountChange::Disconnected(actor) => actor,
        AccountChange::Connected | AccountChange::Updated | AccountChange::TokensForgotten => Actor::User(user.clone()),
    };
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), name, actor, ctx.app.clock.now());
    entry.user = Some(user);
    entry.target = Some(("external_account", account.as_str()));
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// The event of an account that was approved once more, or whose token changed its state: both are reported in one
/// form.
///
/// # Errors
/// Storage faults.
pub async fn token_event(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    state: TokenState,
    refusal: Option<&Refusal>,
) -> Result<()> {
    let name = match state {
        TokenState::NeedsReconnect => "vestibule.external_account.needs_reconnect",
        TokenState::Good | TokenState::Refused => "vestibule.external_account.updated",
    };
    let payload = json!({
        "type": name, "id": account, "token_state": state.as_str(), "reason": refusal.map(Refusal::to_string),
        "since": millis(ctx.moment()),
    });
    let id = OutboxId::new(ctx.app.clock.now(), ctx.rng());
    Ok(outbox::put(db, &id, outbox::Kind::Event, &payload).await?)
}

/// An account could not be connected.
///
/// # Errors
/// Storage faults.
pub async fn connection_refused(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    account: &str,
    failure: &Failure,
) -> Result<()> {
    let actor = Actor::User(user.clone());
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "external_account.refused", actor, now);
    entry.outcome = Outcome::Failure;
    entry.reason = Some(failure.reason.name());
    entry.user = Some(user);
    entry.target = Some(("external_account", account));
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

/// Somebody presented a nonce that is not theirs, or not good any more.
///
/// # Errors
/// Storage faults.
pub async fn nonce_refused(ctx: &Ctx, db: &mut InstanceConnection<'_>, client: &ClientId) -> Result<()> {
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "rotating_token_nonce.refused", Actor::System, now);
    entry.outcome = Outcome::Failure;
    entry.reason = Some(Reason::AttemptOtherClient.name());
    entry.changes = json!({ "detail": "nonce" });
    entry.target = Some(("client", client.as_str()));
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

async fn append(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    action: &str,
    user: &UserId,
    target: (&str, &str),
) -> Result<()> {
    let actor = Actor::User(user.clone());
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), action, actor, ctx.app.clock.now());
    entry.user = Some(user);
    entry.target = Some(target);
    entry.from = Some(&ctx.from);
    let flow = ctx.flow_log.flow();
    entry.flow = flow.as_ref().map(FlowId::as_str);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

async fn event(ctx: &Ctx, db: &mut InstanceConnection<'_>, name: &str, object: &str) -> Result<()> {
    let id = OutboxId::new(ctx.app.clock.now(), ctx.rng());
    let payload = json!({ "type": name, "id": object });
    Ok(outbox::put(db, &id, outbox::Kind::Event, &payload).await?)
}
