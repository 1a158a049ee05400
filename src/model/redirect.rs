//! Where a browser may be sent when a flow ends. Everything is decided when the attempt is created, on the parsed
//! address, by the parser whose spelling later goes into `Location`.

use url::Url;

use super::instance::Instance;
use super::native_url;
use super::problem::{Code, Problem, code};
use super::reason::Reason;
use super::url_rules::{is_loopback_origin, is_prohibited, is_web};

/// The longest redirect address accepted, in characters.
pub const MAX_LENGTH: usize = 2048;
/// The same for our own authorization endpoint, whose address carries a client's whole request (its `state` alone may
/// have 4096 bytes, each up to three characters when encoded).
const MAX_OWN_LENGTH: usize = 14 * 1024;
/// The same for the page that ends a sign-in in a popup, whose address carries those of the app encoded three times.
const MAX_POPUP_LENGTH: usize = 8192;

/// The page that ends a sign-in in a popup.
pub const POPUP_PAGE: &str = "/popup-callback";
/// The parameter that names the session which a link or a callback began, where no cookie tells.
pub const CREATED_SESSION: &str = "__clerk_created_session";

/// What an address is given beside the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPayload {
    /// Nothing: the browser's own cookie tells who comes.
    Nothing,
    /// The nonce that signs a native application in: worth a session to whoever reads it.
    Nonce,
}

/// What the rules say before the instance's list of native targets is asked.
pub enum CheckedRedirect {
    /// It is allowed.
    Allowed(RedirectTarget),
    /// It is allowed if it is listed.
    IfListed {
        /// The address.
        target: RedirectTarget,
        /// What it is listed by.
        key: String,
        /// The refusal, if it is not.
        otherwise: Problem,
    },
}

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

    /// It leads to a web page, not to a native application.
    pub fn is_web(&self) -> bool {
        self.0.starts_with("https:") || self.0.starts_with("http:")
    }

    /// Parses `raw` (relative to `base` where it is relative) and checks it against the instance's origins.
    ///
    /// # Errors
    /// The code of what is wrong with the request, under `param`.
    pub fn parse(instance: &Instance, raw: &str, base: Option<&str>, param: &str) -> Result<Self, Problem> {
        Self::judge(instance, raw, base, param, RedirectPayload::Nothing)?.unless_to_be_listed()
    }

    /// The address in the query of the page that ends a sign-in in a popup, which carries those of the app.
    ///
    /// # Errors
    /// The code of what is wrong with the request.
    pub fn parse_return(instance: &Instance, raw: &str) -> Result<Self, Problem> {
        check_length(raw, MAX_POPUP_LENGTH, "return_url")?;
        Self::judge_short(instance, raw, None, "return_url", RedirectPayload::Nothing)?.unless_to_be_listed()
    }

    /// The same where a native application may be sent, too, or the browser on its behalf.
    ///
    /// # Errors
    /// The code of what is wrong with the request, under `param`.
    pub fn judge(
        instance: &Instance,
        raw: &str,
        base: Option<&str>,
        param: &str,
        handed: RedirectPayload,
    ) -> Result<CheckedRedirect, Problem> {
        check_length(raw, longest(instance, raw), param)?;
        Self::judge_short(instance, raw, base, param, handed)
    }

    fn judge_short(
        instance: &Instance,
        raw: &str,
        base: Option<&str>,
        param: &str,
        handed: RedirectPayload,
    ) -> Result<CheckedRedirect, Problem> {
        let refused = |code: Code, detail| invalid(code, detail, param);
        let url = resolve(raw, base, param)?;
        if is_prohibited(url.scheme()) {
            return Err(refused(code::PROHIBITED_REDIRECT_URL, "scheme"));
        }
        let unlisted = || code::RESOURCE_MISSMATCH.because(Reason::NativeRefused, "unlisted").param(param);
        let if_listed = |url: Url, otherwise| {
            Ok(CheckedRedirect::IfListed { key: native_url::key(&url), target: Self(url.into()), otherwise })
        };
        if !is_web(&url) {
            return if_listed(url, unlisted());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(code::INVALID_REDIRECT_URL, "unparseable"));
        }
        let origin = url.origin().ascii_serialization();
        if instance.is_own_origin(&origin) {
            let may_read = handed == RedirectPayload::Nothing || reads_nonce(instance, &url, &origin);
            return if may_read { Ok(CheckedRedirect::Allowed(Self(url.into()))) } else { if_listed(url, unlisted()) };
        }
        let words = format!("{origin} is not one of this instance's origins.");
        let otherwise = code::REDIRECT_URL_DOMAIN_MISMATCH.because(Reason::RedirectUnlisted, "api");
        if_listed(url, otherwise.param(param).explain(words))
    }
}

impl CheckedRedirect {
    /// The address, where the list is not asked.
    fn unless_to_be_listed(self) -> Result<RedirectTarget, Problem> {
        match self {
            Self::Allowed(target) => Ok(target),
            Self::IfListed { otherwise, .. } => Err(otherwise),
        }
    }
}

/// True for pages of the instance's own origins that may be handed a nonce without standing on the list: any other could
/// leak what it is called with. The popup page passes no nonce on, and a developer's own
/// machine has no list.
fn reads_nonce(instance: &Instance, url: &Url, origin: &str) -> bool {
    is_popup_page(instance, url.as_str()) || (instance.allows_loopback_origins() && is_loopback_origin(origin))
}

fn check_length(raw: &str, longest: usize, param: &str) -> Result<(), Problem> {
    if raw.chars().count() > longest {
        return Err(invalid(code::REDIRECT_URL_TOO_LONG, "long", param));
    }
    Ok(())
}

/// How long an address may be: longer for those of ours that carry others.
fn longest(instance: &Instance, raw: &str) -> usize {
    if raw.starts_with(&instance.url("/oauth/authorize")) {
        return MAX_OWN_LENGTH;
    }
    if is_popup_page(instance, raw) { MAX_POPUP_LENGTH } else { MAX_LENGTH }
}

/// True for the page that ends a sign-in in a popup: on the `accounts.` sibling, or on the instance's own origin.
pub fn is_popup_page(instance: &Instance, url: &str) -> bool {
    let page = url.split(['?', '#']).next().unwrap_or_default();
    let sibling = instance.accounts_origin().map(|origin| format!("{origin}{POPUP_PAGE}"));
    page == instance.url(POPUP_PAGE) || sibling.is_some_and(|sibling| page == sibling)
}

/// Parses an absolute address, or a relative one against `base`.
fn resolve(raw: &str, base: Option<&str>, param: &str) -> Result<Url, Problem> {
    // WHATWG parsers drop tabs and line breaks and trim controls: a spelling that needs it is somebody's trick.
    if raw.chars().any(|c| c.is_control() || c == '\\') || raw.trim() != raw || raw.is_empty() {
        return Err(invalid(code::INVALID_REDIRECT_URL, "unparseable", param));
    }
    match Url::parse(raw) {
        // `https:evil` and `https:/evil` are accepted by browsers as absolute; nobody writes them honestly.
        Ok(url) if is_web(&url) && !has_authority(raw) => {
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
