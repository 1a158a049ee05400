//! The address of whoever asks: the peer's, or what trusted proxies say of it. Limits,
//! the audit log and sessions' activities go by it; addresses that are handed out never do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use http::{HeaderMap, HeaderName};

use crate::config::proxies::Proxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client behind `peer`. What an address says that is not a trusted proxy's counts for nothing.
pub fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.trusts(peer) {
        if headers.contains_key(FORWARDED_FOR) && proxies.may_lack(peer) {
            forgotten(peer);
        }
        return peer;
    }
    named(headers, proxies).unwrap_or_else(|| forwarded(peer, headers, proxies))
}

/// The address in `server.client_ip_header`; two are none.
fn named(headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut values = headers.get_all(proxies.header.as_ref()?).iter();
    let value = values.next()?.to_str().ok()?;
    entry(value).filter(|_| values.next().is_none())
}

/// From the right, each proxy's claim about who asked it; ends at the first that is not trusted, at the last good one
/// where an entry is no address, or at the beginning.
fn forwarded(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let mut client = peer;
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        let Ok(line) = line.to_str() else { return client };
        for text in line.rsplit(',') {
            let Some(before) = entry(text) else { return client };
            client = before;
            if !proxies.trusts(client) {
                return client;
            }
        }
    }
    client
}

/// An address, with or without brackets and port.
fn entry(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = plain.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// All its clients would share one address: said once.
fn forgotten(peer: IpAddr) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            %peer,
            "X-Forwarded-For of a near peer is ignored; if it is your reverse proxy, list it in server.trusted_proxies: \
             until then its clients share one address and its limits"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let trusted = ["127.0.0.2", "10.0.0.0/8", "fd00::/8"].map(|entry| entry.parse().unwrap());
        Proxies { trusted: trusted.into(), header: None }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn client(peer: &str, lines: &[&str], expected: &str) {
        let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let found = behind(peer.parse().unwrap(), &headers(&lines), &proxies());
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn forwarded_header_of_untrusted_peer_is_ignored() {
        client("203.0.113.9", &["198.51.100.7"], "203.0.113.9");
        client("127.0.0.1", &["198.51.100.7"], "127.0.0.1");
        client("127.0.0.2", &[], "127.0.0.2");
    }

    #[test]
    fn the_walk_ends_at_the_first_that_is_not_trusted() {
        client("127.0.0.2", &["198.51.100.7"], "198.51.100.7");
        client("::ffff:127.0.0.2", &["198.51.100.7"], "198.51.100.7");
        // What the client wrote itself stands on the left.
        client("127.0.0.2", &["6.6.6.6, 198.51.100.7"], "198.51.100.7");
        client("127.0.0.2", &["6.6.6.6, 198.51.100.7, 10.1.2.3,10.4.5.6"], "198.51.100.7");
        client("127.0.0.2", &["6.6.6.6", "198.51.100.7, 10.1.2.3", "10.4.5.6"], "198.51.100.7");
        client("127.0.0.2", &["2001:db8::7, fd00::1"], "2001:db8::7");
        client("127.0.0.2", &["::ffff:198.51.100.7"], "198.51.100.7");
        client("127.0.0.2", &["198.51.100.7:4711"], "198.51.100.7");
        client("127.0.0.2", &["[2001:db8::7]:4711, [fd00::1]"], "2001:db8::7");
        client("127.0.0.2", &["10.9.9.9, 10.1.2.3"], "10.9.9.9");
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_last_good_one() {
        client("127.0.0.2", &[""], "127.0.0.2");
        client("127.0.0.2", &["unknown"], "127.0.0.2");
        client("127.0.0.2", &["198.51.100.7, unknown, 10.1.2.3"], "10.1.2.3");
        client("127.0.0.2", &["198.51.100.7,, 10.1.2.3"], "10.1.2.3");
        client("127.0.0.2", &["198.51.100.7, fe80::1%eth0"], "127.0.0.2");
        client("127.0.0.2", &["198.51.100.7\u{e4}"], "127.0.0.2");
    }

    #[test]
    fn a_header_counts_where_it_is_named_and_from_whom_it_may() {
        let mut proxies = proxies();
        let lines = [("x-real-ip", "198.51.100.7"), ("x-forwarded-for", "198.51.100.8"), ("forwarded", "for=1.2.3.4")];
        let found = |peer: &str, lines: &[(&str, &str)], proxies: &Proxies| {
            behind(peer.parse().unwrap(), &headers(lines), proxies).to_string()
        };
        assert_eq!(found("127.0.0.2", &lines, &proxies), "198.51.100.8");
        proxies.header = Some(HeaderName::from_static("x-real-ip"));
        assert_eq!(found("127.0.0.2", &lines, &proxies), "198.51.100.7");
        assert_eq!(found("127.0.0.1", &lines, &proxies), "127.0.0.1");
        assert_eq!(found("127.0.0.2", &lines[1..], &proxies), "198.51.100.8", "where it is missing");
        let twice = [("x-real-ip", "198.51.100.7"), ("x-real-ip", "198.51.100.9")];
        assert_eq!(found("127.0.0.2", &twice, &proxies), "127.0.0.2");
    }
}
