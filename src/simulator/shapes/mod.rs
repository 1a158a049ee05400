//! What each provider's answers look like: one file per provider, behind one trait. Shapes are the providers', values
//! are invented. Nothing here decides whether a request is good; it only says what the provider would write.

mod github;
mod google;
mod notion;

use super::faults::Call;
use super::people::Person;
use serde_json::{Value, json};
use uuid::Uuid;

/// A status and a JSON body.
pub type Written = (u16, Value);

/// The providers that can be simulated. A new one adds its file and its line here.
const ALL: &[&dyn Shapes] = &[&github::GitHub, &google::Google, &notion::Notion];

/// The shapes of a provider; `None` if it cannot be simulated.
pub fn of(slug: &str) -> Option<&'static dyn Shapes> {
    ALL.iter().copied().find(|shapes| shapes.slug() == slug)
}

/// What a person approved, with everything an answer may show of it.
#[derive(Debug)]
pub struct Grant<'a> {
    /// The client.
    pub client_id: &'a str,
    /// Who approved.
    pub person: &'a Person,
    /// Their id at this provider.
    pub provider_user_id: &'a str,
    /// What was granted, in the names by which it was requested.
    pub scopes: &'a [String],
    /// The same as the provider's answers spell it.
    pub scope_text: &'a str,
    /// `nonce` of the authorization request.
    pub nonce: Option<&'a str>,
    /// `prompt` of the authorization request.
    pub prompt: Option<&'a str>,
    /// Seconds since 1970 on the instance's clock.
    pub now: i64,
    /// Life of an access token in seconds, where it ends.
    pub access_ttl: Option<u32>,
    /// A fresh UUID, for providers that number their answers.
    pub request_id: Uuid,
}

impl Grant<'_> {
    /// True if `scope` was granted.
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    /// An id that is stable for this person and `what`.
    pub fn id_of(&self, what: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{what}/{}/{}", self.client_id, self.provider_user_id).as_bytes())
    }
}

/// The tokens of one answer.
#[derive(Debug)]
pub struct Tokens<'a> {
    /// The access token.
    pub access: &'a str,
    /// The refresh token, if one is given.
    pub refresh: Option<&'a str>,
    /// The signed id_token, if one is given.
    pub id: Option<&'a str>,
}

/// When a refresh token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The person consents to this client for the first time, or was asked again (`prompt=consent`).
    Given,
    /// The person consented before and was not asked.
    Remembered,
}

/// Why a token call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// The body is not in the provider's encoding.
    Encoding,
    /// The client's authentication is absent, wrong, or in another place than the provider wants it.
    Client,
    /// A header that the provider demands is absent.
    Header,
    /// The grant type is unknown.
    GrantType,
    /// A needed parameter is absent.
    Parameter(&'static str),
    /// The code is unknown, used or too old.
    Code,
    /// The redirect URI is not that of the request.
    RedirectUri,
    /// The PKCE verifier is absent or does not fit.
    Verifier,
    /// The refresh token is unknown, used or revoked.
    RefreshToken,
}

/// Why a call to the provider's API is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// No token, or one that is unknown, expired or revoked.
    Token,
    /// A header that the provider demands is absent.
    Header,
}

/// What a provider writes.
pub trait Shapes: Sync {
    /// Whose shapes.
    fn slug(&self) -> &'static str;

    /// The id of a person, from a seed that is stable for this provider and person.
    fn user_id(&self, seed: Uuid) -> String;

    /// An authorization code around random characters.
    fn code(&self, random: &str) -> String;

    /// An access token around random characters.
    fn access_token(&self, random: &str) -> String;

    /// A refresh token around random characters.
    fn refresh_token(&self, random: &str) -> String;

    /// Whether an approval brings a refresh token.
    fn gives_refresh_token(&self, _consent: Consent) -> bool {
        true
    }

    /// Whether a request without this header of the descriptor is refused. Where not, the answer is another one.
    fn demands(&self, _header: &str) -> bool {
        true
    }

    /// Whether the token endpoint answers a request with this `Accept` by form-encoded text.
    fn writes_form(&self, _accept: Option<&str>) -> bool {
        false
    }

    /// Parameters of the callback beside `code` and `state`.
    fn callback(&self, _grant: &Grant<'_>) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The claims of the id_token; `None` if none is given. `at_hash` belongs to the access token of the same answer.
    fn id_token(&self, _grant: &Grant<'_>, _at_hash: &str) -> Option<Value> {
        None
    }

    /// The token answer.
    fn tokens(&self, grant: &Grant<'_>, tokens: &Tokens<'_>) -> Value;

    /// The answer of the API at `path` (without leading slash) to the holder of a good token; `None` if there is
    /// nothing.
    fn api(&self, path: &str, grant: &Grant<'_>) -> Option<Written>;

    /// A refused token call.
    fn token_fault(&self, fault: TokenFault, _request_id: Uuid) -> Written {
        rfc6749(fault)
    }

    /// A refused API call.
    fn api_fault(&self, fault: ApiFault, request_id: Uuid) -> Written;

    /// An error with this code at a call, for no reason of ours (`fail=error:<code>`).
    fn error(&self, _call: Call, code: &str, _request_id: Uuid) -> Written {
        let status = if code == "invalid_client" { 401 } else { 400 };
        (status, json!({ "error": code, "error_description": SIMULATED }))
    }
}

/// What a provider says about an error that it was configured to have.
const SIMULATED: &str = "This error was asked for.";

/// RFC 6749 section 5.2, for providers without codes of their own.
fn rfc6749(fault: TokenFault) -> Written {
    let (status, error) = match fault {
        TokenFault::Client => (401, "invalid_client"),
        TokenFault::GrantType => (400, "unsupported_grant_type"),
        TokenFault::Encoding | TokenFault::Header | TokenFault::Parameter(_) => (400, "invalid_request"),
        TokenFault::Code | TokenFault::RedirectUri | TokenFault::Verifier | TokenFault::RefreshToken => {
            (400, "invalid_grant")
        }
    };
    (status, json!({ "error": error, "error_description": describe(fault) }))
}

/// What is wrong, in a sentence.
fn describe(fault: TokenFault) -> String {
    match fault {
        TokenFault::Encoding => "The body is not in the expected encoding.".to_owned(),
        TokenFault::Client => "Client authentication failed.".to_owned(),
        TokenFault::Header => "A header is missing.".to_owned(),
        TokenFault::GrantType => "The grant type is not supported.".to_owned(),
        TokenFault::Parameter(name) => format!("The parameter {name} is missing."),
        TokenFault::Code => "The code is unknown, used or expired.".to_owned(),
        TokenFault::RedirectUri => "The redirect URI is not that of the authorization request.".to_owned(),
        TokenFault::Verifier => "The code verifier does not fit.".to_owned(),
        TokenFault::RefreshToken => "The refresh token is unknown, used or revoked.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::catalogue::Catalogue;

    #[test]
    fn every_provider_of_the_catalogue_can_be_simulated() {
        for descriptor in Catalogue::load().unwrap().all() {
            assert!(of(&descriptor.slug).is_some(), "{}", descriptor.slug);
        }
    }
}
