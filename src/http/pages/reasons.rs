//! From the reason why a flow failed to the sentence a person reads and to what the page offers.

use serde_json::Value;

use super::messages::{fill, text};
use crate::model::reason::Reason;
use crate::model::text_enum::text_enum;

text_enum! {
    /// The sentence that a person reads, as a key of the message file without its section; it is the page's `data-state`
    /// too.
    pub enum TextKey {
        /// The application is set up wrongly.
        AppFault = "app_fault",
        /// Begin once more.
        StartAgain = "start_again",
        /// It was begun again elsewhere.
        BeganAgain = "began_again",
        /// It was cancelled at the provider.
        Cancelled = "cancelled",
        /// The provider does not answer.
        NotAnswering = "not_answering",
        /// The provider is not set up here.
        NotSetUp = "not_set_up",
        /// The provider answered what cannot be used.
        BadAnswer = "bad_answer",
        /// One more step is needed.
        OneMoreStep = "one_more_step",
        /// It cannot be done with that account.
        NotPossible = "not_possible",
        /// It belongs to another account.
        BelongsElsewhere = "belongs_elsewhere",
        /// An account is there: sign in first.
        SignInFirst = "sign_in_first",
        /// It is connected already.
        AlreadyConnected = "already_connected",
        /// Somebody is signed in already.
        AlreadySignedIn = "already_signed_in",
        /// Nobody may sign up, or not with that address.
        Closed = "closed",
        /// The company's way to sign in is to be used.
        UseCompany = "use_company",
        /// The account is locked.
        Locked = "locked",
        /// The account is closed.
        AccountClosed = "account_closed",
        /// Too much was asked for.
        TooMany = "too_many",
        /// What was typed is wrong.
        Wrong = "wrong",
        /// The code or link is over.
        AskAgain = "ask_again",
        /// The account has to be connected again.
        Reconnect = "reconnect",
        /// The application's request is wrong.
        ClientRequest = "client_request",
        /// A fault of ours.
        OurFault = "our_fault",
    }
}

