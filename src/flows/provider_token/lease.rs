//! One refresh at a time over all processes: the lease in the token's row. Within a process callers share a flight.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use tokio::time::Instant;

use super::{held, record};
use crate::app::App;
use crate::app::flights::{HeldLease, Seat};
use crate::context::Ctx;
use crate::model::id::{ExternalAccountId, RequestId, UserId};
use crate::model::problem::Result;
use crate::model::provider_token::Asked;
use crate::store::interval;
use crate::store::provider_tokens::{self, Held, LeftBehind, Taken, Which};

/// How long a lease lives: longer than an exchange may take.
const LEASE: PgInterval = interval::seconds(12);
/// How long after it asked for its lease a process may still send: an exchange of 10 s then ends within it.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(1);

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
    /// What its caller wants.
    pub asked: Asked,
    /// Until when it is of use.
    pub deadline: Instant,
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

impl Flight {
    /// The account as it is now.
    pub(super) async fn look(&self, account: &ExternalAccountId) -> Result<Option<Held>> {
        let (ctx, which) =
            (&self.ctx, Which { user: &self.user, provider: Some(&self.provider), account: Some(account) });
        let held = held(ctx, which).await?;
        Ok(held.and_then(|held| held.accounts.into_iter().next()))
    }

    /// Takes the lease, if nobody was faster.
    pub(super) async fn take(&self, seat: &Seat, account: &Held) -> Result<Option<Lease>> {
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
