//! Refreshes of provider tokens under way in this process: one per account, however many ask. The map is only in front
//! of the lease in the database, which decides between processes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::model::id::{ExternalAccountId, InstanceId};
use crate::model::provider_token::Refusal;
use crate::store::provider_tokens::Held;

/// How a flight ended.
#[derive(Clone, Debug)]
pub enum Landed {
    /// With a token, still sealed.
    Token(Arc<Held>),
    /// Without.
    Refused(Refusal),
    /// The account is gone.
    Gone,
    /// Its time was up while another process was asking.
    Late,
    /// By a fault of ours, which the log tells.
    Fault,
}

/// What passengers watch: nothing until the flight has landed.
pub type Watch = watch::Receiver<Option<Landed>>;

/// The flights under way.
#[derive(Default)]
pub struct Flights {
    flights: Mutex<HashMap<ExternalAccountId, Flight>>,
    landed: Notify,
}

struct Flight {
    watch: Watch,
    news: Arc<Notify>,
    lease: Option<HeldLease>,
}

/// A lease that a flight holds.
#[derive(Clone, Debug)]
pub struct HeldLease {
    /// Whose account.
    pub instance: InstanceId,
    /// Which account.
    pub account: ExternalAccountId,
    /// The name it was taken under.
    pub owner: String,
}

/// A flight's own place in the map; leaves it when dropped, landed or not.
pub struct Seat {
    flights: Arc<Flights>,
    account: ExternalAccountId,
    landing: watch::Sender<Option<Landed>>,
    news: Arc<Notify>,
}

impl Flights {
    /// Joins the flight for `account`, or begins one: then `take_off` gets its seat.
    pub fn join(self: &Arc<Self>, account: &ExternalAccountId, take_off: impl FnOnce(Seat)) -> Watch {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(account) {
            return flight.watch.clone();
        }
        let (landing, watch) = watch::channel(None);
        let news = Arc::new(Notify::new());
        flights.insert(account.clone(), Flight { watch: watch.clone(), news: Arc::clone(&news), lease: None });
        drop(flights);
        take_off(Seat { flights: Arc::clone(self), account: account.clone(), landing, news });
        watch
    }

    /// Tells the flight for `account` that a refresh ended somewhere.
    pub fn tell(&self, account: &str) {
        let flights = self.lock();
        if let Some((_, flight)) = ExternalAccountId::parse(account).and_then(|id| flights.get_key_value(&id)) {
            flight.news.notify_one();
        }
    }

    /// Tells every flight: news may have been lost.
    pub fn tell_all(&self) {
        self.lock().values().for_each(|flight| flight.news.notify_one());
    }

    /// Waits until none is under way, at most so long. Returns the leases of those that still are.
    pub async fn finish(&self, patience: Duration) -> Vec<HeldLease> {
        let all_landed = async {
            loop {
                let landed = self.landed.notified();
                if self.lock().is_empty() {
                    return;
                }
                landed.await;
            }
        };
        let _ = tokio::time::timeout(patience, all_landed).await;
        self.lock().values().filter_map(|flight| flight.lease.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExternalAccountId, Flight>> {
        // Whole after every statement: a panic elsewhere does not spoil it.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Notes which lease the flight holds now.
    pub fn holds(&self, lease: Option<HeldLease>) {
        if let Some(flight) = self.flights.lock().get_mut(&self.account) {
            flight.lease = lease;
        }
    }

    /// True once nobody waits for the flight.
    pub fn is_empty(&self) -> bool {
        // The map keeps one receiver, for those who join.
        self.landing.receiver_count() <= 1
    }

    /// Waits for news of a refresh elsewhere, at most so long.
    pub async fn news_within(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.news.notified()).await;
    }

    /// Lands.
    pub fn land(self, landed: Landed) {
        // Out of the map first: whoever comes later begins anew.
        self.leave();
        let _ = self.landing.send(Some(landed));
    }

    fn leave(&self) {
        let mut flights = self.flights.lock();
        // Our own flight only: another may have begun since we landed.
        if flights.get(&self.account).is_some_and(|flight| Arc::ptr_eq(&flight.news, &self.news)) {
            flights.remove(&self.account);
        }
        drop(flights);
        self.flights.landed.notify_waiters();
    }
}

impl Drop for Seat {
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
    async fn many_join_one_flight_and_the_next_begins_anew() {
        let (flights, account) = (Arc::new(Flights::default()), account());
        let mut seat = None;
        let mut first = flights.join(&account, |taken| seat = Some(taken));
        let mut second = flights.join(&account, |_| panic!("it is under way"));
        seat.unwrap().land(Landed::Gone);
        for watch in [&mut first, &mut second] {
            assert!(matches!(*watch.wait_for(Option::is_some).await.unwrap(), Some(Landed::Gone)));
        }
        let mut begun = false;
        let mut third = flights.join(&account, |_| begun = true);
        assert!(begun, "a landed flight takes nobody");
        assert!(third.wait_for(Option::is_some).await.is_err(), "a flight that was dropped leaves nobody waiting");
        assert!(flights.finish(Duration::ZERO).await.is_empty());
    }

    #[tokio::test]
    async fn a_seat_without_passengers_knows_it() {
        let (flights, account) = (Arc::new(Flights::default()), account());
        let mut seat = None;
        let watch = flights.join(&account, |taken| seat = Some(taken));
        let seat = seat.unwrap();
        assert!(!seat.is_empty());
        drop(watch);
        assert!(seat.is_empty());
        let instance = InstanceId::new(time::OffsetDateTime::UNIX_EPOCH, &SystemRng);
        seat.holds(Some(HeldLease { instance, account: account.clone(), owner: "me".to_owned() }));
        assert_eq!(flights.finish(Duration::from_millis(1)).await.len(), 1);
        flights.tell(account.as_str());
        seat.news_within(Duration::from_secs(60)).await;
    }
}
