//! Redirect URIs: what may be registered, what matches, and how the browser is sent there.
//!
//! Matching is byte for byte (RFC 9700 section 2.1) but for the port of a loopback URI (RFC 8252 section 7.3); the
//! response address is the presented string with parameters appended, never a parsed and re-written one.

use crate::model::url_rules::Scheme;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest redirect URI, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// The most redirect URIs of one application.
pub const MAX_COUNT: usize = 50;

/// Schemes that run code, read files or reach other protocols.
const FORBIDDEN_SCHEMES: [&str; 14] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "about",
    "filesystem",
    "view-source",
    "ws",
    "wss",
    "ftp",
    "intent",
    "jar",
    "mhtml",
];
/// The hosts whose port a native app may choose at run time (RFC 8252 section 7.3; MCP clients use `localhost` too).
const LOOPBACK_PREFIXES: [&str; 3] = ["http://127.0.0.1", "http://[::1]", "http://localhost"];

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unregistrable {
    /// Empty or over [`MAX_LENGTH`].
    #[error("must have between 1 and {MAX_LENGTH} characters")]
    Length,
    /// Spaces, control characters, backslashes, quotes, `*` or anything outside ASCII.
    #[error("holds a character that is not allowed in a redirect URI")]
    Characters,
    /// A `#`, even an empty one.
    #[error("must not have a fragment")]
    Fragment,
    /// No scheme, or nothing after it.
    #[error("must be an absolute URI")]
    NotAbsolute,
    /// A scheme that no redirect may use.
    #[error("uses a scheme that is never allowed")]
    Scheme,
    /// An `http` or `https` URI with an empty or impossible host or port, or with a user name.
    #[error("must name a valid host and nothing else before its path")]
    Authority,
    /// `http` beyond loopback on an instance that serves real people.
    #[error("must use https; http is accepted for loopback addresses only")]
    Insecure,
}

/// Where plain `http` beyond loopback may be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// Development instances.
    Anywhere,
    /// Production instances.
    LoopbackOnly,
}

/// What lies behind a registrable redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A web site.
    Web,
    /// An app on the person's own machine.
    Loopback,
    /// An app behind a private-use scheme (`com.example.app:/cb`, `myapp://cb`).
    PrivateUse,
}

impl Destination {
    /// True if another app on the machine can receive what is sent there (RFC 8252 section 8.6).
    pub fn can_be_imitated(self) -> bool {
        self != Self::Web
    }
}

/// Checks a redirect URI that is to be registered and says what lies behind it.
///
/// # Errors
/// [`Unregistrable`], the first rule it breaks.
pub fn check_registrable(uri: &str, plain_http: PlainHttp) -> Result<Destination, Unregistrable> {
    if uri.is_empty() || uri.len() > MAX_LENGTH {
        return Err(Unregistrable::Length);
    }
    if uri.contains('#') {
        return Err(Unregistrable::Fragment);
    }
    let ours = |byte: u8| matches!(byte, 0x21..=0x7e) && !b"\\*\"<>^`{|}".contains(&byte);
    if !uri.bytes().all(ours) {
        return Err(Unregistrable::Characters);
    }
    let (scheme, rest) = split_scheme(uri).ok_or(Unregistrable::NotAbsolute)?;
    if FORBIDDEN_SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(Unregistrable::Scheme);
    }
    let scheme = Scheme::of_name(scheme);
    if scheme == Scheme::NotWeb {
        return Ok(Destination::PrivateUse);
    }
    let host = host_of(rest).ok_or(Unregistrable::Authority)?;
    match (scheme, is_loopback(host), plain_http) {
        (Scheme::Http, true, _) => Ok(Destination::Loopback),
        (Scheme::Http, false, PlainHttp::LoopbackOnly) => Err(Unregistrable::Insecure),
        _ => Ok(Destination::Web),
    }
}

/// What lies behind a URI that matched a registered one.
pub fn destination(uri: &str) -> Destination {
    check_registrable(uri, PlainHttp::Anywhere).unwrap_or(Destination::PrivateUse)
}

/// True if `presented` is allowed by the `registered` URI.
pub fn matches(registered: &str, presented: &str) -> bool {
    if registered == presented {
        return true;
    }
    match (without_loopback_port(registered), without_loopback_port(presented)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => false,
    }
}

/// A loopback URI as the part before its port and the part behind; `None` for every other URI. The host must end where
/// it seems to end: `http://localhost.evil.test` and `http://localhost:1@evil.test` are not loopback.
fn without_loopback_port(uri: &str) -> Option<(&'static str, &str)> {
    LOOPBACK_PREFIXES.into_iter().find_map(|prefix| {
        let rest = uri.strip_prefix(prefix)?;
        let rest = match rest.strip_prefix(':') {
            None => rest,
            Some(with_port) => {
                let (port, rest) = with_port.split_at(with_port.bytes().take_while(u8::is_ascii_digit).count());
                port.parse::<u16>().ok()?;
                rest
            }
        };
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((prefix, rest))
    })
}

/// `uri` with `fields` added to its query in form encoding. What is there stays untouched and first.
pub fn with_response(uri: &str, fields: &[(&str, &str)]) -> String {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let separator = match uri {
        _ if uri.ends_with(['?', '&']) => "",
        _ if uri.contains('?') => "&",
        _ => "?",
    };
    format!("{uri}{separator}{encoded}")
}

/// What a Content-Security-Policy calls the place `uri` leads to: `https://host:port`, or `scheme:` for apps.
/// Scheme and authority hold no character with a meaning in a policy (checked at registration).
pub fn policy_source(uri: &str) -> Option<String> {
    let (scheme, rest) = split_scheme(uri)?;
    if Scheme::of_name(scheme) == Scheme::NotWeb {
        return Some(format!("{scheme}:"));
    }
    host_of(rest)?;
    let authority = rest.trim_start_matches('/').split(['/', '?']).next()?;
    Some(format!("{scheme}://{authority}"))
}

/// The host `uri` leads to, as text for a person; `None` for private-use schemes.
pub fn host(uri: &str) -> Option<&str> {
    let (scheme, rest) = split_scheme(uri)?;
    if Scheme::of_name(scheme) == Scheme::NotWeb { None } else { host_of(rest) }
}

/// The registrable domain `uri` leads to (Public Suffix List); `None` for addresses, `localhost` and apps.
pub fn registrable_domain(uri: &str) -> Option<String> {
    let host = host(uri)?.to_ascii_lowercase();
    if is_loopback(&host) || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    psl::domain_str(&host).map(str::to_owned)
}

/// `scheme` and what follows its colon.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let mut letters = scheme.bytes();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (begins && goes_on && !rest.is_empty()).then_some((scheme, rest))
}

/// The host of `//host:port/path?query`, brackets kept; `None` if host or port is impossible or a user name is there.
fn host_of(rest: &str) -> Option<&str> {
    let authority = rest.strip_prefix("//")?.split(['/', '?']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => {
            let (address, port) = address.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (authority.get(..address.len() + 2)?, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let possible = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            (!host.is_empty() && !host.starts_with('.') && host.bytes().all(possible)).then_some((host, port))?
        }
    };
    let port_is_possible = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    };
    port_is_possible.then_some(host)
}

/// True for `127.0.0.0/8`, `[::1]` and `localhost`.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "redirect_uri_tests.rs"]
mod tests;
