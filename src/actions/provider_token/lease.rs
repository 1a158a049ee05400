//! One refresh at a time over all processes: the lease in the token's row. Within a process callers share one refresh.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use tokio::time::Instant;

use super::{read_tokens, record_access};
use crate::app::App;
use crate::app::single_flight::{HeldLease, Leader};
use crate::context::Ctx;
use crate::model::id::{ExternalAccountId, RequestId, UserId};
use crate::model::problem::Result;
use crate::model::provider_token::TokenDemand;
use crate::store::InstanceConnection;
use crate::store::interval;
use crate::store::provider_tokens::{self, AccountFilter, AcquiredLease, LeaseEnd, SealedTokens};

/// How long a lease lives: longer than an exchange may take.
const LEASE: PgInterval = interval::seconds(12);
/// How long after it asked for its lease a process may still send: an exchange of 10 s then ends within it.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(1);

/// A refresh: what a call needs, without its caller.
pub(super) struct SharedRefresh {
    /// For the instance and its clock.
    pub ctx: Ctx,
    /// Whose account.
    pub user: UserId,
    /// Slug.
    pub provider: String,
    /// The version of the provider's configuration.
    pub version: i64,
    /// What its caller wants.
    pub asked: TokenDemand,
    /// Until when it is of use.
    pub deadline: Instant,
}

/// A lease that this process holds.
pub(super) struct Lease {
    /// What it was taken of.
    pub account: SealedTokens,
    /// The name it was taken under.
    pub owner: String,
    /// What the row gave.
    pub taken: AcquiredLease,
    /// When it was asked for.
    pub since: Instant,
}

impl SharedRefresh {
    /// The account as it is now.
    pub(super) async fn look(&self, account: &ExternalAccountId) -> Result<Option<SealedTokens>> {
        let (ctx, which) =
            (&self.ctx, AccountFilter { user: &self.user, provider: Some(&self.provider), account: Some(account) });
        let held = read_tokens(ctx, which).await?;
        Ok(held.and_then(|held| held.accounts.into_iter().next()))
    }

    /// Takes the lease, if nobody was faster.
    pub(super) async fn take(&self, leader: &Leader, account: &SealedTokens) -> Result<Option<Lease>> {
        let (app, instance, id) = (&self.ctx.app, self.ctx.instance_id(), &account.external_account_id);
        let owner = format!("{}:{}", std::process::id(), RequestId::new(app.clock.now(), app.rng.as_ref()));
        let since = Instant::now();
        let lease = HeldLease { instance: instance.clone(), account: id.clone(), owner: owner.clone() };
        leader.holds(Some(lease));
        let taken = provider_tokens::take(&mut self.ctx.db(), id, &account.row, &owner, LEASE).await;
        match taken {
            Ok(Some(taken)) => Ok(Some(Lease { account: account.clone(), owner, taken, since })),
            other => {
                leader.holds(None);
                other?;
                Ok(None)
            }
        }
    }
}

/// At shutdown: waits so long for refreshes under way, then ends the leases of the rest, so that other processes need
/// not wait for them.
pub async fn release_all(app: &App, patience: Duration) {
    for lease in app.single_flight.finish(patience).await {
        let left = provider_tokens::release_lease(
            // No clock of an instance is asked for.
            &mut InstanceConnection::of_pool(&app.db, &lease.instance, time::Duration::ZERO),
            &lease.account,
            &lease.owner,
            LeaseEnd::Unanswered,
        )
        .await;
        if let Err(error) = left {
            tracing::warn!(%error, account = %lease.account, "a lease ends by itself");
        }
    }
    record_access::write_token_accesses(app).await;
}
