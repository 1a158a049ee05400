//! Rate limits counted in memory: per replica, hence approximate. Exact ones are counted in
//! the database ([`crate::actions::exact_limits`]).

pub mod rows;
mod table;

use std::net::IpAddr;
use std::time::Duration;

use table::Table;

use crate::config::limits::{Rate, Rates};
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};
use crate::model::reason::Reason;

/// The most keys that are remembered; the oldest go first, so that the limiter is no hole in memory.
const KEYS: usize = 1_000_000;

/// What the flow log keeps of callbacks and token requests that belong to no start: a bound of its table, not of
/// requests.
const STRAY_FLOWS: Rate = Rate { count: 10, window: Duration::from_secs(60) };

/// Which budget a request spends from, before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// None.
    Unlimited,
    /// Beginning a sign-in or sign-up, per address.
    CreateAttempt,
    /// Trying a verification (a code, a password, a link), per address.
    AttemptProof,
    /// The backend API, per instance.
    Backend,
    /// `/oauth/authorize`, per address.
    Authorize,
    /// The same at a simulated provider of a development instance.
    SimulatedAuthorize,
    /// Callbacks and token requests that belong to no start, of which the flow log keeps a record, per address.
    StrayFlow,
    /// Token, userinfo, introspection: per client, which the handler finds out ([`Limits::admit_client`]).
    OAuthClient,
}

/// What has been spent.
pub struct Limits {
    rates: Rates,
    table: Table,
}

/// An OAuth client as a budget knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientBudget<'a> {
    /// A client that authenticates itself: one budget, wherever it calls from.
    Authenticated(&'a str),
    /// A client that anybody can name: a budget per address, so that a stranger does not spend another's.
    Named(&'a str, Option<IpAddr>),
}

impl Limits {
    /// Nothing spent yet.
    pub fn new(rates: Rates) -> Self {
        Self { rates, table: Table::new(KEYS) }
    }

    /// The rates in force, for what is counted elsewhere.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Spends one request.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn spend(&self, limit: Limit, instance: &Instance, ip: Option<IpAddr>) -> Result<(), Problem> {
        let (rate, key) = match limit {
            Limit::Unlimited | Limit::OAuthClient => return Ok(()),
            Limit::CreateAttempt => (self.rates.create_attempt, address_key(ip)),
            Limit::AttemptProof => (self.rates.attempt_proof, address_key(ip)),
            Limit::Authorize | Limit::SimulatedAuthorize => (self.rates.authorize, address_key(ip)),
            Limit::StrayFlow => (STRAY_FLOWS, address_key(ip)),
            Limit::Backend if instance.allows_simulated_providers() => (self.rates.backend_development, String::new()),
            Limit::Backend => (self.rates.backend_production, String::new()),
        };
        self.table.spend((instance.id.as_str(), limit, key), rate).map_err(wait)
    }

    /// Whether an OAuth client has something left; nothing is spent before it has authenticated itself.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn admit_client(&self, instance: &Instance, client: ClientBudget<'_>) -> Result<(), Problem> {
        self.table.look(client_key(instance, client), self.rates.oauth_client).map_err(wait)
    }

    /// Spends one request of an OAuth client.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn spend_client(&self, instance: &Instance, client: ClientBudget<'_>) -> Result<(), Problem> {
        self.table.spend(client_key(instance, client), self.rates.oauth_client).map_err(wait)
    }

    /// Counts a failed client authentication, per client and address.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn spend_client_failure(
        &self,
        client_id: &str,
        instance: &Instance,
        ip: Option<IpAddr>,
    ) -> Result<(), Problem> {
        // What is no client id of ours is somebody's invention, and every one of them shares a budget.
        let client_id = if client_id.len() <= 64 { client_id } else { "" };
        let key = ("client failure", instance.id.as_str(), client_id, address_key(ip));
        self.table.spend(key, self.rates.client_failure).map_err(wait)
    }
}

fn client_key<'a>(instance: &'a Instance, client: ClientBudget<'a>) -> impl std::hash::Hash + use<'a> {
    let (client_id, address) = match client {
        ClientBudget::Authenticated(client_id) => (client_id, None),
        ClientBudget::Named(client_id, ip) => (client_id, Some(address_key(ip))),
    };
    ("client", instance.id.as_str(), client_id, address)
}

/// The refusal that asks for a wait of `time`.
fn wait(time: Duration) -> Problem {
    code::TOO_MANY_REQUESTS.because(Reason::RateLimited, "requests").retry_after(seconds(time))
}

/// Whole seconds, never too few.
pub fn seconds(time: Duration) -> u32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

/// An address as a key: IPv4 as it is (also when mapped into IPv6), IPv6 by its /64: who has one address of it has all.
pub fn address_key(ip: Option<IpAddr>) -> String {
    match ip.map(|ip| ip.to_canonical()) {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("{:x?}", address.segments().get(..4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        address_key(Some(text.parse().unwrap()))
    }

    #[test]
    fn addresses_of_one_network_share_a_budget() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }

    #[test]
    fn waits_are_whole_seconds_and_never_too_short() {
        let times = [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)];
        for (milliseconds, whole) in times {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), whole);
        }
    }
}
