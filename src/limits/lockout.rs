//! Every try of a verification is counted before it is believed: against the account it would open, and against the
//! address of the network it comes from.
//!
//! Where answers must not tell who has an account, a stranger does not learn either that one is locked, or about to be:
//! the try is refused like a wrong one, unseen. A browser that the user signed in from before learns it.

use super::exact::{self, Counter, Spent};
use super::keys::address_key;
use super::table::Exact;
use crate::context::Ctx;
use crate::model::id::{AuditEventId, ClientId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::model::reason::Reason;
use crate::model::settings::EnumerationProtection;
use crate::model::time::Timestamp;
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::lockouts::{self, Budget, LockEntry, Reserved};
use crate::store::outbox::Effort;
use crate::store::password_sign_ins::{Counted, Guess};

/// From so many tries left on a failure says how many.
const WARNS_FROM: i16 = 2;

/// A try that was counted and may be verified now.
#[derive(Clone, Debug, Default)]
pub struct ReservedGuess {
    account: Option<(UserId, ClientId, Budget)>,
    /// Failures left after this one; `None` without an account.
    left: Option<i16>,
    /// The account is locked, and whoever tries must not learn that.
    is_in_vain: bool,
    /// If it locked the account, that is written down.
    is_recorded: bool,
    from_address: Option<Spent>,
}

impl ReservedGuess {
    /// What counted on the address alone.
    pub fn of_address(spent: Spent) -> Self {
        Self { from_address: Some(spent), ..Self::default() }
    }

    /// The budget it came from.
    pub fn budget(&self) -> Option<Budget> {
        self.account.as_ref().map(|(_, _, budget)| *budget)
    }

    /// What it spent of the limit of its address.
    pub fn from_address(&self) -> Option<&Spent> {
        self.from_address.as_ref()
    }

    /// Whatever is tried is wrong: it must not be compared with anything, and takes as long as if it were.
    pub fn is_in_vain(&self) -> bool {
        self.is_in_vain
    }
}

/// Counts a try of a verification of `user` on `client`, before it is verified; `user` is `None` while nobody is named
/// yet (a sign-up, an unknown identifier), and then only the address counts, by as many statements. It stands once the
/// caller's transaction does: commit it before the verdict, or with it. Whoever sees the verdict has paid for it. Locks
/// the user's row, so what locks the client comes before, everything else after.
///
/// # Errors
/// 403 `user_locked` with `meta.lockout_expires_in_seconds`; 429 `too_many_requests`.
pub async fn reserve(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: Option<&UserId>,
    client: &ClientId,
) -> Result<ReservedGuess> {
    let rule = ctx.instance.settings.lockout.rule();
    let mut found = ReservedGuess::default();
    if let Some(rule) = rule {
        let reserved = lockouts::reserve(&mut *db, user, client, rule).await?;
        match (reserved, user) {
            (Reserved::Locked { until, detail, is_known }, _) if may_reveal(ctx) || is_known => {
                return Err(locked(ctx, until, detail).into());
            }
            (Reserved::Locked { .. }, _) => found.is_in_vain = true,
            (Reserved::Granted { budget, left }, Some(user)) => {
                found.account = Some((user.clone(), client.clone(), budget));
                found.left = Some(left);
            }
            (Reserved::Nobody | Reserved::Granted { .. }, _) => {}
        }
    }
    found.from_address = exact::spend(ctx, db, Exact::FailedProofs, &address_key(ctx.from.ip)).await?;
    Ok(found)
}

/// The try of a guess that a statement has counted beside what it does; `None` where it counted nothing, or counted
/// what must not be tried: [`reserve`] says why.
pub fn counted(ctx: &Ctx, guess: &Guess, counter: Counter) -> Option<ReservedGuess> {
    let rule = ctx.instance.settings.lockout.rule();
    let from_address = guess.at.map(|at| counter.spent(at));
    let mut found = ReservedGuess { is_recorded: true, from_address, ..ReservedGuess::default() };
    match (guess.counted, &guess.attempt.user_id) {
        (Counted::OnAccount(budget, failed), Some(user)) => {
            found.account = Some((user.clone(), guess.client.clone(), budget));
            found.left = rule.map(|rule| rule.attempts - failed);
        }
        (Counted::Locked { is_known: false }, _) if !may_reveal(ctx) => found.is_in_vain = true,
        (Counted::OnNone, _) => {}
        _ => return None,
    }
    Some(found)
}

/// Whether answers may say that somebody has an account.
fn may_reveal(ctx: &Ctx) -> bool {
    ctx.instance.settings.enumeration_protection != EnumerationProtection::Strict
}

/// The verification was right: takes the try back.
///
/// # Errors
/// Storage faults.
pub async fn release(ctx: &Ctx, db: &mut InstanceConnection<'_>, done: &ReservedGuess) -> Result<()> {
    if let Some((user, client, budget)) = &done.account {
        let was_locked = lockouts::release(&mut *db, user, client, *budget).await?;
        // A lock that this try has set in the same transaction was never there.
        if was_locked && (done.is_recorded || done.left != Some(0)) {
            let mut entry = entry(ctx, "user.unlocked");
            entry.user = Some(user);
            audit::append(&mut *db, ctx.rng(), entry).await?;
        }
    }
    if let Some(spent) = &done.from_address {
        exact::release(ctx, db, spent).await?;
    }
    Ok(())
}

/// Writes down that the account is locked, if the try was its last, in the transaction that has counted it: a lock must not
/// stand without its entry, whatever ends the process before the verdict. For nobody, and where nobody may learn who has an
/// account, the same effort.
///
/// # Errors
/// Storage faults.
pub async fn record_lock(ctx: &Ctx, db: &mut InstanceConnection<'_>, tried: &mut ReservedGuess) -> Result<()> {
    let locks = tried.account.as_ref().filter(|_| tried.left == Some(0)).map(|(user, _, _)| user);
    if locks.is_some() || !may_reveal(ctx) {
        let mut entry = entry(ctx, "user.locked");
        entry.reason = Some("failures");
        entry.user = locks;
        entry.effort = if locks.is_some() { Effort::Real } else { Effort::Pretended };
        audit::append(db, ctx.rng(), entry).await?;
    }
    tried.is_recorded = true;
    Ok(())
}

fn entry<'a>(ctx: &'a Ctx, action: &'a str) -> AuditEvent<'a> {
    let event = AuditEvent::new(ctx.instance_id().as_str(), action, Actor::System, ctx.app.clock.now());
    AuditEvent { from: Some(&ctx.from), ..event }
}

/// The entry that a statement writes which counts a guess by itself.
pub fn lock_entry(ctx: &Ctx) -> LockEntry<'_> {
    let at = ctx.app.clock.now();
    LockEntry { id: AuditEventId::new(at, ctx.rng()), from: &ctx.from, at }
}

/// The verification was wrong: the try stands. `refusal` is what the app receives, or, when few tries are left, how many.
pub fn failed(ctx: &Ctx, done: &ReservedGuess, refusal: Problem) -> Problem {
    let is_known = matches!(&done.account, Some((_, _, Budget::KnownClient)));
    match done.left {
        Some(left) if left <= WARNS_FROM && (may_reveal(ctx) || is_known) => warned(refusal, left),
        _ => refusal,
    }
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
