//! Where a request may go, as far as its URL tells. Pure. The URL was parsed as browsers parse it (WHATWG), so that
//! `0x7f.1` and `127。0。0。1` are the addresses they stand for.

use super::address::is_public;
use super::exchange::Failure;
use crate::model::url_rules::Scheme;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use url::{Host, Url};

/// Suffixes of names that belong to the local network (RFC 6761, RFC 6762, RFC 8375, RFC 9476 and habit).
const LOCAL_SUFFIXES: [&str; 4] = [".localhost", ".local", ".internal", ".home.arpa"];

/// One entry of `outbound.allow`. What is listed may also be reached by http and on other ports than 443.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowEntry {
    /// `loopback`: this machine by `localhost`, `*.localhost`, `127.0.0.0/8` and `::1`, on any port.
    Loopback,
    /// `10.20.0.0/16` or `10.20.30.40`: these addresses, on any port; and names with https on 443 that resolve to them.
    Network(IpNet),
    /// `10.20.30.40:8443`: this address on this port.
    Address(SocketAddr),
    /// `idp.corp` or `idp.corp:8443`: this name, whatever it resolves to, on any port or on this one.
    Host {
        /// The name in lower case and punycode, without a dot at the end.
        name: String,
        /// The only port, if one is given.
        port: Option<u16>,
    },
}

/// An entry that is none of the forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a network, address, host, host:port or \"loopback\"")]
pub struct AllowEntryError(String);

impl FromStr for AllowEntry {
    type Err = AllowEntryError;

    fn from_str(text: &str) -> Result<Self, AllowEntryError> {
        let text = text.trim();
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Address(address));
        }
        let refused = || AllowEntryError(text.to_owned());
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => (name, Some(port.parse().map_err(|_| refused())?)),
        };
        let Ok(Host::Domain(name)) = Host::parse(name.strip_suffix('.').unwrap_or(name)) else {
            return Err(refused());
        };
        // No wildcards: an entry opens what it names.
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if !is_plain || name.split('.').any(str::is_empty) {
            return Err(refused());
        }
        Ok(Self::Host { name, port })
    }
}

/// The entries of `outbound.allow`.
#[derive(Clone, Debug, Default)]
pub(super) struct AllowList(pub(super) Vec<AllowEntry>);

impl AllowList {
    /// True if a connection to this address is allowed although it is not public.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|entry| match entry {
            AllowEntry::Loopback => address.is_loopback(),
            AllowEntry::Network(network) => network.contains(&address),
            AllowEntry::Address(_) | AllowEntry::Host { .. } => false,
        })
    }

    fn covers_port(&self, address: IpAddr, port: u16) -> bool {
        let exact = AllowEntry::Address(SocketAddr::new(address.to_canonical(), port));
        self.covers(address) || self.0.contains(&exact)
    }

    fn names(&self, wanted: &str, wanted_port: u16) -> bool {
        self.0.iter().any(|entry| match entry {
            AllowEntry::Host { name, port } => name == wanted && port.is_none_or(|port| port == wanted_port),
            _ => false,
        })
    }

    fn has_loopback(&self) -> bool {
        self.0.contains(&AllowEntry::Loopback)
    }
}

/// How a request that may go out goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the public, every DNS answer filtered.
    Guarded,
    /// To a name the operator listed, wherever it is.
    Listed,
    /// To this machine.
    Loopback,
}

/// Whether the operator lets anything out that is not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EgressMode {
    /// `outbound.offline = false`.
    World,
    /// `outbound.offline = true`.
    ListOnly,
}

/// True for names that RFC 6761 section 6.3 keeps on this machine.
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Judges a URL. Returns how to reach it, and the URL with the dot at the end of the name removed.
pub(super) fn judge(mut url: Url, allow: &AllowList, egress: EgressMode) -> Result<(Route, Url), Failure> {
    let refused = |rule| Failure::Blocked { rule };
    let scheme = Scheme::of(&url);
    if scheme == Scheme::NotWeb {
        return Err(refused("scheme"));
    }
    // Credentials in a URL end up in logs, and `https://good@evil` deceives the reader.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("userinfo"));
    }
    let port = url.port_or_known_default().ok_or_else(|| refused("port"))?;
    let (route, is_listed) = match url.host().ok_or_else(|| refused("host"))? {
        Host::Ipv4(address) => judge_address(address.into(), port, allow),
        Host::Ipv6(address) => judge_address(address.into(), port, allow),
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            url.set_host(Some(&name)).map_err(|_| refused("host"))?;
            judge_name(&name, port, allow)
        }
    };
    if egress == EgressMode::ListOnly && !is_listed {
        return Err(Failure::Offline);
    }
    let route = route.map_err(refused)?;
    if !is_listed && scheme != Scheme::Https {
        return Err(refused("scheme"));
    }
    if !is_listed && port != 443 {
        return Err(refused("port"));
    }
    Ok((route, url))
}

fn judge_address(address: IpAddr, port: u16, allow: &AllowList) -> (Result<Route, &'static str>, bool) {
    if allow.covers_port(address, port) {
        let route = if address.to_canonical().is_loopback() { Route::Loopback } else { Route::Guarded };
        return (Ok(route), true);
    }
    let route = if is_public(address) { Ok(Route::Guarded) } else { Err("address") };
    (route, false)
}

