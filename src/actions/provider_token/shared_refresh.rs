//! A refresh under way, which all callers of this process share: it looks, decides and acts until there is an outcome.
//! It is a task of its own, so that it ends whether or not its callers stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::lease::SharedRefresh;
use super::{Call, refresh, timeout_refusal};
use crate::app::single_flight::{Leader, RefreshOutcome};
use crate::model::problem::{Error, Result, code};
use crate::model::provider_token::{ArrivalState, Refusal, Step, decide};
use crate::store::provider_tokens::SealedTokens;

/// How often a waiting process looks at the row: notifications can be lost.
const LOOK: Duration = Duration::from_millis(100);

/// What a shared refresh came to for one of its callers.
pub(super) enum Refreshed {
    /// Newer tokens, still sealed.
    Token(Box<SealedTokens>),
    /// None: the provider refused, or nobody answered in time.
    Refused(Refusal),
}

impl Call<'_> {
    /// Joins the refresh for `account`, or begins it; again, if it ended too early for this call.
    pub(super) async fn join_or_lead(&self, account: &SealedTokens) -> Result<Refreshed> {
        while Instant::now() < self.deadline {
            let mut watch = self.ctx.app.single_flight.join(&account.external_account_id, |leader| {
                let (db, refresh, account) = (self.ctx.app.db.clone(), self.refresh(), account.clone());
                // Its callers wait for it: like them it does not wait long for the database.
                tokio::spawn(async move { db.within_budget(refresh.run(leader, account)).await });
            });
            let outcome = match timeout_at(self.deadline, watch.wait_for(Option::is_some)).await {
                Err(_) => break,
                Ok(outcome) => {
                    outcome.map_or(RefreshOutcome::Fault, |outcome| outcome.clone().unwrap_or(RefreshOutcome::Fault))
                }
            };
            match outcome {
                RefreshOutcome::Token(held) => return Ok(Refreshed::Token(Box::new(Arc::unwrap_or_clone(held)))),
                RefreshOutcome::Refused(refusal) => return Ok(Refreshed::Refused(refusal)),
                RefreshOutcome::Gone => return Err(code::RESOURCE_NOT_FOUND.into()),
                RefreshOutcome::Fault => return Err(Error::unavailable("a refresh failed on our side")),
                RefreshOutcome::Late => {}
            }
        }
        Ok(Refreshed::Refused(timeout_refusal()))
    }

    fn refresh(&self) -> SharedRefresh {
        SharedRefresh {
            ctx: self.ctx.clone(),
            user: self.user.clone(),
            provider: self.provider.to_owned(),
            version: self.version,
            asked: self.asked,
            deadline: self.deadline,
        }
    }
}

impl SharedRefresh {
    async fn run(self, leader: Leader, account: SealedTokens) {
        let id = account.external_account_id.clone();
        let outcome = self.until_resolved(&leader, account).await.unwrap_or_else(|error| {
            tracing::warn!(%error, account = %id, "a provider token could not be refreshed");
            RefreshOutcome::Fault
        });
        leader.finish_with(outcome);
    }

    /// Looks, decides and acts until there is an outcome. Between two looks nothing is held but memory.
    async fn until_resolved(&self, leader: &Leader, mut account: SealedTokens) -> Result<RefreshOutcome> {
        let arrival = ArrivalState::at(&account.row);
        loop {
            match decide(&account.row, &arrival, self.asked) {
                Step::HandOut => return Ok(RefreshOutcome::Token(Arc::new(account))),
                Step::Refuse(refusal) => return Ok(RefreshOutcome::Refused(refusal)),
                Step::Take => {
                    let prepared = refresh::prepare(self).await?;
                    if let Some(lease) = self.take(leader, &account).await? {
                        let outcome = refresh::run(self, lease, prepared).await;
                        leader.holds(None);
                        // None: newer tokens were stored, or the lease was lost.
                        if let Some(outcome) = outcome? {
                            return Ok(outcome);
                        }
                    }
                }
                Step::Wait => {
                    if leader.is_empty() || Instant::now() + LOOK >= self.deadline {
                        return Ok(RefreshOutcome::Late);
                    }
                    leader.news_within(LOOK).await;
                }
            }
            match self.look(&account.external_account_id).await? {
                Some(held) => account = held,
                None => return Ok(RefreshOutcome::Gone),
            }
        }
    }
}
