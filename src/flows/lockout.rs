//! Every try of a proof is counted before it is believed: against the account it would open, and against the address of
//! the network it comes from (security.md section 11).

use sqlx::PgConnection;

use super::exact_limits::{self, Exact, Spent};
use crate::context::Ctx;
use crate::limits::address_key;
use crate::model::id::{ClientId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::lockouts::{self, Budget, Reserved};

/// From so many tries left on a failure says how many.
const WARNS_FROM: i16 = 2;

/// A try that was counted and may be verified now.
#[derive(Clone, Debug)]
pub struct Try {
    account: Option<(UserId, ClientId, Budget)>,
    /// Failures left after this one; `None` without an account.
    left: Option<i16>,
    from_address: Option<Spent>,
}

/// Counts a try of a proof of `user` on `client`, before it is verified; `user` is `None` while nobody is named yet (a
/// sign-up, an unknown identifier), and then only the address counts. It stands once the caller's transaction does:
/// commit it before the verdict, or with it. Whoever sees the verdict has paid for it. Locks the user's row, so what
/// locks the client comes before, everything else after.
///
/// # Errors
/// 403 `user_locked` with `meta.lockout_expires_in_seconds`; 429 `too_many_requests`.
pub async fn reserve(ctx: &Ctx, db: &mut PgConnection, user: Option<&UserId>, client: &ClientId) -> Result<Try> {
    let rule = ctx.instance.settings.lockout.rule();
    let mut found = Try { account: None, left: None, from_address: None };
    if let (Some(user), Some(rule)) = (user, rule) {
        let reserved = lockouts::reserve(&mut *db, ctx.instance_id(), user, client, rule, ctx.offset()).await?;
        match reserved {
            Reserved::Locked { until, detail } => return Err(locked(ctx, until, detail).into()),
            Reserved::Nobody => {}
            Reserved::Granted { budget, left } => {
                found.account = Some((user.clone(), client.clone(), budget));
                found.left = Some(left);
            }
        }
    }
    found.from_address = exact_limits::spend(ctx, db, Exact::FailedProofs, &address_key(ctx.from.ip)).await?;
    Ok(found)
}

/// The proof was right: takes the try back.
///
/// # Errors
/// Storage faults.
pub async fn release(ctx: &Ctx, db: &mut PgConnection, done: &Try) -> Result<()> {
    if let Some((user, client, budget)) = &done.account {
        lockouts::release(&mut *db, ctx.instance_id(), user, client, *budget).await?;
    }
    if let Some(spent) = &done.from_address {
        exact_limits::release(ctx, db, spent).await?;
    }
    Ok(())
}

/// The proof was wrong: the try stands. `refusal` is what the app is told, or, when few tries are left, how many; the
/// account's last failure is written down. To be called in the transaction that keeps the try, or after it.
///
/// # Errors
/// Storage faults.
pub async fn failed(ctx: &Ctx, db: &mut PgConnection, done: &Try, refusal: Problem) -> Result<Problem> {
    if let (Some((user, _, _)), Some(0)) = (&done.account, done.left) {
        record_lock(ctx, db, user).await?;
    }
    Ok(match done.left {
        Some(left) if left <= WARNS_FROM => warned(refusal, left),
        _ => refusal,
    })
}

async fn record_lock(ctx: &Ctx, db: &mut PgConnection, user: &UserId) -> Result<()> {
    let now = ctx.app.clock.now();
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "user.locked", Actor::System, now);
    entry.reason = Some("failures");
    entry.user = Some(user);
    entry.from = Some(&ctx.from);
    Ok(audit::append(db, ctx.rng(), entry).await?)
}

fn warned(refusal: Problem, left: i16) -> Problem {
    let param = refusal.errors.first().and_then(|item| item.meta.get("param_name")).cloned();
    let again = if left == 1 { "try" } else { "tries" };
    let warning = Problem::new(code::ACCOUNT_LOCKOUT_WARNING)
        .explain(format!("That is not right. {left} {again} left before this account is locked."));
    let warning = match param {
        Some(param) => warning.meta("param_name", param),
        None => warning,
    };
    Problem { why: refusal.why, ..warning }
}

/// The refusal of a locked account; `until` is `None` while it stays locked until somebody unlocks it. `detail`:
/// `failures`, `operator`.
pub fn locked(ctx: &Ctx, until: Option<Timestamp>, detail: &'static str) -> Problem {
    let seconds = until.map(|until| (until - ctx.now).whole_seconds().max(1));
    Problem::new(code::USER_LOCKED).meta("lockout_expires_in_seconds", seconds).because(Reason::UserLocked, detail)
}
