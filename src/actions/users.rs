//! What is done to a user as a whole: shut out, let in, given a new password.

use serde_json::json;

use crate::actions::record_outcome;
use crate::context::Ctx;
use crate::model::id::{ClientId, OutboxId, UserId};
use crate::model::problem::{Result, code};
use crate::model::reason::Reason;
use crate::model::user::User;
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::sessions::Ending;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{bans, lockouts, outbox, sign_ins, user_passwords, users};

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Never, and present sessions and grants end.
    Ban,
    /// Again after a ban.
    Unban,
    /// Not for as long as accounts lock here; present sessions go on.
    Lock,
    /// Again after a lock, and failures are forgotten.
    Unlock,
}

impl Change {
    fn action(self) -> &'static str {
        match self {
            Self::Ban => "user.banned",
            Self::Unban => "user.unbanned",
            Self::Lock => "user.locked",
            Self::Unlock => "user.unlocked",
        }
    }
}

/// Changes whether a user may sign in, in `actor`'s name. Doing it twice changes nothing more.
///
/// # Errors
/// `resource_not_found`.
pub async fn change(ctx: &Ctx, actor: Actor, user: &str, change: Change) -> Result<User> {
    let user = UserId::parse(user).ok_or(code::RESOURCE_NOT_FOUND)?;
    let (user, actor) = (&user, &actor);
    transact(ctx.db(), "user.change_access", |tx| {
        async move {
            let is_there = match change {
                Change::Ban => match bans::ban(tx, user).await? {
                    None => false,
                    Some(ended) => {
                        for session in &ended {
                            record_outcome::signed_out(ctx, tx, user, session, Ending::Revoked).await?;
                        }
                        true
                    }
                },
                Change::Unban => bans::unban(tx, user).await?,
                Change::Lock => {
                    let duration = ctx.instance.settings.lockout.duration();
                    lockouts::lock(tx, user, duration).await?
                }
                Change::Unlock => lockouts::unlock(tx, user).await?,
            };
            if !is_there {
                return Err(code::RESOURCE_NOT_FOUND.into());
            }
            record_change(ctx, tx, actor.clone(), change.action(), user).await?;
            let changed = users::get(&mut *tx, user).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
            Ok(Committed::Done(changed))
        }
        .scope_boxed()
    })
    .await
}

/// Gives a user a new password that they chose after verifying who they are, in the sign-in `attempt`: present sessions
/// and grants end, and so do their other sign-ins, whatever was verified in them. The caller has locked `client`, where
/// it was chosen.
///
/// # Errors
/// `verification_missing` where another password was chosen since the verification; storage faults.
pub async fn reset_password(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    (client, attempt): (&ClientId, &str),
    digest: &str,
) -> Result<()> {
    users::lock(&mut *db, user, client).await?;
    if user_passwords::is_newer_than(&mut *db, user, attempt).await? {
        return Err(code::VERIFICATION_MISSING.because(Reason::ProofDead, "none").into());
    }
    user_passwords::set(&mut *db, user, digest).await?;
    sign_ins::replace_others(&mut *db, user, attempt).await?;
    // Strangers who locked the account do not keep its user from a new password in a browser of their own.
    for session in &bans::end_access(&mut *db, user, "password_reset", Some(client)).await? {
        record_outcome::signed_out(ctx, &mut *db, user, session, Ending::Revoked).await?;
    }
    record_change(ctx, db, Actor::User(user.clone()), "password.reset", user).await
}

async fn record_change(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    actor: Actor,
    action: &str,
    user: &UserId,
) -> Result<()> {
    let now = ctx.app.clock.now();
    let payload = json!({ "type": "user.updated", "id": user });
    outbox::put(db, &OutboxId::new(now, ctx.rng()), outbox::Kind::Event, &payload).await?;
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), action, actor, now);
    entry.user = Some(user);
    entry.target = Some(("user", user.as_str()));
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}
