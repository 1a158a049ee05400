//! OAuth errors: a registered code, and a description that is ours alone.

use std::borrow::Cow;

use crate::model::reason::{Reason, Why};

/// The registered error codes in use (RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750, RFC 7009, RFC 8707, OpenID Connect
/// Core section 3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// Client authentication failed, or there is no such client.
    InvalidClient,
    /// The code or refresh token is unknown, used, expired, revoked or somebody else's.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The token endpoint does not know this grant.
    UnsupportedGrantType,
    /// Only `code` is answered.
    UnsupportedResponseType,
    /// The scope is malformed, unknown or more than the client may have.
    InvalidScope,
    /// The `resource` is malformed or not served here (RFC 8707).
    InvalidTarget,
    /// The person said no.
    AccessDenied,
    /// `prompt=none`, and nobody suitable is signed in.
    LoginRequired,
    /// `prompt=none`, and the person would have to be asked.
    ConsentRequired,
    /// `prompt=none`, and something else would have to be asked.
    InteractionRequired,
    /// An account would have to be chosen.
    AccountSelectionRequired,
    /// `request` objects are not read.
    RequestNotSupported,
    /// `request_uri` is not read, and never fetched.
    RequestUriNotSupported,
    /// The access token is not live (RFC 6750).
    InvalidToken,
    /// The access token covers nothing that was asked for (RFC 6750).
    InsufficientScope,
    /// This kind of token cannot be revoked (RFC 7009).
    UnsupportedTokenType,
    /// Our storage is busy or away; trying again may help.
    TemporarilyUnavailable,
    /// Our fault.
    ServerError,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// An error as a client meets it.
///
/// The description is a constant of the program: nothing of the request is ever echoed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", .code.as_str())]
pub struct OAuthError {
    /// The registered code.
    pub code: ErrorCode,
    description: &'static str,
    why: Option<Why>,
}

impl OAuthError {
    /// An error with a sentence for the client's developer.
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description, why: None }
    }

    /// The same, for a reason that the code alone does not tell.
    #[must_use]
    pub const fn because(self, reason: Reason, detail: &'static str) -> Self {
        Self { why: Some(Why::new(reason, detail)), ..self }
    }

    /// Why, for the flow log; `None` for refusals that belong to no flow.
    pub fn why(&self) -> Option<Why> {
        let by_code = match self.code {
            ErrorCode::InvalidToken | ErrorCode::InsufficientScope | ErrorCode::UnsupportedTokenType => {
                return self.why;
            }
            ErrorCode::InvalidClient => Why::new(Reason::ClientAuthFailed, ""),
            ErrorCode::InvalidGrant => Why::new(Reason::GrantEnded, ""),
            ErrorCode::AccessDenied => Why::new(Reason::ConsentDenied, ""),
            ErrorCode::LoginRequired
            | ErrorCode::ConsentRequired
            | ErrorCode::InteractionRequired
            | ErrorCode::AccountSelectionRequired => Why::new(Reason::InteractionNeeded, ""),
            ErrorCode::TemporarilyUnavailable => Why::new(Reason::Internal, "storage"),
            ErrorCode::ServerError => Why::new(Reason::Internal, ""),
            _ => Why::new(Reason::ClientRequestInvalid, self.code.as_str()),
        };
        Some(self.why.unwrap_or(by_code))
    }

    /// The description, in the characters that RFC 6749 section 5.2 allows (others become spaces).
    pub fn description(&self) -> Cow<'static, str> {
        let allowed = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        if self.description.chars().all(allowed) {
            return Cow::Borrowed(self.description);
        }
        Cow::Owned(self.description.chars().map(|c| if allowed(c) { c } else { ' ' }).collect())
    }
}

/// `invalid_request` with `description`.
pub const fn invalid_request(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

/// `invalid_grant` with `description`.
pub const fn invalid_grant(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidGrant, description)
}

/// `invalid_client`, always the same: a caller must not learn whether the id or the secret was wrong.
pub const INVALID_CLIENT: OAuthError = OAuthError::new(ErrorCode::InvalidClient, "client authentication failed");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_hold_only_allowed_characters() {
        let error = invalid_request("a \"quoted\" \\ line\r\nand an é");
        assert_eq!(error.description(), "a  quoted    line  and an  ");
        assert_eq!(invalid_request("plain words").description(), "plain words");
    }
}
