//! What a token request asks for, read in the order of RFC 6749 sections 4.1.3 and 6: recognised parameters once,
//! `grant_type`, (who the client is: [`super::client_auth`]), then the grant's own parameters.

use super::error::{ErrorCode, OAuthError, invalid_grant, invalid_request};
use super::parameters::Parameters;
use super::pkce::{CodeChallenge, challenge_of};
use super::resource;
use super::scope::Scopes;
use super::token::{Kind, Token};
use crate::model::reason::Reason;
use crate::model::text_enum::text_enum;

/// Parameters of the token endpoint that may occur once; `resource` may repeat.
const RECOGNISED: [&str; 10] = [
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

text_enum! {
    /// The grants we know.
    pub enum GrantType {
        /// RFC 6749 section 4.1.3
        AuthorizationCode = "authorization_code",
        /// RFC 6749 section 6
        RefreshToken = "refresh_token",
    }
}

/// A grant we know, with its parameters read.
#[derive(Debug)]
pub enum GrantRequest {
    /// `authorization_code`
    Code(CodeRequest),
    /// `refresh_token`
    Refresh(RefreshRequest),
}

/// A request to redeem an authorization code (RFC 6749 section 4.1.3).
#[derive(Debug)]
pub struct CodeRequest {
    /// The code; `None` if what was sent cannot be one of ours.
    pub code: Option<Token>,
    /// The redirect URI, if it was sent.
    pub redirect_uri: Option<String>,
    /// What the verifier is checked against.
    pub verifier: PresentedVerifier,
    /// Resources the access token is to be narrowed to; empty means all that were granted.
    pub resources: Vec<String>,
}

/// The PKCE side of a redemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedVerifier {
    /// No verifier was sent: right only for a code without a challenge (downgrade: RFC 9700 section 4.8.2).
    None,
    /// The verifier answers this challenge.
    Challenge(CodeChallenge),
    /// The verifier is malformed and answers no challenge.
    Impossible,
}

/// A request to rotate a refresh token (RFC 6749 section 6).
#[derive(Debug)]
pub struct RefreshRequest {
    /// The refresh token; `None` if what was sent cannot be one of ours.
    pub refresh_token: Option<Token>,
    /// A narrower scope for the new access token.
    pub scopes: Option<Scopes>,
    /// Narrower resources for the new access token; empty means those of the grant.
    pub resources: Vec<String>,
}

/// The `grant_type` of a token request, after the checks that come before client authentication; `None` for one that we
/// do not know.
///
/// # Errors
/// `invalid_request` for a repeated parameter or a missing `grant_type`.
pub fn grant_type(form: &Parameters) -> Result<Option<GrantType>, OAuthError> {
    for name in RECOGNISED {
        form.one(name)?;
    }
    form.single("grant_type").map(GrantType::parse).ok_or(invalid_request("grant_type is missing"))
}

/// Reads the grant's own parameters; to be answered only to a client that has authenticated.
///
/// # Errors
/// `unsupported_grant_type`, `invalid_request` for a missing parameter, `invalid_scope`.
pub fn read(form: &Parameters) -> Result<GrantRequest, OAuthError> {
    let resources: Vec<String> = form.all("resource").map(str::to_owned).collect();
    match grant_type(form)? {
        Some(GrantType::AuthorizationCode) => {
            let code = form.single("code").ok_or(invalid_request("code is missing"))?;
            Ok(GrantRequest::Code(CodeRequest {
                code: Token::parse(Kind::Code, code),
                redirect_uri: form.single("redirect_uri").map(str::to_owned),
                verifier: read_verifier(form.single("code_verifier")),
                resources,
            }))
        }
        Some(GrantType::RefreshToken) => {
            let token = form.single("refresh_token").ok_or(invalid_request("refresh_token is missing"))?;
            Ok(GrantRequest::Refresh(RefreshRequest {
                refresh_token: Token::parse(Kind::Refresh, token),
                scopes: form.single("scope").map(Scopes::parse).transpose()?.filter(|scopes| !scopes.is_empty()),
                resources,
            }))
        }
        None => Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "this grant type is not offered")),
    }
}

