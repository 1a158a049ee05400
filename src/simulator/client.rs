//! Reading a request of the client: the body in exactly the provider's encoding, and the client's authentication in
//! exactly the provider's place.

use super::shapes::TokenFault;
use super::{Request, Simulated};
use crate::crypto::{ExposeSecret, secret::same};
use crate::upstream::descriptor::{ClientAuth, Encoding};
use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use std::collections::BTreeMap;
use url::form_urlencoded;

/// The members of a token request.
pub(super) type Members = BTreeMap<String, String>;

impl Simulated<'_> {
    /// The members of the body; `None` if it is not written as this provider wants it.
    pub(super) fn read_body(&self, request: Request<'_>) -> Option<Members> {
        read_body(request, self.descriptor().token.encoding)
    }

    /// The same members, once the client has authenticated itself.
    pub(super) fn authenticate_client(
        &self,
        request: Request<'_>,
        members: Option<Members>,
    ) -> Result<Members, TokenFault> {
        let token = &self.descriptor().token;
        let members = members.ok_or(TokenFault::Encoding)?;
        if !self.is_our_client(request, &members, token.client_auth) {
            return Err(TokenFault::Client);
        }
        // The first demanded header is named; our providers demand one.
        let mut demanded = token.headers.keys().filter(|name| self.shapes.demands(name));
        let missing = demanded.find(|name| !request.headers.contains_key(name.as_str()));
        match missing {
            Some(_) => Err(TokenFault::Header),
            None => Ok(members),
        }
    }

    /// True if id and secret are right and stand where this provider wants them, and nowhere else.
    pub(super) fn is_our_client(&self, request: Request<'_>, members: &Members, auth: ClientAuth) -> bool {
        let in_body = |name: &str| members.get(name).map(String::as_str);
        let id_param = self.descriptor().authorize.client_id_param.as_str();
        let header = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (id, secret) = match auth {
            ClientAuth::ClientSecretBasic if in_body("client_secret").is_none() => match header.and_then(basic) {
                Some((id, secret)) => (id, secret),
                None => return false,
            },
            ClientAuth::ClientSecretPost if header.is_none() => match (in_body(id_param), in_body("client_secret")) {
                (Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
                _ => return false,
            },
            _ => return false,
        };
        let Some(expected) = &self.provider.client_secret else { return false };
        id == self.provider.client_id && same(secret.as_bytes(), expected.expose_secret().as_bytes())
    }
}

/// The body's members; `None` if it is not written as it must be.
pub(super) fn read_body(request: Request<'_>, encoding: Encoding) -> Option<Members> {
    let content_type = request.headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    match encoding {
        Encoding::Form if content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
            Some(form_urlencoded::parse(request.body).into_owned().collect())
        }
        Encoding::Json if content_type.eq_ignore_ascii_case("application/json") => {
            serde_json::from_slice(request.body).ok()
        }
        _ => None,
    }
}

/// Id and secret of HTTP Basic, each form-encoded (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decode(id), decode(secret)))
}

fn decode(text: &str) -> String {
    form_urlencoded::parse(format!("x={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_decoded_twice() {
        let header = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        assert_eq!(basic(&header("a%3Ab:c+d%2B")), Some(("a:b".to_owned(), "c d+".to_owned())));
        for bad in ["Basic", "Basic !", "Bearer YTpi", &header("nocolon")] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }
}
