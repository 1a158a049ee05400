//! Resource indicators (RFC 8707): which API a token is meant for.

use super::error::{ErrorCode, OAuthError};
use super::redirect_uri::{Destination, PlainHttp, check_registrable};

/// The most resources one request may name.
pub const MAX_COUNT: usize = 10;
/// The longest resource, in bytes.
pub const MAX_LENGTH: usize = 512;

const REFUSED: OAuthError = OAuthError::new(ErrorCode::InvalidTarget, "the resource is not one that is served here");

/// Reads the `resource` values of a request: `https` anywhere, and `http` on loopback where `plain_http` says so.
/// They are stored as sent, trailing slash included (MCP clients send origins with one).
///
/// # Errors
/// `invalid_target`.
pub fn read<'a>(values: impl Iterator<Item = &'a str>, loopback: Loopback) -> Result<Vec<String>, OAuthError> {
    let mut resources = Vec::<String>::new();
    for value in values {
        let destination = check_registrable(value, PlainHttp::LoopbackOnly).map_err(|_| REFUSED)?;
        let allowed = match destination {
            Destination::Web => true,
            Destination::Loopback => loopback == Loopback::Allowed,
            Destination::PrivateUse => false,
        };
        if !allowed || value.len() > MAX_LENGTH || resources.len() == MAX_COUNT {
            return Err(REFUSED);
        }
        if !resources.iter().any(|known| known == value) {
            resources.push(value.to_owned());
        }
    }
    Ok(resources)
}

/// Checks that every one of `requested` was granted.
///
/// # Errors
/// `invalid_target`.
pub fn check_within(requested: &[String], granted: &[String]) -> Result<(), OAuthError> {
    if requested.iter().all(|resource| granted.contains(resource)) { Ok(()) } else { Err(REFUSED) }
}

/// Whether `http` on loopback is a resource (development instances).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// It is.
    Allowed,
    /// It is not.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_and_on_development_loopback() {
        for (value, loopback, allowed) in [
            ("https://api.example", Loopback::Refused, true),
            ("https://api.example/", Loopback::Refused, true),
            ("https://api.example/mcp?x", Loopback::Refused, true),
            ("https://api.example/#f", Loopback::Refused, false),
            ("http://localhost:3000/mcp", Loopback::Allowed, true),
            ("http://localhost:3000/mcp", Loopback::Refused, false),
            ("http://api.example", Loopback::Allowed, false),
            ("urn:example:api", Loopback::Allowed, false),
            ("api", Loopback::Allowed, false),
        ] {
            let answer = read([value].into_iter(), loopback);
            assert_eq!(answer.is_ok(), allowed, "{value}");
        }
        let many: Vec<_> = (0..=MAX_COUNT).map(|n| format!("https://api{n}.example")).collect();
        assert!(read(many.iter().map(String::as_str).take(MAX_COUNT), Loopback::Refused).is_ok());
        assert!(read(many.iter().map(String::as_str), Loopback::Refused).is_err());
    }

    #[test]
    fn may_only_be_narrowed() {
        let granted = ["https://a.example/".to_owned(), "https://b.example".to_owned()];
        assert!(check_within(&granted[..1], &granted).is_ok());
        assert!(check_within(&["https://a.example".to_owned()], &granted).is_err());
    }
}
