//! What went wrong between us and a provider, as reasons that flows, pages and metrics share.

use super::descriptor::{Descriptor, ErrorMapping};
use super::path::scalar_text;
use crate::model::reason::{Failure, Reason};
use crate::model::text_enum::text_enum;
use crate::outbound::Failure as Failed;
use serde_json::Value;
use std::collections::BTreeMap;

/// During which exchange it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The provider sent the person back with an error.
    Callback,
    /// Code for tokens.
    Token,
    /// Refresh token for tokens, on a backend's request.
    Refresh,
    /// A token is revoked.
    Revoke,
    /// The issuer's keys.
    Keys,
    /// The discovery document.
    Discovery,
    /// The checks of an id_token; no exchange of its own.
    IdToken,
    /// A call that tells who somebody is.
    Profile,
}

impl Call {
    /// The name in flow steps and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Keys => "keys",
            Self::Discovery => "discovery",
            Self::IdToken => "id_token",
            Self::Profile => "userinfo",
        }
    }

    /// The code the application sees for a failure whose code depends on the call alone.
    const fn code(self) -> &'static str {
        match self {
            Self::Callback | Self::Token => "oauth_token_exchange_error",
            Self::Refresh | Self::Revoke => "oauth_token_retrieval_error",
            Self::Keys | Self::IdToken | Self::Profile => "oauth_fetch_user_error",
            Self::Discovery => "custom_oauth_provider_discovery_server_retrieval_error",
        }
    }
}

/// A provider's failure. Holds nothing secret: no body, no token, no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} at the provider's {} call ({detail})", reason.name(), call.name())]
pub struct UpstreamError {
    /// During which exchange.
    pub call: Call,
    /// Why.
    pub reason: Reason,
    /// Which of the reason's conditions, or the path of the offending member; empty where there is nothing to tell.
    pub detail: &'static str,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The provider's own code: at most 200 printable characters. For operators; never shown as HTML.
    pub provider_code: Option<String>,
    /// The provider's own texts: at most 200 printable characters. For operators; never shown as HTML.
    pub provider_message: Option<String>,
    /// A code that neither the call nor the reason tells.
    code: Option<&'static str>,
}

impl UpstreamError {
    /// A failure of which only the kind is known.
    pub const fn new(call: Call, reason: Reason, detail: &'static str) -> Self {
        Self { call, reason, detail, status: None, provider_code: None, provider_message: None, code: None }
    }

    /// No answer came, or none that may be read.
    pub(super) const fn from_failure(call: Call, failure: Failed) -> Self {
        Self::new(call, failure.reason(), failure.detail())
    }

    /// The same, with the status of the answer.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same, seen by the application as `code`.
    #[must_use]
    pub(super) const fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// What a flow stores and the application sees.
    pub const fn failure(&self) -> Failure {
        Failure::new(self.reason, self.detail, self.code())
    }

    /// The code that the application sees. A backend that asked for a token learns of no kind of failure but one.
    const fn code(&self) -> &'static str {
        if let Some(code) = self.code {
            return code;
        }
        if matches!(self.call, Call::Refresh | Call::Revoke) {
            return self.call.code();
        }
        match self.reason {
            Reason::ProviderDenied => "oauth_access_denied",
            Reason::TokenInvalidClient | Reason::ScopeRefused | Reason::CredentialsUnusable => {
                "misconfigured_oauth_provider"
            }
            Reason::CallbackUnregistered => "redirect_uri_mismatch",
            Reason::TokenInvalidGrant => "oauth_token_exchange_error",
            Reason::IdentityUnusable | Reason::IdtokenRefused | Reason::ClockSkew => "oauth_fetch_user_error",
            Reason::IssuerMismatch => match self.call {
                Call::Callback => "oauth_callback_invalid",
                _ => self.call.code(),
            },
            _ => self.call.code(),
        }
    }

    /// The provider's `error` at the callback (RFC 6749 section 4.1.2.1), with its own texts where it has such.
    pub fn at_callback(descriptor: &Descriptor, error: &str, description: Option<&str>) -> Self {
        let answer = ErrorAnswer { code: Some(error.to_owned()), message: description.map(str::to_owned) };
        answer.into_error(Call::Callback, None, &descriptor.errors)
    }
}

/// A provider's error as its answer tells it.
#[derive(Debug, Default)]
pub(super) struct ErrorAnswer {
    code: Option<String>,
    message: Option<String>,
}

impl ErrorAnswer {
    /// Reads an error in any of the shapes that providers use: RFC 6749, an object, or status and message.
    pub(super) fn read(answer: &Value) -> Self {
        let error = answer.get("error").unwrap_or(&Value::Null);
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let scalar = |value: &Value, name: &str| value.get(name).and_then(scalar_text);
        let code = error.as_str().map(str::to_owned);
        Self {
            code: code
                .or_else(|| scalar(error, "code"))
                .or_else(|| text(error, "type"))
                .or_else(|| text(answer, "status"))
                .or_else(|| scalar(answer, "code")),
            message: text(answer, "error_description")
                .or_else(|| text(error, "message"))
                .or_else(|| text(answer, "message"))
                .or_else(|| text(answer, "detail")),
        }
    }

