//! Refreshes of provider tokens under way in this process: one per account, however many ask. The map is only in front
//! of the lease in the database, which decides between processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::id::{ExternalAccountId, InstanceId};
use crate::model::provider_token::Refusal;
use crate::store::provider_tokens::SealedTokens;

/// How a refresh ended.
#[derive(Clone, Debug)]
pub enum RefreshOutcome {
    /// With a token, still sealed.
    Token(Arc<SealedTokens>),
    /// Without.
    Refused(Refusal),
    /// The account is gone.
    Gone,
    /// Its time was up while another process was asking.
    Late,
    /// By a fault of ours, which the log has.
    Fault,
}

/// What followers watch: nothing until the refresh has ended.
pub type Follower = watch::Receiver<Option<RefreshOutcome>>;

/// The refreshes under way.
#[derive(Default)]
pub struct SingleFlight {
    in_flight: Mutex<HashMap<ExternalAccountId, InFlight>>,
    finished: Notify,
}

struct InFlight {
    watch: Follower,
    news: Arc<Notify>,
    lease: Option<HeldLease>,
}

/// A lease that a refresh holds.
#[derive(Clone, Debug)]
pub struct HeldLease {
    /// Whose account.
    pub instance: InstanceId,
    /// Which account.
    pub account: ExternalAccountId,
    /// The name it was taken under.
    pub owner: String,
}

/// A refresh's own place in the map; leaves it when dropped, ended or not.
pub struct Leader {
    in_flight: Arc<SingleFlight>,
    account: ExternalAccountId,
    outcome: watch::Sender<Option<RefreshOutcome>>,
    news: Arc<Notify>,
}

impl SingleFlight {
    /// Joins the refresh for `account`, or begins one: then `lead` gets its [`Leader`].
    pub fn join(self: &Arc<Self>, account: &ExternalAccountId, lead: impl FnOnce(Leader)) -> Follower {
        let mut in_flight = self.lock();
        if let Some(entry) = in_flight.get(account) {
            return entry.watch.clone();
        }
        let (outcome, watch) = watch::channel(None);
        let news = Arc::new(Notify::new());
        in_flight.insert(account.clone(), InFlight { watch: watch.clone(), news: Arc::clone(&news), lease: None });
        drop(in_flight);
        lead(Leader { in_flight: Arc::clone(self), account: account.clone(), outcome, news });
        watch
    }

    /// Notifies the refresh for `account` that a refresh ended somewhere.
    pub fn notify(&self, account: &str) {
        let in_flight = self.lock();
        if let Some((_, entry)) = ExternalAccountId::parse(account).and_then(|id| in_flight.get_key_value(&id)) {
            entry.news.notify_one();
        }
    }

    /// Notifies every refresh: a notification may have been lost.
    pub fn notify_all(&self) {
        self.lock().values().for_each(|entry| entry.news.notify_one());
    }

    /// Waits until none is under way, at most so long. Returns the leases of those that still are.
    pub async fn finish(&self, patience: Duration) -> Vec<HeldLease> {
        let all_finished = async {
            loop {
                let finished = self.finished.notified();
                if self.lock().is_empty() {
                    return;
                }
                finished.await;
            }
        };
        let _ = tokio::time::timeout(patience, all_finished).await;
        self.lock().values().filter_map(|entry| entry.lease.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExternalAccountId, InFlight>> {
        // Whole after every statement: a panic elsewhere does not spoil it.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leader {
    /// Notes which lease the refresh holds now.
    pub fn holds(&self, lease: Option<HeldLease>) {
        if let Some(entry) = self.in_flight.lock().get_mut(&self.account) {
            entry.lease = lease;
        }
    }

    /// True once nobody waits for the refresh.
    pub fn is_empty(&self) -> bool {
        // The map keeps one receiver, for those who join.
        self.outcome.receiver_count() <= 1
    }

    /// Waits for news of a refresh elsewhere, at most so long.
    pub async fn news_within(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.news.notified()).await;
    }

    /// Ends the refresh.
    pub fn finish_with(self, finished: RefreshOutcome) {
        // Out of the map first: whoever comes later begins anew.
        self.leave();
        let _ = self.outcome.send(Some(finished));
    }

    fn leave(&self) {
        let mut in_flight = self.in_flight.lock();
        // Our own refresh only: another may have begun since ours ended.
        if in_flight.get(&self.account).is_some_and(|entry| Arc::ptr_eq(&entry.news, &self.news)) {
            in_flight.remove(&self.account);
        }
        drop(in_flight);
        self.in_flight.finished.notify_waiters();
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SystemRng;

    fn account() -> ExternalAccountId {
        ExternalAccountId::new(time::OffsetDateTime::UNIX_EPOCH, &SystemRng)
    }

    #[tokio::test]
    async fn many_share_one_refresh_and_the_next_begins_anew() {
        let (in_flight, account) = (Arc::new(SingleFlight::default()), account());
        let mut leader = None;
        let mut first = in_flight.join(&account, |taken| leader = Some(taken));
        let mut second = in_flight.join(&account, |_| panic!("it is under way"));
        leader.unwrap().finish_with(RefreshOutcome::Gone);
        for watch in [&mut first, &mut second] {
            assert!(matches!(*watch.wait_for(Option::is_some).await.unwrap(), Some(RefreshOutcome::Gone)));
        }
        let mut begun = false;
        let mut third = in_flight.join(&account, |_| begun = true);
        assert!(begun, "a refresh that ended takes nobody");
        assert!(third.wait_for(Option::is_some).await.is_err(), "a refresh that was dropped leaves nobody waiting");
        assert!(in_flight.finish(Duration::ZERO).await.is_empty());
    }

    #[tokio::test]
    async fn a_leader_without_followers_knows_it() {
        let (in_flight, account) = (Arc::new(SingleFlight::default()), account());
        let mut leader = None;
        let watch = in_flight.join(&account, |taken| leader = Some(taken));
        let leader = leader.unwrap();
        assert!(!leader.is_empty());
        drop(watch);
        assert!(leader.is_empty());
        let instance = InstanceId::new(time::OffsetDateTime::UNIX_EPOCH, &SystemRng);
        leader.holds(Some(HeldLease { instance, account: account.clone(), owner: "me".to_owned() }));
        assert_eq!(in_flight.finish(Duration::from_millis(1)).await.len(), 1);
        in_flight.notify(account.as_str());
        leader.news_within(Duration::from_secs(60)).await;
    }
}
