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

/// True for `http(s)` origins on `localhost`, `*.localhost`, 127.0.0.0/8 and `[::1]`, on any port.
pub fn is_loopback_origin(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    matches!(url.scheme(), "http" | "https") && url.host().is_some_and(|host| is_loopback_host(&host.to_owned()))
}

/// True for names and addresses that never leave the machine (RFC 6761 section 6.3).
pub fn is_loopback_host(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