    /// The error as a standard code.
    pub(super) fn into_error(self, call: Call, status: Option<u16>, words: &ErrorMapping) -> UpstreamError {
        let (reason, detail) = match call {
            Call::Callback => at_callback(self.standard_code(&words.callback)),
            Call::Token | Call::Refresh => at_token(call, status, self.standard_code(&words.token)),
            _ => (Reason::ProviderRefused, ""),
        };
        UpstreamError {
            call,
            reason,
            detail,
            status,
            provider_code: self.code.as_deref().and_then(printable),
            provider_message: self.message.as_deref().and_then(printable),
            code: None,
        }
    }

    /// The code by the terms of RFC 6749: a message that the file knows decides before the code does, because some
    /// providers use one code for everything.
    fn standard_code(&self, words: &BTreeMap<String, String>) -> Option<StandardError> {
        let message = self.message.as_deref().unwrap_or_default();
        let by_message = words.iter().find(|(begins, _)| message.starts_with(begins.as_str()));
        let code = self.code.as_deref().unwrap_or_default();
        let word = by_message.map(|(_, word)| word).or_else(|| words.get(code)).map_or(code, String::as_str);
        StandardError::parse(word)
    }
}

text_enum! {
    /// An error of RFC 6749 sections 4.1.2.1 and 5.2 that tells more than that something failed.
    pub enum StandardError {
        /// The person said no.
        AccessDenied = "access_denied",
        /// The code or refresh token is no good.
        InvalidGrant = "invalid_grant",
        /// Our client id or secret is wrong.
        InvalidClient = "invalid_client",
        /// Our client may not do that.
        UnauthorizedClient = "unauthorized_client",
        /// A scope is refused.
        InvalidScope = "invalid_scope",
        /// Our callback address is not registered: not of the RFC, but everybody's word.
        RedirectUriMismatch = "redirect_uri_mismatch",
        /// The provider failed.
        ServerError = "server_error",
        /// The provider is overloaded.
        TemporarilyUnavailable = "temporarily_unavailable",
    }
}

fn at_callback(error: Option<StandardError>) -> (Reason, &'static str) {
    match error {
        Some(StandardError::AccessDenied) => (Reason::ProviderDenied, ""),
        _ => error.and_then(everywhere).unwrap_or((Reason::ProviderRefused, "")),
    }
}

fn at_token(call: Call, status: Option<u16>, error: Option<StandardError>) -> (Reason, &'static str) {
    match (error, call) {
        (Some(StandardError::InvalidGrant), Call::Refresh) => return (Reason::RefreshRefused, "invalid_grant"),
        (Some(StandardError::InvalidGrant), _) => return (Reason::TokenInvalidGrant, ""),
        _ => {}
    }
    if let Some(known) = error.and_then(everywhere) {
        return known;
    }
    match (call, status) {
        (Call::Refresh, Some(400 | 401)) => (Reason::RefreshRefused, "other"),
        _ => (Reason::ProviderRefused, ""),
    }
}

/// Errors that mean the same at the callback and at the token endpoint.
fn everywhere(error: StandardError) -> Option<(Reason, &'static str)> {
    match error {
        StandardError::InvalidClient | StandardError::UnauthorizedClient => Some((Reason::TokenInvalidClient, "")),
        StandardError::InvalidScope => Some((Reason::ScopeRefused, "")),
        StandardError::RedirectUriMismatch => Some((Reason::CallbackUnregistered, "")),
        StandardError::ServerError | StandardError::TemporarilyUnavailable => Some((Reason::Provider5xx, "")),
        StandardError::AccessDenied | StandardError::InvalidGrant => None,
    }
}

