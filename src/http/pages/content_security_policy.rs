//! The headers of a page. `form-action` also governs the redirects that follow a form, so a
//! page names every place its forms may end at, and each of them was validated before it got here.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use crate::model::oauth::redirect_uri;
use crate::model::url_rules::is_web;

static EVERY_PAGE: [(HeaderName, &str); 8] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self), \
         publickey-credentials-create=(self)",
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
    (VARY, "Cookie, Accept-Language"),
];
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A place a form may lead to, as a policy spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormTarget(String);

impl FormTarget {
    /// The origin of an address that the server itself configured: a provider's authorization endpoint, the home page.
    pub fn of_url(url: &str) -> Option<Self> {
        let url = url::Url::parse(url).ok().filter(is_web)?;
        Self::checked(url.origin().ascii_serialization())
    }

    /// The origin, or the scheme, of a redirect URI that matched one that its client registered.
    pub fn of_redirect_uri(matched: &str) -> Option<Self> {
        Self::checked(redirect_uri::policy_source(matched)?)
    }

    /// `None` for what the grammar of policies cannot say (IPv6 addresses): the form is then answered by a page that
    /// sends the browser on. Anything that could begin another directive would be a bug before it got here.
    fn checked(source: String) -> Option<Self> {
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'/' | b'-' | b'+' | b'_');
        source.bytes().all(is_plain).then_some(Self(source))
    }

    /// As it stands in the policy.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a page may lie inside a popup sign-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opener {
    /// It may: no `Cross-Origin-Opener-Policy`, which would cut `window.opener` for good.
    #[default]
    Shared,
    /// It never does: the profile and the console.
    Cut,
}

/// Whether search engines may list a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Robots {
    /// Not this one.
    #[default]
    Away,
    /// The start page of a production instance.
    Welcome,
}

/// Which policy a page has.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// That of every page: forms lead to ourselves and to these places.
    Page(&'a [FormTarget]),
    /// That of the page that posts an authorization response to a client. `None`:
    /// the place cannot be spelled; the page has one form, whose address was registered.
    FormPost(Option<&'a FormTarget>),
}

impl Policy<'_> {
    fn to_header(self) -> String {
        let targets = match self {
            Self::Page(targets) => targets,
            Self::FormPost(target) => {
                let action = target.map_or(String::new(), |target| format!("form-action {}; ", target.0));
                return format!(
                    "default-src 'none'; script-src 'self'; style-src 'self'; {action}frame-ancestors 'none'; \
                     base-uri 'none'"
                );
            }
        };
        let mut spelled: Vec<&str> = Vec::new();
        for target in targets {
            if !spelled.contains(&target.as_str()) {
                spelled.push(target.as_str());
            }
        }
        let targets: String = spelled.into_iter().map(|target| format!(" {target}")).collect();
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
             connect-src 'self'; form-action 'self'{targets}; frame-ancestors 'none'; base-uri 'none'; \
             require-trusted-types-for 'script'"
        )
    }
}

/// Puts the headers of a page into `headers`. `Strict-Transport-Security` is the guard's.
pub fn apply(headers: &mut HeaderMap, policy: Policy<'_>, opener: Opener, robots: Robots) {
    for (name, value) in &EVERY_PAGE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Never fails: a policy holds plain characters only.
    if let Ok(policy) = HeaderValue::from_str(&policy.to_header()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if robots == Robots::Away {
        headers.insert(ROBOTS, HeaderValue::from_static("noindex, nofollow"));
    }
    if opener == Opener::Cut {
        headers.insert(OPENER, HeaderValue::from_static("same-origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form_action(uris: &[&str]) -> String {
        let targets: Vec<_> = uris.iter().filter_map(|uri| FormTarget::of_redirect_uri(uri)).collect();
        let policy = Policy::Page(&targets).to_header();
        policy.split("; ").find(|part| part.starts_with("form-action")).unwrap().to_owned()
    }

    #[test]
    fn names_each_place_once_and_ourselves_always() {
        assert_eq!(form_action(&[]), "form-action 'self'");
        let uris =
            ["https://app.example/cb?x=1", "https://app.example/other", "http://127.0.0.1:8080/cb", "com.app:/cb"];
        assert_eq!(form_action(&uris), "form-action 'self' https://app.example http://127.0.0.1:8080 com.app:");
    }

    #[test]
    fn what_a_policy_cannot_say_is_left_out() {
        assert_eq!(FormTarget::of_redirect_uri("http://[::1]:8080/cb"), None);
        assert_eq!(FormTarget::of_url("https://a.example; script-src *"), None);
        assert_eq!(FormTarget::of_url("javascript:alert(1)"), None);
        assert_eq!(FormTarget::of_url("https://a.example:443/x").unwrap().as_str(), "https://a.example");
    }

    #[test]
    fn the_form_post_page_leads_nowhere_else() {
        let target = FormTarget::of_url("https://app.example/cb").unwrap();
        assert_eq!(
            Policy::FormPost(Some(&target)).to_header(),
            "default-src 'none'; script-src 'self'; style-src 'self'; form-action https://app.example; \
             frame-ancestors 'none'; base-uri 'none'"
        );
    }
}
