//! The SDK's cookies: names, attributes and values.

use aws_lc_rs::digest;
use base64::Engine;
use cookie::{Cookie, SameSite};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::model::instance::Instance;
use crate::model::problem::{Error, Result};

/// The client token: host-only, `HttpOnly`.
pub const CLIENT: &str = "__client";
/// Seconds of the last change of the sign-in state, or 0.
pub const CLIENT_UAT: &str = "__client_uat";
/// The session token; the app's cookie, set by us only through handshake directives.
pub const SESSION: &str = "__session";
/// The handshake's answer as a token.
pub const HANDSHAKE: &str = "__clerk_handshake";
/// The handshake's answer behind a nonce.
pub const HANDSHAKE_NONCE: &str = "__clerk_handshake_nonce";

const YEAR: i64 = 365 * 86_400;

/// The value of the cookie `name`.
pub fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| Cookie::split_parse(line.to_owned())).flatten();
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Adds a `Set-Cookie` line to an answer.
///
/// # Errors
/// A fault if the line cannot be a header.
pub fn set(headers: &mut HeaderMap, line: &str) -> Result<()> {
    headers.append(SET_COOKIE, HeaderValue::from_str(line).map_err(Error::internal)?);
    Ok(())
}

/// The suffix that tells apart the cookies of several instances on one host: the first eight characters of the
/// base64url SHA-1 of the publishable key.
pub fn suffix(publishable_key: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, publishable_key.as_bytes());
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    encoded.chars().take(8).collect()
}

/// The registrable domain of the instance's host, which all apps of a production instance share; none on loopback and
/// IP addresses, where a `Domain` would be refused.
fn shared_domain(instance: &Instance) -> Option<String> {
    let url = url::Url::parse(&instance.origin).ok()?;
    let url::Host::Domain(host) = url.host()? else { return None };
    if instance.answers_on_loopback() {
        return None;
    }
    psl::domain_str(host).map(str::to_owned)
}

/// A cookie of ours with the attributes that all share.
fn cookie(instance: &Instance, name: String, value: String, seconds: i64) -> Cookie<'static> {
    let mut cookie = Cookie::new(name, value);
    cookie.set_path("/");
    cookie.set_same_site(SameSite::Lax);
    cookie.set_max_age(cookie::time::Duration::seconds(seconds));
    if instance.is_https() {
        cookie.set_secure(true);
    }
    cookie
}

/// `Set-Cookie` for the client token.
pub fn client(instance: &Instance, token: &str) -> String {
    let mut cookie = cookie(instance, CLIENT.to_owned(), token.to_owned(), YEAR);
    cookie.set_http_only(true);
    cookie.to_string()
}

/// `Set-Cookie` for `__client_uat`, plain and suffixed: `0` signed out, else seconds.
pub fn client_uat(instance: &Instance, seconds: i64) -> [String; 2] {
    let suffixed = format!("{CLIENT_UAT}_{}", suffix(&instance.publishable_key));
    [CLIENT_UAT.to_owned(), suffixed].map(|name| {
        let mut cookie = cookie(instance, name, seconds.to_string(), YEAR);
        if let Some(domain) = shared_domain(instance) {
            cookie.set_domain(domain);
        }
        cookie.to_string()
    })
}

/// `Set-Cookie` for the session token as a handshake directive: host-only on the app's host, plain and suffixed. An
/// empty token deletes the cookies.
pub fn session(instance: &Instance, token: &str) -> [String; 2] {
    let suffixed = format!("{SESSION}_{}", suffix(&instance.publishable_key));
    let seconds = if token.is_empty() { 0 } else { YEAR };
    [SESSION.to_owned(), suffixed].map(|name| cookie(instance, name, token.to_owned(), seconds).to_string())
}

/// `Set-Cookie` for a handshake's answer (one minute), or, with an empty value, for its removal.
pub fn handshake(instance: &Instance, name: &str, value: &str) -> String {
    let seconds = if value.is_empty() { 0 } else { 60 };
    let mut cookie = cookie(instance, name.to_owned(), value.to_owned(), seconds);
    cookie.set_http_only(true);
    if let Some(domain) = shared_domain(instance) {
        cookie.set_domain(domain);
    }
    cookie.to_string()
}
