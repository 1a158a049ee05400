//! How much may be asked of one host at a time, and when to stop asking it.
//!
//! A host that failed five times in a row is left alone for ten seconds, then one probe decides. What does not get in
//! fails at once: a slow provider must not collect this server's tasks and memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const PER_HOST: u32 = 64;
const IN_ALL: u32 = 512;
const FAILURES: u32 = 5;
const OPEN_FOR: Duration = Duration::from_secs(10);
/// Hosts remembered before idle ones are forgotten.
const HOSTS: usize = 1024;

/// What became of a request, as far as the host's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered, whatever it said.
    Answered,
    /// No answer: time, name, connection, TLS.
    Failed,
}

#[derive(Debug, Default)]
struct HostState {
    in_flight: u32,
    failures: u32,
    /// Set by the fifth failure; when it has passed, one probe at a time gets in.
    closed_until: Option<Instant>,
    is_probed: bool,
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: u32,
    hosts: HashMap<String, HostState>,
}

impl Counts {
    /// Keeps the memory bounded, however many hosts a tenant names: first those go that are not left alone, then all
    /// that have nothing in flight.
    fn forget(&mut self, now: Instant) {
        if self.hosts.len() >= HOSTS {
            self.hosts.retain(|_, host| host.in_flight > 0 || host.closed_until.is_some_and(|until| until > now));
        }
        if self.hosts.len() >= HOSTS {
            self.hosts.retain(|_, host| host.in_flight > 0);
        }
    }
}

/// The gate that every request passes.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Counts>);

impl Breaker {
    /// Lets a request to this host in; `None` if the host is left alone or too much is in flight.
    pub(super) fn enter(&self, host: &str, now: Instant) -> Option<RequestPermit<'_>> {
        let mut counts = self.lock();
        if counts.in_flight >= IN_ALL {
            return None;
        }
        counts.forget(now);
        let state = counts.hosts.entry(host.to_owned()).or_default();
        let is_probe = state.closed_until.is_some();
        if is_probe && (state.is_probed || state.closed_until.is_some_and(|until| until > now)) {
            return None;
        }
        if state.in_flight >= PER_HOST {
            return None;
        }
        state.in_flight += 1;
        state.is_probed = is_probe;
        counts.in_flight += 1;
        Some(RequestPermit { breaker: self, host: host.to_owned(), is_probe })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // The counts are right after every statement; a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to send one request. Dropped without a verdict (the caller went away), it only gives its place back.
#[derive(Debug)]
pub(super) struct RequestPermit<'a> {
    breaker: &'a Breaker,
    host: String,
    is_probe: bool,
}

impl RequestPermit<'_> {
    /// Notes how it went.
    pub(super) fn finish(self, health: Health, now: Instant) {
        let mut counts = self.breaker.lock();
        let Some(state) = counts.hosts.get_mut(&self.host) else {
            return;
        };
        match health {
            Health::Answered => {
                state.failures = 0;
                state.closed_until = None;
            }
            Health::Failed => {
                state.failures = state.failures.saturating_add(1);
                // Of many that fail together only those beyond the fourth close the gate, each for ten seconds from now.
                if state.failures >= FAILURES {
                    state.closed_until = Some(now + OPEN_FOR);
                }
            }
        }
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        let mut counts = self.breaker.lock();
        counts.in_flight = counts.in_flight.saturating_sub(1);
        let Some(state) = counts.hosts.get_mut(&self.host) else {
            return;
        };
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.is_probe {
            state.is_probed = false;
        }
        if state.in_flight == 0 && state.failures == 0 {
            counts.hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.enter("idp", now).unwrap().finish(Health::Failed, now);
    }

    #[test]
    fn the_fifth_failure_in_a_row_closes_the_gate_for_ten_seconds() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            fail(&breaker, now);
        }
        assert!(breaker.enter("idp", now).is_some());
        fail(&breaker, now);
        assert!(breaker.enter("idp", now).is_none());
        assert!(breaker.enter("idp", now + OPEN_FOR - Duration::from_millis(1)).is_none());
        assert!(breaker.enter("other", now).is_some());
        assert!(breaker.enter("idp", now + OPEN_FOR).is_some());
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            fail(&breaker, now);
        }
        breaker.enter("idp", now).unwrap().finish(Health::Answered, now);
        for _ in 0..4 {
            fail(&breaker, now);
        }
        assert!(breaker.enter("idp", now).is_some());
    }

    #[test]
    fn one_probe_decides() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            fail(&breaker, now);
        }
        let later = now + OPEN_FOR;
        let probe = breaker.enter("idp", later).unwrap();
        assert!(breaker.enter("idp", later).is_none(), "only one probe");
        probe.finish(Health::Failed, later);
        assert!(breaker.enter("idp", later).is_none(), "a failed probe closes it again");
        let later = later + OPEN_FOR;
        drop(breaker.enter("idp", later).unwrap());
        let probe = breaker.enter("idp", later).expect("an abandoned probe leaves room for another");
        probe.finish(Health::Answered, later);
        let (first, second) = (breaker.enter("idp", later), breaker.enter("idp", later));
        assert!(first.is_some() && second.is_some(), "an answered probe opens it");
    }

    #[test]
    fn at_most_64_per_host_and_512_in_all() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let mut passes = Vec::new();
        for host in 0..8 {
            let host = format!("host{host}");
            for _ in 0..PER_HOST {
                passes.push(breaker.enter(&host, now).unwrap());
            }
            assert!(breaker.enter(&host, now).is_none());
        }
        assert!(breaker.enter("host9", now).is_none());
        passes.pop();
        assert!(breaker.enter("host9", now).is_some());
    }

    #[test]
    fn idle_hosts_are_forgotten() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        drop(breaker.enter("idp", now));
        assert_eq!(breaker.lock().hosts.len(), 0);
        for host in 0..HOSTS + 5 {
            breaker.enter(&format!("host{host}"), now).unwrap().finish(Health::Failed, now);
        }
        assert!(breaker.lock().hosts.len() <= HOSTS);
        for host in 0..HOSTS + 5 {
            for _ in 0..FAILURES {
                breaker.enter(&format!("closed{host}"), now).unwrap().finish(Health::Failed, now);
            }
        }
        assert!(breaker.lock().hosts.len() <= HOSTS);
        assert_eq!(breaker.lock().in_flight, 0);
    }
}