/// At most 200 printable characters of what a provider said; `None` if nothing is left.
fn printable(text: &str) -> Option<String> {
    let clean: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words() -> ErrorMapping {
        let token = [("bad_verification_code", "invalid_grant"), ("Invalid authorization", "invalid_grant")];
        let token = token.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        ErrorMapping { token, callback: [("user_cancelled_login".to_owned(), "access_denied".to_owned())].into() }
    }

    fn reason(call: Call, status: u16, answer: &Value) -> (Reason, &'static str) {
        let error = ErrorAnswer::read(answer).into_error(call, Some(status), &words());
        (error.reason, error.detail)
    }

    #[test]
    fn every_shape_of_error_is_read() {
        for (answer, code, message) in [
            (json!({"error": "invalid_grant", "error_description": "late"}), "invalid_grant", Some("late")),
            (json!({"error": {"code": 190, "type": "OAuthException", "message": "m"}}), "190", Some("m")),
            (json!({"error": {"type": "T"}}), "T", None),
            (json!({"status": "BAD_AUTH_CODE", "message": "m"}), "BAD_AUTH_CODE", Some("m")),
            (
                json!({"object": "error", "status": 401, "code": "unauthorized", "message": "m"}),
                "unauthorized",
                Some("m"),
            ),
            (json!({"title": "Unauthorized", "status": 401, "detail": "d", "code": 7}), "7", Some("d")),
        ] {
            let read = ErrorAnswer::read(&answer);
            assert_eq!((read.code.as_deref(), read.message.as_deref()), (Some(code), message), "{answer}");
        }
        for nothing in
            [json!({}), json!([1]), json!("error"), json!(null), json!({"error": []}), json!({"status": 400})]
        {
            assert_eq!(ErrorAnswer::read(&nothing).code, None, "{nothing}");
        }
    }

    #[test]
    fn provider_errors_become_reasons() {
        use Reason::*;
        for (call, status, answer, expected) in [
            (Call::Token, 400, json!({"error": "invalid_grant"}), (TokenInvalidGrant, "")),
            (Call::Refresh, 400, json!({"error": "invalid_grant"}), (RefreshRefused, "invalid_grant")),
            (Call::Refresh, 400, json!({"error": "invalid_request"}), (RefreshRefused, "other")),
            (Call::Refresh, 403, json!({"error": "invalid_request"}), (ProviderRefused, "")),
            (Call::Refresh, 401, json!({"error": "invalid_client"}), (TokenInvalidClient, "")),
            (Call::Token, 200, json!({"error": "bad_verification_code"}), (TokenInvalidGrant, "")),
            (
                Call::Token,
                400,
                json!({"status": 400, "message": "Invalid authorization code"}),
                (TokenInvalidGrant, ""),
            ),
            (Call::Token, 401, json!({"error": "unauthorized_client"}), (TokenInvalidClient, "")),
            (Call::Token, 400, json!({"error": "redirect_uri_mismatch"}), (CallbackUnregistered, "")),
            (Call::Token, 400, json!({"error": "invalid_scope"}), (ScopeRefused, "")),
            (Call::Token, 400, json!({"error": "access_denied"}), (ProviderRefused, "")),
            (Call::Callback, 0, json!({"error": "access_denied"}), (ProviderDenied, "")),
            (Call::Callback, 0, json!({"error": "user_cancelled_login"}), (ProviderDenied, "")),
            (Call::Callback, 0, json!({"error": "temporarily_unavailable"}), (Provider5xx, "")),
            (Call::Callback, 0, json!({"error": "login_required"}), (ProviderRefused, "")),
            (Call::Profile, 403, json!({"error": "invalid_grant"}), (ProviderRefused, "")),
        ] {
            assert_eq!(reason(call, status, &answer), expected, "{call:?} {answer}");
        }
    }

    #[test]
    fn codes_follow_the_call_unless_the_reason_has_its_own() {
        use Reason::*;
        for (call, reason, code) in [
            (Call::Token, ProviderTimeout, "oauth_token_exchange_error"),
            (Call::Callback, Provider5xx, "oauth_token_exchange_error"),
            (Call::Keys, ProviderUnreachable, "oauth_fetch_user_error"),
            (Call::Profile, ProviderRefused, "oauth_fetch_user_error"),
            (Call::Token, TokenInvalidClient, "misconfigured_oauth_provider"),
            (Call::Refresh, TokenInvalidClient, "oauth_token_retrieval_error"),
            (Call::Callback, ScopeRefused, "misconfigured_oauth_provider"),
            (Call::Token, CallbackUnregistered, "redirect_uri_mismatch"),
            (Call::Callback, ProviderDenied, "oauth_access_denied"),
            (Call::IdToken, IssuerMismatch, "oauth_fetch_user_error"),
            (Call::Callback, IssuerMismatch, "oauth_callback_invalid"),
            (Call::Discovery, ProviderTimeout, "custom_oauth_provider_discovery_server_retrieval_error"),
        ] {
            assert_eq!(UpstreamError::new(call, reason, "").failure().code, code, "{call:?} {reason}");
        }
    }

    #[test]
    fn what_the_provider_says_is_cut_and_cleaned() {
        let answer = json!({"error": "a\r\nSet-Cookie: x", "error_description": "\u{1b}[31m".repeat(200)});
        let error = ErrorAnswer::read(&answer).into_error(Call::Token, Some(400), &ErrorMapping::default());
        assert_eq!(error.provider_code.as_deref(), Some("aSet-Cookie: x"));
        assert_eq!(error.provider_message.map(|text| text.chars().count()), Some(200));
    }
}
