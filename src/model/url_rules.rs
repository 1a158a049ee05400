//! What holds for every address, whoever names it: schemes that never receive anything, and names of the machine itself.

use url::{Host, Url};

/// Schemes that would run or show something in the name of the page that sends the browser there.
const PROHIBITED: &[&str] = &[
    "about",
    "blob",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// True for a scheme that may never receive anything.
pub fn is_prohibited(scheme: &str) -> bool {
    PROHIBITED.contains(&scheme)
}

/// How an address is reached, as far as that decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `https`
    Https,
    /// `http`
    Http,
    /// Any other: an application's own, or one that is no place on the web.
    NotWeb,
}

impl Scheme {
    /// The scheme of that name, in any case.
    pub fn of_name(name: &str) -> Self {
        if name.eq_ignore_ascii_case("https") {
            Self::Https
        } else if name.eq_ignore_ascii_case("http") {
            Self::Http
        } else {
            Self::NotWeb
        }
    }

    /// The scheme of an address.
    pub fn of(url: &Url) -> Self {
        Self::of_name(url.scheme())
    }
}

/// True for addresses on the web: `https` and `http`.
pub fn is_web(url: &Url) -> bool {
    Scheme::of(url) != Scheme::NotWeb
}

/// True for `http(s)` origins on `localhost`, `*.localhost`, 127.0.0.0/8 and `[::1]`, on any port.
pub fn is_loopback_origin(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    is_web(&url) && url.host().is_some_and(|host| is_loopback_host(&host.to_owned()))
}

/// True for names and addresses that never leave the machine (RFC 6761 section 6.3).
pub fn is_loopback_host(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
