//! `server.trusted_proxies` and `server.client_ip_header`: whose claim about a client's address counts.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderName;
use ipnet::IpNet;

/// One entry of `server.trusted_proxies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// `loopback`: this machine.
    Loopback,
    /// `private`: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) and fc00::/7 (RFC 4193).
    Private,
    /// A network or a single address.
    Network(IpNet),
}

/// An entry that is none of the forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a network, an address, \"loopback\" or \"private\"")]
pub struct TrustedError(String);

impl FromStr for Trusted {
    type Err = TrustedError;

    fn from_str(text: &str) -> Result<Self, TrustedError> {
        match text.trim() {
            "loopback" => Ok(Self::Loopback),
            "private" => Ok(Self::Private),
            text => {
                let network = text.parse::<IpNet>().map(|network| network.trunc());
                let address = || text.parse::<IpAddr>().map(|address| address.to_canonical().into());
                network.or_else(|_| address()).map(Self::Network).map_err(|_| TrustedError(text.to_owned()))
            }
        }
    }
}

impl Trusted {
    fn covers(self, address: IpAddr) -> bool {
        match self {
            Self::Loopback => address.is_loopback(),
            Self::Private => is_private(address),
            Self::Network(network) => network.contains(&address),
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// The reverse proxies in front of this server.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Who they are; nobody by default.
    pub trusted: Vec<Trusted>,
    /// The header in which they name the client, where it is another than `X-Forwarded-For`.
    pub header: Option<HeaderName>,
}

impl Proxies {
    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|entry| entry.covers(address))
    }

    /// Whether `address`, which is none of them, may be one that was forgotten: it is near.
    pub fn may_lack(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !self.trusts(address) && (address.is_loopback() || is_private(address))
    }
}

/// The name of a header that holds one address and nothing else.
///
/// # Errors
/// What is accepted, in words.
pub(super) fn header(text: &str) -> Result<HeaderName, &'static str> {
    const FORM: &str = "the name of a header that holds one address: cf-connecting-ip, x-real-ip";
    let name = text.parse::<HeaderName>().map_err(|_| FORM)?;
    // The first is read anyway, the second has a form of its own.
    if ["x-forwarded-for", "forwarded"].contains(&name.as_str()) { Err(FORM) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(entries: &[&str]) -> Proxies {
        Proxies { trusted: entries.iter().map(|entry| entry.parse().unwrap()).collect(), header: None }
    }

    fn trusted(entries: &[&str], address: &str) -> bool {
        proxies(entries).trusts(address.parse().unwrap())
    }

    #[test]
    fn an_entry_covers_what_it_names() {
        for (entry, yes, no) in [
            ("loopback", "127.9.9.9", "10.0.0.1"),
            ("loopback", "::1", "::2"),
            ("private", "172.31.255.255", "172.32.0.0"),
            ("private", "fd00::1", "fe80::1"),
            ("private", "192.168.7.7", "127.0.0.1"),
            ("203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
            ("203.0.113.77/24", "::ffff:203.0.113.9", "::ffff:203.0.114.9"),
            ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.8"),
            ("203.0.113.9", "203.0.113.9", "203.0.113.8"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ] {
            assert!(trusted(&[entry], yes), "{entry} {yes}");
            assert!(!trusted(&[entry], no), "{entry} {no}");
        }
        assert!(!trusted(&[], "127.0.0.1"), "nobody is trusted by default");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for entry in ["", "proxy.internal", "10.0.0.0/33", "10.0.0", "*", "10.0.0.1:80", "localhost"] {
            assert!(entry.parse::<Trusted>().is_err(), "{entry}");
        }
        for name in ["", "x forwarded", "Forwarded", "X-Forwarded-For"] {
            assert!(header(name).is_err(), "{name}");
        }
        assert_eq!(header("CF-Connecting-IP").unwrap().as_str(), "cf-connecting-ip");
    }

    #[test]
    fn a_near_peer_may_have_been_forgotten() {
        let may_lack = |entries: &[&str], address: &str| proxies(entries).may_lack(address.parse().unwrap());
        assert!(may_lack(&[], "127.0.0.1") && may_lack(&[], "10.1.2.3"));
        assert!(!may_lack(&[], "203.0.113.9"), "anybody in the world can send the header");
        assert!(!may_lack(&["loopback"], "127.0.0.1"));
    }
}