fn read_verifier(verifier: Option<&str>) -> PresentedVerifier {
    match verifier.map(challenge_of) {
        None => PresentedVerifier::None,
        Some(Some(challenge)) => PresentedVerifier::Challenge(challenge),
        Some(None) => PresentedVerifier::Impossible,
    }
}

/// Everything the failure path knows about a code that was not redeemed.
#[derive(Clone, Copy, Debug)]
pub struct CodeFacts<'a> {
    /// The code belongs to the client that asks.
    pub is_own: bool,
    /// It was redeemed before.
    pub is_consumed: bool,
    /// It is past its time.
    pub is_expired: bool,
    /// Wrong attempts so far.
    pub failures: i16,
    /// The redirect URI it was sent to.
    pub redirect_uri: &'a str,
    /// The challenge it was made with.
    pub challenge: Option<&'a str>,
    /// The resources it was made for.
    pub resources: &'a [String],
}

/// Wrong attempts after which a code is dead.
pub const MAX_FAILURES: i16 = 5;

/// What a refused redemption does to the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing: a stranger's attempt, an expired or dead code.
    Nothing,
    /// The attempt is counted.
    CountFailure,
    /// The grant made from the code is revoked: somebody has it twice (RFC 6749 section 4.1.2).
    RevokeGrant,
}

