//! What an act leaves behind besides its result: an audit event and an event in the outbox, in the same transaction.

use serde_json::json;
use sqlx::PgConnection;

use crate::context::Ctx;
use crate::model::id::{OutboxId, SessionId, UserId};
use crate::model::problem::Result;
use crate::store::audit::{self, Actor, AuditEvent, Outcome};
use crate::store::outbox;

/// A user came into being and is signed in.
///
/// # Errors
/// Storage faults.
pub async fn signed_up(ctx: &Ctx, db: &mut PgConnection, user: &UserId, session: &SessionId) -> Result<()> {
    event(ctx, db, "user.created", user.as_str()).await?;
    append(ctx, db, "user.created", user, ("user", user.as_str())).await?;
    signed_in(ctx, db, user, session).await
}

/// A session began.
///
/// # Errors
/// Storage faults.
pub async fn signed_in(ctx: &Ctx, db: &mut PgConnection, user: &UserId, session: &SessionId) -> Result<()> {
    event(ctx, db, "session.created", session.as_str()).await?;
    append(ctx, db, "session.created", user, ("session", session.as_str())).await
}

/// A session ended; `status` as stored (`ended`, `removed`).
///
/// # Errors
/// Storage faults.
pub async fn signed_out(
    ctx: &Ctx,
    db: &mut PgConnection,
    user: &UserId,
    session: &SessionId,
    status: &'static str,
) -> Result<()> {
    let name = format!("session.{status}");
    event(ctx, db, &name, session.as_str()).await?;
    append(ctx, db, &name, user, ("session", session.as_str())).await
}

/// A user could not sign in; `code` is what the app sees. What names no user stands in the log alone.
///
/// # Errors
/// Storage faults.
pub async fn sign_in_refused(ctx: &Ctx, db: &mut PgConnection, user: &UserId, code: &str) -> Result<()> {
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "sign_in.refused", Actor::System, now);
    entry.outcome = Outcome::Failure;
    entry.reason = Some(code);
    entry.user = Some(user);
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

async fn append(ctx: &Ctx, db: &mut PgConnection, action: &str, user: &UserId, target: (&str, &str)) -> Result<()> {
    let actor = Actor::User(user.clone());
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), action, actor, ctx.app.clock.now());
    entry.user = Some(user);
    entry.target = Some(target);
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

async fn event(ctx: &Ctx, db: &mut PgConnection, name: &str, object: &str) -> Result<()> {
    let id = OutboxId::new(ctx.app.clock.now(), ctx.rng());
    let payload = json!({ "type": name, "id": object });
    Ok(outbox::put(db, ctx.instance_id(), &id, outbox::Kind::Event, &payload).await?)
}
