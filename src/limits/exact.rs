//! What is counted exactly: in the database, over all replicas.

use super::keys::{address_key, seconds};
use super::table::Exact;
use crate::config::limits::Rate;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::model::id::{ClientId, UserId};
use crate::model::problem::Result;
use crate::model::time::Timestamp;
use crate::store::InstanceConnection;
use crate::store::lockouts;
use crate::store::rate_limits::{self, Log};

/// An event that was counted, to be taken back if it turns out not to be one.
#[derive(Clone, Debug)]
pub struct Spent {
    what: Exact,
    key: LookupHash,
    at: Timestamp,
}

/// Counts one event of `key`; `None` where the limit is off. It stands once the caller's transaction does.
///
/// # Errors
/// 429 with the seconds to wait: `verification_code_too_many_requests` for what is sent, else `too_many_requests`.
pub async fn spend(ctx: &Ctx, db: &mut InstanceConnection<'_>, what: Exact, key: &str) -> Result<Option<Spent>> {
    spend_under(ctx, db, what, key_hash(ctx, key)).await
}

async fn spend_under(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    what: Exact,
    key: LookupHash,
) -> Result<Option<Spent>> {
    let rate = what.rate(ctx);
    if rate.count == 0 {
        return Ok(None);
    }
    let log = log(what, rate, &key);
    if let Some(at) = rate_limits::spend(&mut *db, log).await? {
        return Ok(Some(Spent { what, key, at }));
    }
    let wait = rate_limits::wait(db, log).await?;
    Err(what.refusal().retry_after(seconds(wait)).into())
}

/// An event that another statement counts beside what it does.
#[derive(Clone, Debug)]
pub struct Counter {
    what: Exact,
    key: LookupHash,
    rate: Rate,
}

impl Counter {
    /// The one of `what` for `key`.
    pub fn new(ctx: &Ctx, what: Exact, key: &str) -> Self {
        Self { what, key: key_hash(ctx, key), rate: what.rate(ctx) }
    }

    /// Its log; full from the beginning where the limit is off.
    pub fn log(&self) -> Log<'_> {
        log(self.what, self.rate, &self.key)
    }

    /// Whether the limit is off.
    pub fn is_off(&self) -> bool {
        self.rate.count == 0
    }

    /// What was counted at that moment.
    pub fn spent(self, at: Timestamp) -> Spent {
        Spent { what: self.what, key: self.key, at }
    }
}

impl Spent {
    /// Its log, and its moment there.
    pub fn place<'a>(&'a self, ctx: &Ctx) -> (Log<'a>, Timestamp) {
        (log(self.what, self.what.rate(ctx), &self.key), self.at)
    }
}

/// Takes an event back.
///
/// # Errors
/// Storage faults.
pub async fn release(ctx: &Ctx, db: &mut InstanceConnection<'_>, spent: &Spent) -> Result<()> {
    let log = log(spent.what, spent.what.rate(ctx), &spent.key);
    Ok(rate_limits::release(db, log, spent.at).await?)
}

/// What the log of `key` is found by.
fn key_hash(ctx: &Ctx, key: &str) -> LookupHash {
    ctx.app.ring.lookup_hash(Lookup::RateLimit, key)
}

fn log(what: Exact, rate: Rate, key: &LookupHash) -> Log<'_> {
    Log { kind: what.name(), key, count: rate.count, window: rate.window }
}

/// Counts a code or link that is about to be sent to `recipient` (a canonical address), because `client` asked for it
/// to verify that it is `user`: in the transaction that makes it, so that what is not sent is not counted. Strangers'
/// addresses count like known ones. All strangers share what may be sent to a recipient; a browser that the user signed
/// in from before has as much of its own, so that nobody shuts people out of their accounts by asking for codes.
///
/// # Errors
/// 429 `verification_code_too_many_requests` with the seconds to wait.
pub async fn before_sending(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    recipient: &str,
    user: Option<&UserId>,
    client: &ClientId,
) -> Result<()> {
    let is_known = lockouts::knows_client(&mut *db, user, client, recipient).await?;
    // No address has a blank in it.
    let own = is_known.then(|| format!("{recipient} {client}"));
    let budget = key_hash(ctx, own.as_deref().unwrap_or(recipient));
    spend_under(ctx, &mut *db, Exact::SendAgain, budget).await?;
    spend_under(ctx, &mut *db, Exact::SendToRecipient, budget).await?;
    spend(ctx, &mut *db, Exact::SendFromAddress, &address_key(ctx.from.ip)).await?;
    Ok(())
}
