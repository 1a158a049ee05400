//! Rate limits counted in memory (security.md section 11), one bucket per limit and key.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};

/// Which budget a request spends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// None.
    Unlimited,
    /// Beginning a sign-in or sign-up: 5 per 10 s and address.
    CreateAttempt,
    /// The backend API: 1000 (production) or 100 (development) per 10 s and instance.
    Backend,
    /// `/oauth/authorize`: 60 per minute and address.
    Authorize,
    /// Token, userinfo, introspection: 1000 per 10 s and client.
    OAuthClient,
}

/// The buckets. Development instances may have tenfold budgets (`limits.relaxed`), so that test suites do not run into
/// them.
pub struct Limits {
    attempts: DefaultKeyedRateLimiter<String>,
    backend_development: DefaultKeyedRateLimiter<String>,
    backend_production: DefaultKeyedRateLimiter<String>,
    authorize: DefaultKeyedRateLimiter<String>,
    clients: DefaultKeyedRateLimiter<String>,
    client_failures: DefaultKeyedRateLimiter<String>,
}

/// `count` requests per `window`, all of which may come at once.
fn per(window: Duration, count: u32) -> DefaultKeyedRateLimiter<String> {
    let burst = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(window / burst.get()).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
    RateLimiter::keyed(quota)
}

impl Limits {
    /// Full buckets; `factor` multiplies every budget (1, or 10 where limits are relaxed).
    pub fn new(factor: u32) -> Self {
        let seconds = Duration::from_secs;
        Self {
            attempts: per(seconds(10), 5 * factor),
            backend_development: per(seconds(10), 100 * factor),
            backend_production: per(seconds(10), 1000 * factor),
            authorize: per(seconds(60), 60 * factor),
            clients: per(seconds(10), 1000 * factor),
            client_failures: per(seconds(60), 20 * factor),
        }
    }

    /// Spends one request.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn spend(&self, limit: Limit, instance: &Instance, ip: Option<IpAddr>) -> Result<(), Problem> {
        let (bucket, key) = match limit {
            Limit::Unlimited => return Ok(()),
            Limit::CreateAttempt => (&self.attempts, address_key(ip)),
            Limit::Authorize => (&self.authorize, address_key(ip)),
            Limit::OAuthClient => (&self.clients, address_key(ip)),
            Limit::Backend if instance.allows_simulated_providers() => {
                (&self.backend_development, instance.id.as_str().to_owned())
            }
            Limit::Backend => (&self.backend_production, instance.id.as_str().to_owned()),
        };
        spend(bucket, &key)
    }

    /// Counts a failed client authentication: 20 per minute, client and address.
    ///
    /// # Errors
    /// `too_many_requests` with the seconds to wait.
    pub fn spend_client_failure(
        &self,
        client_id: &str,
        instance: &Instance,
        ip: Option<IpAddr>,
    ) -> Result<(), Problem> {
        // What is no client id of ours is somebody's invention, and every one of them shares a bucket.
        let client_id = if client_id.len() <= 64 { client_id } else { "" };
        spend(&self.client_failures, &format!("{} {client_id} {}", instance.id, address_key(ip)))
    }

    /// Throws away buckets that are full again; called once a minute.
    pub fn sweep(&self) {
        let all = [
            &self.attempts,
            &self.backend_development,
            &self.backend_production,
            &self.authorize,
            &self.clients,
            &self.client_failures,
        ];
        for bucket in all {
            bucket.retain_recent();
        }
    }
}

fn spend(bucket: &DefaultKeyedRateLimiter<String>, key: &String) -> Result<(), Problem> {
    bucket.check_key(key).map_err(|refused| {
        let wait = refused.wait_time_from(DefaultClock::default().now());
        Problem::new(code::TOO_MANY_REQUESTS).retry_after(u32::try_from(wait.as_secs()).unwrap_or(60) + 1)
    })
}

/// An address as a key: IPv4 as it is (also when mapped into IPv6), IPv6 by its /64.
fn address_key(ip: Option<IpAddr>) -> String {
    match ip.map(|ip| ip.to_canonical()) {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("{:x?}", address.segments().get(..4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_a_budget() {
        let key = |text: &str| address_key(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
    }
}