/// Why a code was refused, in the order of section 8.3, and what follows from it.
pub fn refusal(request: &CodeRequest, facts: Option<CodeFacts<'_>>) -> (OAuthError, Consequence) {
    const GONE: OAuthError = invalid_grant("the code is unknown, expired or used").because(Reason::GrantEnded, "code");
    let Some(facts) = facts else { return (GONE, Consequence::Nothing) };
    if !facts.is_own {
        return (GONE.because(Reason::GrantMismatch, "client"), Consequence::Nothing);
    }
    if facts.is_consumed {
        return (GONE.because(Reason::GrantReused, "code"), Consequence::RevokeGrant);
    }
    if facts.is_expired || facts.failures >= MAX_FAILURES {
        return (GONE, Consequence::Nothing);
    }
    let redirect_uri = match &request.redirect_uri {
        Some(uri) if uri != facts.redirect_uri => {
            Err(invalid_grant("redirect_uri is not the one of the authorization request"))
        }
        None if facts.challenge.is_none() => Err(invalid_grant("redirect_uri is missing")),
        _ => Ok(()),
    };
    if let Err(error) = redirect_uri {
        return (error.because(Reason::GrantMismatch, "redirect_uri"), Consequence::CountFailure);
    }
    let presented = match &request.verifier {
        PresentedVerifier::None => None,
        PresentedVerifier::Challenge(challenge) => Some(challenge.as_str()),
        PresentedVerifier::Impossible => Some(""),
    };
    if presented != facts.challenge {
        let detail = match (presented, facts.challenge) {
            (None, _) => "absent",
            (_, None) => "unexpected",
            _ => "wrong",
        };
        let error = invalid_grant("code_verifier does not fit the code").because(Reason::PkceFailed, detail);
        return (error, Consequence::CountFailure);
    }
    if let Err(error) = resource::check_within(&request.resources, facts.resources) {
        return (error, Consequence::Nothing);
    }
    // The user was banned, or the redirect URI taken off the application, since the code was made.
    (GONE.because(Reason::GrantEnded, "user"), Consequence::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "5PA0123456789012345678901234567890123456789012";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn form(text: &str) -> Parameters {
        Parameters::parse(text.as_bytes()).unwrap()
    }

    fn code_request(text: &str) -> CodeRequest {
        match read(&form(&format!("grant_type=authorization_code&code={CODE}&{text}"))) {
            Ok(GrantRequest::Code(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn repeated_parameters_come_first() {
        for name in RECOGNISED {
            let doubled = form(&format!("grant_type=x&{name}=a&{name}=a"));
            assert_eq!(grant_type(&doubled).unwrap_err().code, ErrorCode::InvalidRequest, "{name}");
        }
        assert!(grant_type(&form("grant_type=x&resource=a&resource=b")).is_ok());
    }

    #[test]
    fn errors_follow_the_order() {
        for (text, code) in [
            ("", ErrorCode::InvalidRequest),
            ("grant_type=", ErrorCode::InvalidRequest),
            ("grant_type=password", ErrorCode::UnsupportedGrantType),
            ("grant_type=Authorization_Code&code=x", ErrorCode::UnsupportedGrantType),
            ("grant_type=authorization_code", ErrorCode::InvalidRequest),
            ("grant_type=refresh_token&code=x", ErrorCode::InvalidRequest),
            ("grant_type=refresh_token&refresh_token=x&scope=%C3%A9", ErrorCode::InvalidScope),
        ] {
            assert_eq!(read(&form(text)).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn code_request_with_verifier_is_read() {
        let request =
            code_request(&format!("redirect_uri=https%3A%2F%2Fa.example&code_verifier={VERIFIER}&resource=r"));
        assert!(request.code.is_some());
        assert_eq!(request.redirect_uri.as_deref(), Some("https://a.example"));
        assert_eq!(request.verifier, PresentedVerifier::Challenge(CodeChallenge::parse(CHALLENGE).unwrap()));
        assert_eq!(code_request("").verifier, PresentedVerifier::None);
        assert_eq!(code_request("code_verifier=short").verifier, PresentedVerifier::Impossible);
    }

    fn facts() -> CodeFacts<'static> {
        CodeFacts {
            is_own: true,
            is_consumed: false,
            is_expired: false,
            failures: 0,
            redirect_uri: "https://a.example",
            challenge: Some(CHALLENGE),
            resources: &[],
        }
    }

    #[test]
    fn a_resource_that_was_not_granted_leaves_the_code_usable() {
        let request = code_request(&format!("code_verifier={VERIFIER}&resource=https%3A%2F%2Fa.example"));
        let (error, consequence) = refusal(&request, Some(facts()));
        assert_eq!((error.code, consequence), (ErrorCode::InvalidTarget, Consequence::Nothing));
    }

    #[test]
    fn a_stranger_changes_nothing_and_a_replay_revokes() {
        let request = code_request("");
        let consequence = |facts| refusal(&request, facts).1;
        assert_eq!(consequence(None), Consequence::Nothing);
        assert_eq!(consequence(Some(CodeFacts { is_own: false, is_consumed: true, ..facts() })), Consequence::Nothing);
        assert_eq!(consequence(Some(CodeFacts { is_consumed: true, ..facts() })), Consequence::RevokeGrant);
        assert_eq!(consequence(Some(CodeFacts { is_expired: true, ..facts() })), Consequence::Nothing);
        assert_eq!(consequence(Some(CodeFacts { failures: MAX_FAILURES, ..facts() })), Consequence::Nothing);
    }

    #[test]
    fn wrong_attempts_are_counted() {
        let right = format!("code_verifier={VERIFIER}");
        let without_challenge = CodeFacts { challenge: None, ..facts() };
        for (text, facts, consequence) in [
            ("redirect_uri=https%3A%2F%2Fa.example%2F", facts(), Consequence::CountFailure),
            ("", facts(), Consequence::CountFailure),
            ("code_verifier=short", facts(), Consequence::CountFailure),
            (right.as_str(), facts(), Consequence::Nothing),
            ("", without_challenge, Consequence::CountFailure),
            (
                &format!("redirect_uri=https%3A%2F%2Fa.example&code_verifier={VERIFIER}"),
                without_challenge,
                Consequence::CountFailure,
            ),
            ("redirect_uri=https%3A%2F%2Fa.example", without_challenge, Consequence::Nothing),
        ] {
            assert_eq!(refusal(&code_request(text), Some(facts)).1, consequence, "{text}");
        }
    }
}
