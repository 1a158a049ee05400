//! From the reason why a flow failed to the sentence a person reads and to what the page offers.

use serde_json::Value;

use super::messages::{fill, text};
use crate::model::reason::Reason;

/// The sentence for `reason`, as a key of the message file without its section; it is the page's `data-state` too.
/// `None` where the person reads nothing: the flow goes on, or the client speaks.
pub fn text_key(reason: Reason, detail: &str) -> Option<&'static str> {
    use Reason as R;
    Some(match reason {
        R::ProviderUnavailable | R::RedirectInvalid | R::RedirectUnlisted | R::NativeRefused => "app_fault",
        R::StateMissing | R::StateUsed | R::StateExpired | R::StateOtherBrowser | R::CookieMissing => "start_again",
        R::AttemptReplaced => "began_again",
        R::AttemptExpired | R::AttemptOtherClient | R::TokenInvalidGrant => "start_again",
        R::ProviderDenied => "cancelled",
        R::ProviderTimeout | R::ProviderUnreachable | R::Provider5xx | R::ProviderRateLimited => "not_answering",
        R::CredentialsUnusable | R::TokenInvalidClient | R::CallbackUnregistered => "not_set_up",
        R::ScopeRefused | R::EndpointRefused | R::ProviderRefused => "not_set_up",
        R::ProviderUnreadable | R::ProviderWrongType | R::IdentityUnusable => "bad_answer",
        R::IdtokenRefused | R::IssuerMismatch | R::ClockSkew => "bad_answer",
        R::EmailUnverified if detail == "unprovable" => "not_possible",
        R::EmailMissing | R::EmailUnverified | R::RequirementsMissing => "one_more_step",
        R::AccountInUse => "belongs_elsewhere",
        R::LinkingOff => "sign_in_first",
        R::AccountConnectedAlready => "already_connected",
        R::EmailImmutable => "not_possible",
        R::AlreadySignedIn => "already_signed_in",
        R::SignupClosed | R::AddressRefused => "closed",
        R::UserLocked => "locked",
        R::UserBanned => "account_closed",
        R::RateLimited => "too_many",
        R::CredentialsWrong => "wrong",
        R::ProofDead => "ask_again",
        R::TokenMissing | R::RefreshRefused => "reconnect",
        R::ClientUnknown | R::ClientRedirectMismatch | R::ClientRequestInvalid => "client_request",
        R::Internal => "our_fault",
        R::Transfer | R::InteractionNeeded | R::ConsentDenied | R::ClientAuthFailed => return None,
        R::GrantEnded | R::GrantReused | R::GrantMismatch | R::PkceFailed => return None,
    })
}

/// The reason that a flow noted in the error of a failed verification, and its condition.
pub fn read_reason(error: &Value) -> Option<(Reason, &str)> {
    let meta = error.get("meta")?;
    let noted = |name: &str| meta.get(name).and_then(Value::as_str);
    Some((noted("reason").and_then(Reason::parse)?, noted("detail").unwrap_or_default()))
}

/// The text key of a failed verification: by the reason that the flow noted, else by the code that the app sees.
pub fn of_verification(error: &Value) -> &'static str {
    let by_reason = read_reason(error).and_then(|(reason, detail)| text_key(reason, detail));
    by_reason.unwrap_or_else(|| of_code(error.get("code").and_then(Value::as_str).unwrap_or_default()))
}

/// The text key of a code inside a verification or of a refused start .
pub fn of_code(code: &str) -> &'static str {
    match code {
        "oauth_access_denied" => "cancelled",
        "oauth_token_exchange_error" | "oauth_fetch_user_error" => "bad_answer",
        "misconfigured_oauth_provider" | "redirect_uri_mismatch" | "oauth_config_missing" => "not_set_up",
        "external_account_email_address_verification_required" => "not_possible",
        "oauth_identification_claimed" | "identification_claimed" => "belongs_elsewhere",
        "external_account_exists" => "sign_in_first",
        "oauth_account_already_connected" => "already_connected",
        "oauth_connection_blocked_by_immutable_attribute" => "not_possible",
        "external_account_missing_refresh_token" => "reconnect",
        "identifier_already_signed_in" | "session_exists" => "already_signed_in",
        "sign_up_mode_restricted" | "sign_up_restricted_waitlist" | "user_quota_exceeded" => "closed",
        "not_allowed_access" | "form_email_address_blocked" => "closed",
        "oauth_email_domain_reserved_by_saml" => "use_company",
        "user_locked" => "locked",
        "user_banned" | "user_deactivated" => "account_closed",
        "oauth_unsupported_provider" | "oauth_provider_not_enabled" => "app_fault",
        "oauth_non_authenticatable_provider" => "app_fault",
        _ => "our_fault",
    }
}

