//! Where a browser may be sent when a flow ends. Everything is decided when the attempt is created, on the parsed
//! address, by the parser whose spelling later goes into `Location`.

use url::{Host, Url};

use super::instance::Instance;
use super::problem::{Code, Problem, code};
use super::reason::Reason;

/// The longest redirect address accepted, in characters.
pub const MAX_LENGTH: usize = 2048;
/// The same for our own authorization endpoint, whose address carries a client's whole request (its `state` alone may
/// have 4096 bytes, each up to three characters when encoded).
const MAX_OWN_LENGTH: usize = 14 * 1024;

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

/// An address that passed the rules; spelled as it will stand in `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTarget(String);

impl RedirectTarget {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, owned.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        Url::parse(&self.0).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }

    /// Parses `raw` (relative to `base` where it is relative) and checks it against the instance's origins.
    ///
    /// # Errors
    /// The codes of behaviour.md section 2.2, under `param`.
    pub fn parse(instance: &Instance, raw: &str, base: Option<&str>, param: &str) -> Result<Self, Problem> {
        let is_own = raw.starts_with(&instance.url("/oauth/authorize"));
        if raw.chars().count() > if is_own { MAX_OWN_LENGTH } else { MAX_LENGTH } {
            return Err(invalid(code::REDIRECT_URL_TOO_LONG, "long", param));
        }
        let url = resolve(raw, base, param)?;
        if PROHIBITED.contains(&url.scheme()) {
            return Err(invalid(code::PROHIBITED_REDIRECT_URL, "scheme", param));
        }
        if !matches!(url.scheme(), "http" | "https") {
            // Native targets need the instance's list of redirect URLs, which comes with native applications.
            return Err(code::RESOURCE_MISSMATCH.because(Reason::NativeRefused, "unlisted").param(param));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(code::INVALID_REDIRECT_URL, "unparseable", param));
        }
        let origin = url.origin().ascii_serialization();
        if !instance.is_own_origin(&origin) {
            let words = format!("{origin} is not one of this instance's origins.");
            let refused = code::REDIRECT_URL_DOMAIN_MISMATCH.because(Reason::RedirectUnlisted, "api");
            return Err(refused.param(param).explain(words));
        }
        Ok(Self(url.into()))
    }
}

/// Parses an absolute address, or a relative one against `base`.
fn resolve(raw: &str, base: Option<&str>, param: &str) -> Result<Url, Problem> {
    // WHATWG parsers drop tabs and line breaks and trim controls: a spelling that needs it is somebody's trick.
    if raw.chars().any(|c| c.is_control() || c == '\\') || raw.trim() != raw || raw.is_empty() {
        return Err(invalid(code::INVALID_REDIRECT_URL, "unparseable", param));
    }
    match Url::parse(raw) {
        // `https:evil` and `https:/evil` are accepted by browsers as absolute; nobody writes them honestly.
        Ok(url) if matches!(url.scheme(), "http" | "https") && !has_authority(raw) => {
            Err(invalid(code::INVALID_REDIRECT_URL, "unparseable", param))
        }
        Ok(url) => Ok(url),
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let base = base.and_then(|base| Url::parse(base).ok());
            let base = base.ok_or_else(|| {
                invalid(code::FORM_PARAM_FORMAT_INVALID, "relative", param)
                    .explain("A relative redirect URL needs a request with an Origin header.")
            })?;
            base.join(raw).map_err(|_| invalid(code::INVALID_REDIRECT_URL, "unparseable", param))
        }
        Err(_) => Err(invalid(code::INVALID_REDIRECT_URL, "unparseable", param)),
    }
}

fn invalid(code: Code, detail: &'static str, param: &str) -> Problem {
    code.because(Reason::RedirectInvalid, detail).param(param)
}

/// True if the scheme is followed by exactly `//` and a host.
fn has_authority(raw: &str) -> bool {
    raw.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'))
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

/// `url` with `key=value` appended to its query; the existing query and the fragment stay as they are.
pub fn with_query(url: &str, key: &str, value: &str) -> String {
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let separator = if rest.contains('?') { '&' } else { '?' };
    let pair = url::form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish();
    match fragment {
        Some(fragment) => format!("{rest}{separator}{pair}#{fragment}"),
        None => format!("{rest}{separator}{pair}"),
    }
}