fn judge_name(name: &str, port: u16, allow: &AllowList) -> (Result<Route, &'static str>, bool) {
    if allow.names(name, port) {
        return (Ok(Route::Listed), true);
    }
    if is_localhost(name) && allow.has_loopback() {
        return (Ok(Route::Loopback), true);
    }
    let is_local = !name.contains('.')
        || name.split('.').any(str::is_empty)
        || LOCAL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    (if is_local { Err("host") } else { Ok(Route::Guarded) }, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> AllowList {
        AllowList(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    fn route(url: &str, entries: &[&str]) -> Result<Route, Failure> {
        judge(url.parse().unwrap(), &allow(entries), EgressMode::World).map(|(route, _)| route)
    }

    const fn blocked(rule: &'static str) -> Result<Route, Failure> {
        Err(Failure::Blocked { rule })
    }

    #[test]
    fn reads_entries_of_every_form() {
        let read = |text: &str| text.parse::<AllowEntry>().unwrap();
        let host = |name: &str, port| AllowEntry::Host { name: name.to_owned(), port };
        assert_eq!(read("loopback"), AllowEntry::Loopback);
        assert_eq!(read("10.1.2.3/8"), AllowEntry::Network("10.0.0.0/8".parse().unwrap()));
        assert_eq!(read("fd00::/8"), AllowEntry::Network("fd00::/8".parse().unwrap()));
        assert_eq!(read("10.1.2.3"), AllowEntry::Network("10.1.2.3/32".parse().unwrap()));
        assert_eq!(read("[fd00::1]:8443"), AllowEntry::Address("[fd00::1]:8443".parse().unwrap()));
        assert_eq!(read("10.1.2.3:80"), AllowEntry::Address("10.1.2.3:80".parse().unwrap()));
        assert_eq!(read(" IDP.Corp. "), host("idp.corp", None));
        assert_eq!(read("keycloak:8080"), host("keycloak", Some(8080)));
        assert_eq!(read("bücher.example"), host("xn--bcher-kva.example", None));
        for odd in [
            "",
            "*.corp",
            "*",
            "a..b",
            "host:99999",
            "host:",
            "https://idp.corp",
            "a/b",
            "a b",
            "10.0.0.0/99",
            "0x7f.1",
        ] {
            assert!(odd.parse::<AllowEntry>().is_err(), "{odd}");
        }
    }

    #[test]
    fn without_a_list_only_public_https_on_443_passes() {
        for url in ["https://idp.example/token", "https://idp.example:443", "https://8.8.8.8", "https://[2606:4700::1]"]
        {
            assert_eq!(route(url, &[]), Ok(Route::Guarded), "{url}");
        }
        for (url, rule) in [
            ("http://idp.example", "scheme"),
            ("https://idp.example:8443", "port"),
            ("https://idp.example:80", "port"),
            ("https://user@idp.example", "userinfo"),
            ("https://:pw@idp.example", "userinfo"),
            ("ftp://idp.example", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("data:text/plain,x", "scheme"),
            ("https://intranet", "host"),
            ("https://a..b", "host"),
            ("https://idp.example..", "host"),
            ("https://10.0.0.1", "address"),
        ] {
            assert_eq!(route(url, &[]), blocked(rule), "{url}");
        }
    }

    #[test]
    fn the_dot_at_the_end_of_a_name_goes() {
        let (_, url) = judge("https://idp.example./x".parse().unwrap(), &allow(&[]), EgressMode::World).unwrap();
        assert_eq!(url.as_str(), "https://idp.example/x");
        assert_eq!(route("https://printer.local.", &[]), blocked("host"));
    }

    #[test]
    fn an_entry_opens_what_it_names_and_no_more() {
        assert_eq!(route("http://idp.corp:8080", &["idp.corp"]), Ok(Route::Listed));
        assert_eq!(route("http://keycloak:8080", &["keycloak:8080"]), Ok(Route::Listed));
        assert_eq!(route("http://keycloak:8081", &["keycloak:8080"]), blocked("host"));
        assert_eq!(route("http://other.idp.corp", &["idp.corp"]), blocked("scheme"));
        assert_eq!(route("https://10.1.2.3:8443", &["10.0.0.0/8"]), Ok(Route::Guarded));
        assert_eq!(route("https://11.1.2.3:8443", &["10.0.0.0/8"]), blocked("port"));
        assert_eq!(route("http://10.1.2.3:81", &["10.1.2.3:80"]), blocked("address"));
        assert_eq!(route("http://10.1.2.3", &["10.1.2.3:80"]), Ok(Route::Guarded));
        assert_eq!(route("https://user@idp.corp", &["idp.corp"]), blocked("userinfo"));
        assert_eq!(route("gopher://idp.corp", &["idp.corp"]), blocked("scheme"));
    }

    #[test]
    fn loopback_is_this_machine_on_any_port() {
        let list = ["loopback"];
        for url in [
            "http://127.0.0.1:4000",
            "http://localhost:4000/x",
            "http://accounts.localhost",
            "http://[::1]:9",
            "http://127.8.9.10",
            "http://[::ffff:127.0.0.1]",
            "http://0x7f.1:4000",
        ] {
            assert_eq!(route(url, &list), Ok(Route::Loopback), "{url}");
            assert!(matches!(route(url, &[]), Err(Failure::Blocked { .. })), "{url}");
        }
        for (url, rule) in [
            ("http://10.0.0.1", "address"),
            ("http://0.0.0.0", "address"),
            ("http://localhost.evil.example", "scheme"),
            ("https://evillocalhost", "host"),
        ] {
            assert_eq!(route(url, &list), blocked(rule), "{url}");
        }
    }

    #[test]
    fn offline_lets_only_the_list_out() {
        let judge =
            |url: &str, entries: &[&str]| judge(url.parse().unwrap(), &allow(entries), EgressMode::ListOnly).map(drop);
        assert_eq!(judge("https://idp.example", &[]), Err(Failure::Offline));
        assert_eq!(judge("https://8.8.8.8", &[]), Err(Failure::Offline));
        assert_eq!(judge("http://127.0.0.1:1", &["loopback"]), Ok(()));
        assert_eq!(judge("https://idp.example", &["idp.example"]), Ok(()));
    }
}
