//! A refresh under way, which all callers of this process share: it looks, decides and acts until there is an outcome. It
//! is a task of its own, so that it lands whether or not its callers stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::lease::Flight;
use super::{Call, late, refresh};
use crate::app::flights::{Landed, Seat};
use crate::model::problem::{Error, Result, code};
use crate::model::provider_token::{Arrival, Refusal, Step, decide};
use crate::store::provider_tokens::Held;

/// How often a waiting process looks at the row: notifications can be lost.
const LOOK: Duration = Duration::from_millis(100);

impl Call<'_> {
    /// Joins the flight for `account`, or begins it; again, if it ended too early for this call.
    pub(super) async fn fly(&self, account: &Held) -> Result<Result<Held, Refusal>> {
        while Instant::now() < self.deadline {
            let mut watch = self.ctx.app.flights.join(&account.external_account_id, |seat| {
                let (db, flight, account) = (self.ctx.app.db.clone(), self.flight(), account.clone());
                // Its callers wait for it: like them it does not wait long for the database.
                tokio::spawn(async move { db.within_budget(flight.run(seat, account)).await });
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
}