/// The sentence under a text key, with the provider's name in it.
pub fn sentence(text_key: &str, provider: Option<&str>) -> String {
    fill(message(text_key), &[("provider", provider.unwrap_or(text("reason.the_provider")))])
}

/// The message file's key for a text key. Spelled out, so that the test of the message file sees each.
fn message(text_key: &str) -> &'static str {
    match text_key {
        "app_fault" => "reason.app_fault",
        "start_again" => "reason.start_again",
        "began_again" => "reason.began_again",
        "cancelled" => "reason.cancelled",
        "not_answering" => "reason.not_answering",
        "not_set_up" => "reason.not_set_up",
        "bad_answer" => "reason.bad_answer",
        "one_more_step" => "reason.one_more_step",
        "not_possible" => "reason.not_possible",
        "belongs_elsewhere" => "reason.belongs_elsewhere",
        "sign_in_first" => "reason.sign_in_first",
        "already_connected" => "reason.already_connected",
        "already_signed_in" => "reason.already_signed_in",
        "closed" => "reason.closed",
        "use_company" => "reason.use_company",
        "locked" => "reason.locked",
        "account_closed" => "reason.account_closed",
        "too_many" => "reason.too_many",
        "wrong" => "reason.wrong",
        "ask_again" => "reason.ask_again",
        "reconnect" => "reason.reconnect",
        "client_request" => "reason.client_request",
        _ => "reason.our_fault",
    }
}

/// What a failure's page offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// The start of the same flow.
    StartAgain,
    /// The same provider once more, from the start page.
    TryAgain,
    /// Another factor.
    OtherMethod,
    /// Sign in with the account that is in the way.
    ThatAccount,
    /// Begin with another account.
    OtherAccount,
    /// To where the flow was to end.
    GoOn,
}

/// What the page for `text_key` offers, the main action first. Help stands in the footer of every page.
pub fn offers(text_key: &str) -> &'static [NextAction] {
    use NextAction::*;
    match text_key {
        "cancelled" | "not_answering" | "bad_answer" => &[TryAgain, OtherMethod],
        "not_set_up" | "not_possible" | "closed" | "account_closed" | "too_many" => &[OtherMethod],
        "sign_in_first" | "use_company" | "locked" | "one_more_step" => &[OtherMethod],
        "belongs_elsewhere" | "already_connected" => &[ThatAccount, OtherAccount],
        "already_signed_in" => &[GoOn, OtherAccount],
        _ => &[StartAgain],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_a_person_meets_has_a_sentence_of_its_own_key() {
        for reason in Reason::ALL {
            for detail in ["", "unprovable"] {
                let Some(key) = text_key(*reason, detail) else { continue };
                assert_eq!(message(key), format!("reason.{key}"), "{reason}");
                assert!(!sentence(key, None).contains('{'), "{reason}");
                assert!(!offers(key).is_empty());
            }
        }
    }

    #[test]
    fn a_noted_reason_says_more_than_the_code() {
        let verification = |text: &str| of_verification(&serde_json::from_str(text).unwrap());
        assert_eq!(verification(r#"{"code":"oauth_token_exchange_error"}"#), "bad_answer");
        let noted = r#"{"code":"oauth_token_exchange_error","meta":{"reason":"token_invalid_grant"}}"#;
        assert_eq!(verification(noted), "start_again");
        assert_eq!(verification(r#"{"code":"tomorrow's","meta":{"reason":"tomorrow's"}}"#), "our_fault");
    }

    #[test]
    fn names_the_provider_where_it_is_known() {
        assert_eq!(sentence("not_answering", Some("Google")), "Google does not answer at the moment.");
        assert_eq!(sentence("not_answering", None), "The provider does not answer at the moment.");
    }
}