/// The sentence for `reason`. `None` where the person reads nothing: the flow goes on, or the client speaks.
pub fn text_key(reason: Reason, detail: &str) -> Option<TextKey> {
    use Reason as R;
    use TextKey as T;
    Some(match reason {
        R::ProviderUnavailable | R::RedirectInvalid | R::RedirectUnlisted | R::NativeRefused => T::AppFault,
        R::StateMissing | R::StateUsed | R::StateExpired | R::StateOtherBrowser | R::CookieMissing => T::StartAgain,
        R::AttemptReplaced => T::BeganAgain,
        R::AttemptExpired | R::AttemptOtherClient | R::TokenInvalidGrant => T::StartAgain,
        R::ProviderDenied => T::Cancelled,
        R::ProviderTimeout | R::ProviderUnreachable | R::Provider5xx | R::ProviderRateLimited => T::NotAnswering,
        R::CredentialsUnusable | R::TokenInvalidClient | R::CallbackUnregistered => T::NotSetUp,
        R::ScopeRefused | R::EndpointRefused | R::ProviderRefused => T::NotSetUp,
        R::ProviderUnreadable | R::ProviderWrongType | R::IdentityUnusable => T::BadAnswer,
        R::IdtokenRefused | R::IssuerMismatch | R::ClockSkew => T::BadAnswer,
        R::EmailUnverified if detail == "unprovable" => T::NotPossible,
        R::EmailMissing | R::EmailUnverified | R::RequirementsMissing => T::OneMoreStep,
        R::AccountInUse => T::BelongsElsewhere,
        R::LinkingOff => T::SignInFirst,
        R::AccountConnectedAlready => T::AlreadyConnected,
        R::EmailImmutable => T::NotPossible,
        R::AlreadySignedIn => T::AlreadySignedIn,
        R::SignupClosed | R::AddressRefused => T::Closed,
        R::UserLocked => T::Locked,
        R::UserBanned => T::AccountClosed,
        R::RateLimited => T::TooMany,
        R::CredentialsWrong => T::Wrong,
        R::ProofDead => T::AskAgain,
        R::TokenMissing | R::RefreshRefused => T::Reconnect,
        R::ClientUnknown | R::ClientRedirectMismatch | R::ClientRequestInvalid => T::ClientRequest,
        R::Internal => T::OurFault,
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
pub fn of_verification(error: &Value) -> TextKey {
    let by_reason = read_reason(error).and_then(|(reason, detail)| text_key(reason, detail));
    by_reason.unwrap_or_else(|| of_code(error.get("code").and_then(Value::as_str).unwrap_or_default()))
}

/// The text key of a code inside a verification or of a refused start.
pub fn of_code(code: &str) -> TextKey {
    use TextKey as T;
    match code {
        "oauth_access_denied" => T::Cancelled,
        "oauth_token_exchange_error" | "oauth_fetch_user_error" => T::BadAnswer,
        "misconfigured_oauth_provider" | "redirect_uri_mismatch" | "oauth_config_missing" => T::NotSetUp,
        "external_account_email_address_verification_required" => T::NotPossible,
        "oauth_identification_claimed" | "identification_claimed" => T::BelongsElsewhere,
        "external_account_exists" => T::SignInFirst,
        "oauth_account_already_connected" => T::AlreadyConnected,
        "oauth_connection_blocked_by_immutable_attribute" => T::NotPossible,
        "external_account_missing_refresh_token" => T::Reconnect,
        "identifier_already_signed_in" | "session_exists" => T::AlreadySignedIn,
        "sign_up_mode_restricted" | "sign_up_restricted_waitlist" | "user_quota_exceeded" => T::Closed,
        "not_allowed_access" | "form_email_address_blocked" => T::Closed,
        "oauth_email_domain_reserved_by_saml" => T::UseCompany,
        "user_locked" => T::Locked,
        "user_banned" | "user_deactivated" => T::AccountClosed,
        "oauth_unsupported_provider" | "oauth_provider_not_enabled" => T::AppFault,
        "oauth_non_authenticatable_provider" => T::AppFault,
        _ => T::OurFault,
    }
}

/// The sentence under a text key, with the provider's name in it.
pub fn sentence(text_key: TextKey, provider: Option<&str>) -> String {
    fill(message(text_key), &[("provider", provider.unwrap_or(text("reason.the_provider")))])
}

/// The message file's key for a text key. Spelled out, so that the test of the message file sees each.
fn message(text_key: TextKey) -> &'static str {
    match text_key {
        TextKey::AppFault => "reason.app_fault",
        TextKey::StartAgain => "reason.start_again",
        TextKey::BeganAgain => "reason.began_again",
        TextKey::Cancelled => "reason.cancelled",
        TextKey::NotAnswering => "reason.not_answering",
        TextKey::NotSetUp => "reason.not_set_up",
        TextKey::BadAnswer => "reason.bad_answer",
        TextKey::OneMoreStep => "reason.one_more_step",
        TextKey::NotPossible => "reason.not_possible",
        TextKey::BelongsElsewhere => "reason.belongs_elsewhere",
        TextKey::SignInFirst => "reason.sign_in_first",
        TextKey::AlreadyConnected => "reason.already_connected",
        TextKey::AlreadySignedIn => "reason.already_signed_in",
        TextKey::Closed => "reason.closed",
        TextKey::UseCompany => "reason.use_company",
        TextKey::Locked => "reason.locked",
        TextKey::AccountClosed => "reason.account_closed",
        TextKey::TooMany => "reason.too_many",
        TextKey::Wrong => "reason.wrong",
        TextKey::AskAgain => "reason.ask_again",
        TextKey::Reconnect => "reason.reconnect",
        TextKey::ClientRequest => "reason.client_request",
        TextKey::OurFault => "reason.our_fault",
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
pub fn offers(text_key: TextKey) -> &'static [NextAction] {
    use NextAction::*;
    use TextKey as T;
    match text_key {
        T::Cancelled | T::NotAnswering | T::BadAnswer => &[TryAgain, OtherMethod],
        T::NotSetUp | T::NotPossible | T::Closed | T::AccountClosed | T::TooMany => &[OtherMethod],
        T::SignInFirst | T::UseCompany | T::Locked | T::OneMoreStep => &[OtherMethod],
        T::BelongsElsewhere | T::AlreadyConnected => &[ThatAccount, OtherAccount],
        T::AlreadySignedIn => &[GoOn, OtherAccount],
        T::AppFault | T::StartAgain | T::BeganAgain | T::Wrong | T::AskAgain => &[StartAgain],
        T::Reconnect | T::ClientRequest | T::OurFault => &[StartAgain],
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
        assert_eq!(verification(r#"{"code":"oauth_token_exchange_error"}"#), TextKey::BadAnswer);
        let noted = r#"{"code":"oauth_token_exchange_error","meta":{"reason":"token_invalid_grant"}}"#;
        assert_eq!(verification(noted), TextKey::StartAgain);
        assert_eq!(verification(r#"{"code":"tomorrow's","meta":{"reason":"tomorrow's"}}"#), TextKey::OurFault);
    }

    #[test]
    fn names_the_provider_where_it_is_known() {
        assert_eq!(sentence(TextKey::NotAnswering, Some("Google")), "Google does not answer at the moment.");
        assert_eq!(sentence(TextKey::NotAnswering, None), "The provider does not answer at the moment.");
    }
}
