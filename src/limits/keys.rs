//! Whom a count is for, and how long somebody waits: what all limits have in common.

use std::net::IpAddr;
use std::time::Duration;

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
