//! Native applications on the frontend API: the client token travels in `Authorization`, both ways, and no cookie is
//! read or set. A page cannot pretend to be one for its visitor's client: what a browser sends along by itself does not
//! count here.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::cookies;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::problem::{Error, Result};

/// The query parameter by which native SDKs say what they are.
const MARK: &str = "_is_native";

/// True for a native application: it says so, or it authenticates by a header and brings no cookie.
pub fn is_native(query: Option<&str>, headers: &HeaderMap) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let says_so = pairs.any(|(key, value)| key == MARK && ["1", "true"].contains(&value.as_ref()));
    says_so || (headers.contains_key(AUTHORIZATION) && cookies::read(headers, cookies::CLIENT).is_none())
}

/// The client token in `Authorization`: bare, as the SDKs send it, or as a bearer token.
pub fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => return None,
        None if value.eq_ignore_ascii_case("bearer") => return None,
        None => value,
    };
    (!token.is_empty()).then(|| token.to_owned())
}

/// Hands a new client token to the application.
///
/// # Errors
/// A fault if the token cannot be a header.
pub fn set_authorization(headers: &mut HeaderMap, token: &Secret) -> Result<()> {
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(Error::internal)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_cookie_makes_a_browser_unless_the_application_says_otherwise() {
        let both = headers(&[("authorization", "x"), ("cookie", "__client=y")]);
        assert!(!is_native(None, &both));
        assert!(is_native(Some("_is_native=1"), &both));
        assert!(is_native(None, &headers(&[("authorization", "")])));
        assert!(!is_native(Some("_is_native=0"), &headers(&[])));
    }

    #[test]
    fn the_token_is_bare_or_a_bearer_s() {
        assert_eq!(token(&headers(&[("authorization", "abc")])).as_deref(), Some("abc"));
        assert_eq!(token(&headers(&[("authorization", "Bearer abc")])).as_deref(), Some("abc"));
        for none in ["", " ", "Basic abc", "Bearer "] {
            assert_eq!(token(&headers(&[("authorization", none)])), None, "{none}");
        }
    }
}
