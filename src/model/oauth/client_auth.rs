//! How a client says who it is at the token, introspection and revocation endpoints (RFC 6749 section 2.3, RFC 9700
//! section 2.5). This reads what was presented; whether it is true is decided in the statement that acts on it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::error::{INVALID_CLIENT, OAuthError, invalid_request};
use super::parameters::{Parameters, form_decode};

/// The longest client id or secret that is looked at, in bytes.
const MAX_LENGTH: usize = 1024;

/// What a client presented.
#[derive(Debug)]
pub struct PresentedClient {
    /// The client id, not empty.
    pub client_id: String,
    /// The secret; `None` is how a public client introduces itself.
    pub secret: Option<SecretString>,
    /// How it came.
    pub method: Method,
}

/// The way credentials were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `Authorization: Basic`; a refusal then carries a Basic challenge.
    Basic,
    /// In the form body.
    Body,
}

/// A refusal, and how the client had tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error to answer.
    pub error: OAuthError,
    /// [`Method::Basic`] asks for a `WWW-Authenticate: Basic` challenge.
    pub method: Method,
}

/// Reads the credentials of a request from its `Authorization` header and its form.
///
/// # Errors
/// 401 `invalid_client` when nothing usable was presented, 400 `invalid_request` when two methods were mixed.
pub fn presented_client(authorization: Option<&str>, form: &Parameters) -> Result<PresentedClient, Refused> {
    let method = if authorization.is_some() { Method::Basic } else { Method::Body };
    let refused = |error| Refused { error, method };
    let field = |name| form.one(name).map_err(|repeated| refused(OAuthError::from(repeated)));
    let (client_id, secret) = (field("client_id")?, field("client_secret")?);
    let asserts = field("client_assertion")?.is_some() || field("client_assertion_type")?.is_some();
    let Some(header) = authorization else {
        if asserts {
            return Err(refused(INVALID_CLIENT));
        }
        let client_id = client_id.filter(|id| id.len() <= MAX_LENGTH).ok_or(refused(INVALID_CLIENT))?;
        return Ok(PresentedClient { client_id: client_id.to_owned(), secret: secret.map(SecretString::from), method });
    };
    if secret.is_some() || asserts {
        return Err(refused(invalid_request("more than one way of client authentication was used")));
    }
    let (basic_id, basic_secret) = basic(header).ok_or(refused(INVALID_CLIENT))?;
    if client_id.is_some_and(|id| id != basic_id) {
        return Err(refused(invalid_request("the header and the body name different clients")));
    }
    Ok(PresentedClient { client_id: basic_id, secret: basic_secret, method })
}

/// Id and secret of a Basic header, each form-decoded (RFC 6749 section 2.3.1). An empty secret is none.
fn basic(header: &str) -> Option<(String, Option<SecretString>)> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 4 * MAX_LENGTH {
        return None;
    }
    let decoded = STANDARD.decode(credentials.trim_start_matches(' ')).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (id, secret) = decoded.split_at_checked(colon)?;
    let (id, secret) = (form_decode(id)?, form_decode(secret.get(1..)?)?);
    let usable = !id.is_empty() && id.len() <= MAX_LENGTH && secret.len() <= MAX_LENGTH;
    usable.then(|| (id, (!secret.is_empty()).then(|| SecretString::from(secret))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oauth::error::ErrorCode;
    use secrecy::ExposeSecret;

    fn present(header: Option<&str>, form: &str) -> Result<(String, Option<String>), ErrorCode> {
        presented_client(header, &Parameters::parse(form.as_bytes()).unwrap())
            .map(|client| (client.client_id, client.secret.map(|secret| secret.expose_secret().to_owned())))
            .map_err(|refused| refused.error.code)
    }

    fn basic_of(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    fn some(id: &str, secret: &str) -> Result<(String, Option<String>), ErrorCode> {
        Ok((id.to_owned(), Some(secret.to_owned())))
    }

    #[test]
    fn basic_and_post_credentials_are_read() {
        assert_eq!(present(Some(&basic_of("abc:s3cret")), ""), some("abc", "s3cret"));
        assert_eq!(present(Some(&basic_of("a%3Ab+c:s%2Bx")), ""), some("a:b c", "s+x"));
        assert_eq!(present(Some(&basic_of("abc:a:b")), ""), some("abc", "a:b"));
        assert_eq!(present(Some(&basic_of("abc:s").replacen("Basic ", "bAsIc   ", 1)), ""), some("abc", "s"));
        assert_eq!(present(Some(&basic_of("abc:s")), "client_id=abc"), some("abc", "s"));
        assert_eq!(present(None, "client_id=abc&client_secret=s"), some("abc", "s"));
        assert_eq!(present(None, "client_id=abc"), Ok(("abc".to_owned(), None)));
        assert_eq!(present(Some(&basic_of("abc:")), ""), Ok(("abc".to_owned(), None)));
    }

    #[test]
    fn nothing_usable_is_invalid_client() {
        for form in ["", "client_secret=s", "client_id=", "client_id=abc&client_assertion=x"] {
            assert_eq!(present(None, form), Err(ErrorCode::InvalidClient), "{form}");
        }
        let no_colon = basic_of("abc");
        let no_id = basic_of(":s");
        let bad_encoding = basic_of("abc:%zz");
        let long = basic_of(&format!("abc:{}", "x".repeat(MAX_LENGTH + 1)));
        for header in ["Basic", "Basic ", "Basic %%%", "Bearer abc", "", &no_colon, &no_id, &bad_encoding, &long] {
            assert_eq!(present(Some(header), "client_id=abc"), Err(ErrorCode::InvalidClient), "{header}");
        }
    }

    #[test]
    fn basic_and_post_credentials_together_are_refused() {
        let header = basic_of("abc:s");
        for form in ["client_secret=s", "client_assertion=x", "client_id=other", "client_id=abc&client_id=abc"] {
            assert_eq!(present(Some(&header), form), Err(ErrorCode::InvalidRequest), "{form}");
        }
        assert_eq!(present(None, "client_id=a&client_secret=b&client_secret=b"), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn a_refusal_says_whether_to_challenge() {
        let refused = |header| presented_client(header, &Parameters::default()).unwrap_err().method;
        assert_eq!(refused(Some("Basic x")), Method::Basic);
        assert_eq!(refused(None), Method::Body);
    }
}
