//! An address of a native application: `https`, `http` on the machine itself, or a scheme of the application's own.

use url::Url;

use super::problem::{Problem, code};
use super::url_rules::{Scheme, is_loopback_host, is_prohibited};

/// The longest address that is listed, in characters.
const MAX_LENGTH: usize = 1024;
/// The most addresses of an instance.
pub const MAX_PER_INSTANCE: i64 = 50;

/// An address that may be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeUrl {
    raw: String,
    key: String,
}

impl NativeUrl {
    /// Reads the address under `param`.
    ///
    /// # Errors
    /// `form_param_format_invalid`, `invalid_url_scheme`, `insecure_url`.
    pub fn parse(raw: &str, param: &str) -> Result<Self, Problem> {
        let refused = |code| Err(Problem::new(code).param(param));
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if raw.chars().count() > MAX_LENGTH || raw.chars().any(is_odd) {
            return refused(code::FORM_PARAM_FORMAT_INVALID);
        }
        let Ok(url) = Url::parse(raw) else { return refused(code::FORM_PARAM_FORMAT_INVALID) };
        if is_prohibited(url.scheme()) {
            return refused(code::INVALID_URL_SCHEME);
        }
        let scheme = Scheme::of(&url);
        let has_host = raw.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/') && !rest.is_empty());
        if !url.username().is_empty() || url.password().is_some() || (scheme != Scheme::NotWeb && !has_host) {
            return refused(code::FORM_PARAM_FORMAT_INVALID);
        }
        let is_here = url.host().is_some_and(|host| is_loopback_host(&host.to_owned()));
        if scheme == Scheme::Http && !is_here {
            return refused(code::INSECURE_URL);
        }
        Ok(Self { raw: raw.to_owned(), key: key(&url) })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// What it is compared by.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What addresses are compared by: exact, but for the case of scheme and host. The parser folds the host of web addresses
/// alone.
pub fn key(url: &Url) -> String {
    let text = url.as_str();
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    format!("{scheme}://{}{tail}", host.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(raw: &str) -> String {
        NativeUrl::parse(raw, "url").unwrap().key().to_owned()
    }

    #[test]
    fn scheme_and_host_are_folded_and_nothing_else() {
        assert_eq!(key_of("My-App://CallBack/Path?Q=1"), "my-app://callback/Path?Q=1");
        assert_eq!(key_of("HTTPS://App.Example/Path"), "https://app.example/Path");
        assert_ne!(key_of("my-app://cb/a"), key_of("my-app://cb/A"));
        assert_ne!(key_of("my-app://cb"), key_of("my-app://cb/"));
        assert_eq!(key_of("com.app:/cb"), "com.app:/cb");
    }

    #[test]
    fn each_fault_has_its_code() {
        let code = |raw: &str| NativeUrl::parse(raw, "url").unwrap_err().code().name;
        for raw in ["javascript:alert(1)", "JavaScript://x", "data:text/html,x", "file:///x", "intent://x", "ws://x"] {
            assert_eq!(code(raw), "invalid_url_scheme", "{raw}");
        }
        assert_eq!(code("http://app.example/cb"), "insecure_url");
        assert!(NativeUrl::parse("http://localhost:3000/cb", "url").is_ok());
        let long = format!("my-app://{}", "a".repeat(1024));
        for raw in ["/cb", "app.example", "my app://x", "https:app", "https://u@app.example/", "a:\\b", &long] {
            assert_eq!(code(raw), "form_param_format_invalid", "{raw}");
        }
    }
}
