//! One refresh at a time: in this process by a flight that all callers share, over all processes by the lease in the
//! token's row. A flight is a task of its own, so that it lands whether or not its callers stay.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use tokio::time::{Instant, timeout_at};

use super::{Call, held, late, record, refresh};
use crate::app::App;
use crate::app::flights::{HeldLease, Landed, Seat};
use crate::context::Ctx;
use crate::model::id::{ExternalAccountId, RequestId, UserId};
use crate::model::problem::{Error, Result, code};
use crate::model::provider_token::{Arrival, Asked, Refusal, Step, decide};
use crate::store::interval;
use crate::store::provider_tokens::{self, Held, LeftBehind, Taken, Which};

/// How long a lease lives: longer than an exchange may take.
const LEASE: PgInterval = interval::seconds(12);
/// How long after it asked for its lease a process may still send: an exchange of 10 s then ends within it.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(1);
/// How often a waiting process looks at the row: notifications can be lost.
const LOOK: Duration = Duration::from_millis(100);

/// A flight: what a call needs, without its caller.
pub(super) struct Flight {
    /// For the instance and its clock.
    pub ctx: Ctx,
    /// Whose account.
    pub user: UserId,
    /// Slug.
    pub provider: String,
    /// The version of the provider's configuration.
    pub version: i64,
    asked: Asked,
    deadline: Instant,
}

/// A lease that this process holds.
pub(super) struct Lease {
    /// What it was taken of.
    pub account: Held,
    /// The name it was taken under.
    pub owner: String,
    /// What the row gave.
    pub taken: Taken,
    /// When it was asked for.
    pub since: Instant,
}

impl Call<'_> {
    /// Joins the flight for `account`, or begins it; again, if it ended too early for this call.
    pub(super) async fn fly(&self, account: &Held) -> Result<Result<Held, Refusal>> {
        while Instant::now() < self.deadline {
            let mut watch = self.ctx.app.flights.join(&account.external_account_id, |seat| {
                tokio::spawn(self.flight().run(seat, account.clone()));
            });
            let landed = match timeout_at(self.deadline, watch.wait_for(Option::is_some)).await {
                Err(_) => break,
                Ok(landed) => landed.map_or(Landed::Fault, |landed| landed.clone().unwrap_or(Landed::Fault)),
            };
            match landed {
                Landed::Token(held) => return Ok(Ok(Arc::unwrap_or_clone(held))),
                Landed::Refused(refusal) => return Ok(Err(refusal)),
                Landed::Gone => return Err(code::RESOURCE_NOT_FOUND.into()),
                Landed::Fault => return Err(Error::unavailable("a refresh failed on our side")),
                Landed::Late => {}
            }
        }
        Ok(Err(late()))
    }

    fn flight(&self) -> Flight {
        Flight {
            ctx: self.ctx.clone(),
            user: self.user.clone(),
            provider: self.provider.to_owned(),
            version: self.version,
            asked: self.asked,
            deadline: self.deadline,
        }
    }
}

impl Flight {
    async fn run(self, seat: Seat, account: Held) {
        let id = account.external_account_id.clone();
        let landed = self.until_settled(&seat, account).await.unwrap_or_else(|error| {
            tracing::warn!(%error, account = %id, "a provider token could not be refreshed");
            Landed::Fault
        });
        seat.land(landed);
    }

    /// Looks, decides and acts until there is an outcome. Between two looks nothing is held but memory.
    async fn until_settled(&self, seat: &Seat, mut account: Held) -> Result<Landed> {
        let arrival = Arrival::at(&account.row);
        loop {
            match decide(&account.row, &arrival, self.asked) {
                Step::HandOut => return Ok(Landed::Token(Arc::new(account))),
                Step::Refuse(refusal) => return Ok(Landed::Refused(refusal)),
                Step::Take => {
                    let provider = refresh::prepare(self).await?;
                    if let Some(lease) = self.take(seat, &account).await? {
                        let landed = refresh::run(self, lease, provider).await;
                        seat.holds(None);
                        // None: newer tokens were stored, or the lease was lost.
                        if let Some(landed) = landed? {
                            return Ok(landed);
                        }
                    }
                }
                Step::Wait => {
                    if seat.is_empty() || Instant::now() + LOOK >= self.deadline {
                        return Ok(Landed::Late);
                    }
                    seat.news_within(LOOK).await;
                }
            }
            match self.look(&account.external_account_id).await? {
                Some(held) => account = held,
                None => return Ok(Landed::Gone),
            }
        }
    }

    /// The account as it is now.
    async fn look(&self, account: &ExternalAccountId) -> Result<Option<Held>> {
        let (ctx, which) =
            (&self.ctx, Which { user: &self.user, provider: Some(&self.provider), account: Some(account) });
        let held = held(ctx, which).await?;
        Ok(held.and_then(|held| held.accounts.into_iter().next()))
    }

    /// Takes the lease, if nobody was faster.
    async fn take(&self, seat: &Seat, account: &Held) -> Result<Option<Lease>> {
        let (app, instance, id) = (&self.ctx.app, self.ctx.instance_id(), &account.external_account_id);
        let owner = format!("{}:{}", std::process::id(), RequestId::new(app.clock.now(), app.rng.as_ref()));
        let since = Instant::now();
        let lease = HeldLease { instance: instance.clone(), account: id.clone(), owner: owner.clone() };
        seat.holds(Some(lease));
        let taken = provider_tokens::take(&app.db, instance, id, &account.row, &owner, LEASE).await;
        match taken {
            Ok(Some(taken)) => Ok(Some(Lease { account: account.clone(), owner, taken, since })),
            other => {
                seat.holds(None);
                other?;
                Ok(None)
            }
        }
    }
}

/// At shutdown: waits so long for refreshes under way, then ends the leases of the rest, so that other processes need
/// not wait for them.
pub async fn give_up(app: &App, patience: Duration) {
    for lease in app.flights.finish(patience).await {
        let left =
            provider_tokens::leave(&app.db, &lease.instance, &lease.account, &lease.owner, LeftBehind::Unanswered)
                .await;
        if let Err(error) = left {
            tracing::warn!(%error, account = %lease.account, "a lease ends by itself");
        }
    }
    record::write_handouts(app).await;
}
