//! Every reason with each of its conditions, as the tests provoke it and as it must be shown: a test asserts by its
//! constant. A constant that no test uses does not compile, and a reason or condition without one fails below: so what
//! nobody has provoked fails the run.
#![deny(dead_code)]

use std::collections::BTreeSet;

use vestibule::model::reason::Reason;

use super::Reported;

macro_rules! reasons {
    ($($name:ident = $reason:literal, $detail:literal, $text_key:literal, $label:literal, $status:literal;)*) => {
        $(
            pub const $name: Reported =
                Reported { reason: $reason, detail: $detail, text_key: $text_key, label: $label, status: $status };
        )*

        /// What the constants are about; written out, for a list of them would use them.
        const LISTED: &[(&str, &str)] = &[$(($reason, $detail)),*];
    };
}

reasons! {
    PROVIDER_UNAVAILABLE_UNKNOWN = "provider_unavailable", "unknown", "app_fault", "app", "failed";
    PROVIDER_UNAVAILABLE_DISABLED = "provider_unavailable", "disabled", "app_fault", "app", "failed";
    PROVIDER_UNAVAILABLE_CONNECT_ONLY = "provider_unavailable", "connect_only", "app_fault", "app", "failed";
    REDIRECT_INVALID_MISSING = "redirect_invalid", "missing", "app_fault", "app", "failed";
    REDIRECT_INVALID_UNPARSEABLE = "redirect_invalid", "unparseable", "app_fault", "app", "failed";
    REDIRECT_INVALID_RELATIVE = "redirect_invalid", "relative", "app_fault", "app", "failed";
    REDIRECT_INVALID_SCHEME = "redirect_invalid", "scheme", "app_fault", "app", "failed";
    REDIRECT_INVALID_LONG = "redirect_invalid", "long", "app_fault", "app", "failed";
    REDIRECT_UNLISTED_API = "redirect_unlisted", "api", "app_fault", "app", "failed";
    REDIRECT_UNLISTED_PORTAL = "redirect_unlisted", "portal", "app_fault", "app", "failed";
    NATIVE_REFUSED_UNLISTED = "native_refused", "unlisted", "app_fault", "app", "failed";
    NATIVE_REFUSED_OFF = "native_refused", "off", "app_fault", "app", "failed";
    STATE_MISSING = "state_missing", "", "start_again", "state", "failed";
    STATE_USED = "state_used", "", "start_again", "state", "failed";
    STATE_EXPIRED = "state_expired", "", "start_again", "state", "failed";
    STATE_OTHER_BROWSER_CLIENT = "state_other_browser", "client", "start_again", "state", "failed";
    STATE_OTHER_BROWSER_SESSION = "state_other_browser", "session", "start_again", "state", "failed";
    COOKIE_MISSING = "cookie_missing", "", "start_again", "state", "failed";
    ATTEMPT_REPLACED = "attempt_replaced", "", "began_again", "state", "failed";
    ATTEMPT_EXPIRED_ABANDONED = "attempt_expired", "abandoned", "start_again", "state", "failed";
    ATTEMPT_EXPIRED_DONE = "attempt_expired", "done", "start_again", "state", "failed";
    ATTEMPT_EXPIRED_TRANSFER = "attempt_expired", "transfer", "start_again", "state", "failed";
    ATTEMPT_OTHER_CLIENT_READ = "attempt_other_client", "read", "start_again", "state", "failed";
    ATTEMPT_OTHER_CLIENT_TRANSFER = "attempt_other_client", "transfer", "start_again", "state", "failed";
    ATTEMPT_OTHER_CLIENT_NONCE = "attempt_other_client", "nonce", "start_again", "state", "failed";
    TOKEN_INVALID_GRANT = "token_invalid_grant", "", "start_again", "provider_answer", "failed";
    PROVIDER_DENIED = "provider_denied", "", "cancelled", "cancelled", "failed";
    PROVIDER_TIMEOUT = "provider_timeout", "", "not_answering", "provider_down", "failed";
    PROVIDER_UNREACHABLE_DNS = "provider_unreachable", "dns", "not_answering", "provider_down", "failed";
    PROVIDER_UNREACHABLE_REFUSED = "provider_unreachable", "refused", "not_answering", "provider_down", "failed";
    PROVIDER_UNREACHABLE_CUT = "provider_unreachable", "cut", "not_answering", "provider_down", "failed";
    PROVIDER_UNREACHABLE_TLS = "provider_unreachable", "tls", "not_answering", "provider_down", "failed";
    PROVIDER_UNREACHABLE_BREAKER = "provider_unreachable", "breaker", "not_answering", "provider_down", "failed";
    PROVIDER_5XX = "provider_5xx", "", "not_answering", "provider_down", "failed";
    PROVIDER_RATE_LIMITED = "provider_rate_limited", "", "not_answering", "provider_down", "failed";
    CREDENTIALS_UNUSABLE_MISSING = "credentials_unusable", "missing", "not_set_up", "provider_config", "failed";
    CREDENTIALS_UNUSABLE_MALFORMED = "credentials_unusable", "malformed", "not_set_up", "provider_config", "failed";
    TOKEN_INVALID_CLIENT = "token_invalid_client", "", "not_set_up", "provider_config", "failed";
    CALLBACK_UNREGISTERED = "callback_unregistered", "", "not_set_up", "provider_config", "failed";
    SCOPE_REFUSED = "scope_refused", "", "not_set_up", "provider_config", "failed";
    ENDPOINT_REFUSED_BLOCKED = "endpoint_refused", "blocked", "not_set_up", "provider_config", "failed";
    ENDPOINT_REFUSED_OFFLINE = "endpoint_refused", "offline", "not_set_up", "provider_config", "failed";
    ENDPOINT_REFUSED_REDIRECTED = "endpoint_refused", "redirected", "not_set_up", "provider_config", "failed";
    ENDPOINT_REFUSED_DISCOVERY = "endpoint_refused", "discovery", "not_set_up", "provider_config", "failed";
    PROVIDER_REFUSED = "provider_refused", "", "not_set_up", "provider_config", "failed";
    PROVIDER_UNREADABLE_HTML = "provider_unreadable", "html", "bad_answer", "provider_answer", "failed";
    PROVIDER_UNREADABLE_JSON = "provider_unreadable", "json", "bad_answer", "provider_answer", "failed";
    PROVIDER_UNREADABLE_TYPE = "provider_unreadable", "type", "bad_answer", "provider_answer", "failed";
    PROVIDER_UNREADABLE_SIZE = "provider_unreadable", "size", "bad_answer", "provider_answer", "failed";
    PROVIDER_WRONG_TYPE_ACCESS_TOKEN = "provider_wrong_type", "access_token", "bad_answer", "provider_answer", "failed";
    IDENTITY_UNUSABLE_ABSENT = "identity_unusable", "absent", "bad_answer", "provider_answer", "failed";
    IDENTITY_UNUSABLE_DIFFERS = "identity_unusable", "differs", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_SIGNATURE = "idtoken_refused", "signature", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_KEY = "idtoken_refused", "key", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_ALGORITHM = "idtoken_refused", "algorithm", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_NONCE = "idtoken_refused", "nonce", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_AUDIENCE = "idtoken_refused", "audience", "bad_answer", "provider_answer", "failed";
    IDTOKEN_REFUSED_AT_HASH = "idtoken_refused", "at_hash", "bad_answer", "provider_answer", "failed";
    ISSUER_MISMATCH_CALLBACK = "issuer_mismatch", "callback", "bad_answer", "provider_answer", "failed";
    ISSUER_MISMATCH_TOKEN = "issuer_mismatch", "token", "bad_answer", "provider_answer", "failed";
    CLOCK_SKEW = "clock_skew", "", "bad_answer", "provider_answer", "failed";
    EMAIL_MISSING = "email_missing", "", "one_more_step", "unfinished", "open";
    EMAIL_UNVERIFIED_PROOF = "email_unverified", "proof", "one_more_step", "unfinished", "open";
    EMAIL_UNVERIFIED_UNPROVABLE = "email_unverified", "unprovable", "not_possible", "unfinished", "failed";
    REQUIREMENTS_MISSING = "requirements_missing", "", "one_more_step", "unfinished", "open";
    TRANSFER_SIGN_UP = "transfer", "sign_up", "", "transfer", "open";
    TRANSFER_SIGN_IN = "transfer", "sign_in", "", "transfer", "open";
    ACCOUNT_IN_USE_CLAIMED = "account_in_use", "claimed", "belongs_elsewhere", "conflict", "failed";
    ACCOUNT_IN_USE_MEANWHILE = "account_in_use", "meanwhile", "belongs_elsewhere", "conflict", "failed";
    LINKING_OFF = "linking_off", "", "sign_in_first", "conflict", "failed";
    ACCOUNT_CONNECTED_ALREADY_SECOND = "account_connected_already", "second", "already_connected", "conflict", "failed";
    ACCOUNT_CONNECTED_ALREADY_OTHER = "account_connected_already", "other", "already_connected", "conflict", "failed";
    EMAIL_IMMUTABLE = "email_immutable", "", "not_possible", "conflict", "failed";
    ALREADY_SIGNED_IN_START = "already_signed_in", "start", "already_signed_in", "conflict", "failed";
    ALREADY_SIGNED_IN_CALLBACK = "already_signed_in", "callback", "already_signed_in", "conflict", "failed";
    SIGNUP_CLOSED_RESTRICTED = "signup_closed", "restricted", "closed", "restricted", "failed";
    SIGNUP_CLOSED_WAITLIST = "signup_closed", "waitlist", "closed", "restricted", "failed";
    SIGNUP_CLOSED_QUOTA = "signup_closed", "quota", "closed", "restricted", "failed";
    ADDRESS_REFUSED_SUBADDRESS = "address_refused", "subaddress", "closed", "restricted", "failed";
    USER_LOCKED_FAILURES = "user_locked", "failures", "locked", "account", "failed";
    USER_LOCKED_OPERATOR = "user_locked", "operator", "locked", "account", "failed";
    USER_BANNED_BANNED = "user_banned", "banned", "account_closed", "account", "failed";
    USER_BANNED_DELETED = "user_banned", "deleted", "account_closed", "account", "failed";
    RATE_LIMITED_REQUESTS = "rate_limited", "requests", "too_many", "limited", "open";
    RATE_LIMITED_CODES = "rate_limited", "codes", "too_many", "limited", "open";
    CREDENTIALS_WRONG_CODE = "credentials_wrong", "code", "wrong", "credentials", "open";
    CREDENTIALS_WRONG_PASSWORD = "credentials_wrong", "password", "wrong", "credentials", "open";
    CREDENTIALS_WRONG_IDENTIFIER = "credentials_wrong", "identifier", "wrong", "credentials", "open";
    PROOF_DEAD_TRIES = "proof_dead", "tries", "ask_again", "credentials", "open";
    PROOF_DEAD_EXPIRED = "proof_dead", "expired", "ask_again", "credentials", "open";
    PROOF_DEAD_NONE = "proof_dead", "none", "ask_again", "credentials", "open";
    PROOF_DEAD_STALE = "proof_dead", "stale", "ask_again", "credentials", "open";
    PROOF_DEAD_OTHER_BROWSER = "proof_dead", "other_browser", "ask_again", "credentials", "open";
    TOKEN_MISSING_REFRESH = "token_missing", "refresh", "reconnect", "reconnect", "failed";
    TOKEN_MISSING_ACCESS = "token_missing", "access", "reconnect", "reconnect", "failed";
    REFRESH_REFUSED_INVALID_GRANT = "refresh_refused", "invalid_grant", "reconnect", "reconnect", "failed";
    REFRESH_REFUSED_OTHER = "refresh_refused", "other", "reconnect", "reconnect", "failed";
    REFRESH_REFUSED_LOST = "refresh_refused", "lost", "reconnect", "reconnect", "failed";
    CLIENT_UNKNOWN = "client_unknown", "", "client_request", "client", "failed";
    CLIENT_REDIRECT_MISMATCH = "client_redirect_mismatch", "", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_INVALID_REQUEST = "client_request_invalid", "invalid_request", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_UNSUPPORTED_GRANT_TYPE = "client_request_invalid", "unsupported_grant_type", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_UNSUPPORTED_RESPONSE_TYPE = "client_request_invalid", "unsupported_response_type", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_INVALID_SCOPE = "client_request_invalid", "invalid_scope", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_INVALID_TARGET = "client_request_invalid", "invalid_target", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_REQUEST_NOT_SUPPORTED = "client_request_invalid", "request_not_supported", "client_request", "client", "failed";
    CLIENT_REQUEST_INVALID_REQUEST_URI_NOT_SUPPORTED = "client_request_invalid", "request_uri_not_supported", "client_request", "client", "failed";
    INTERACTION_NEEDED = "interaction_needed", "", "", "unfinished", "failed";
    CONSENT_DENIED = "consent_denied", "", "", "cancelled", "failed";
    CLIENT_AUTH_FAILED = "client_auth_failed", "", "", "client", "failed";
    GRANT_ENDED_CODE = "grant_ended", "code", "", "grant", "failed";
    GRANT_ENDED_REFRESH = "grant_ended", "refresh", "", "grant", "failed";
    GRANT_ENDED_USER = "grant_ended", "user", "", "grant", "failed";
    GRANT_REUSED_CODE = "grant_reused", "code", "", "grant", "failed";
    GRANT_REUSED_REFRESH = "grant_reused", "refresh", "", "grant", "failed";
    GRANT_MISMATCH_CLIENT = "grant_mismatch", "client", "", "grant", "failed";
    GRANT_MISMATCH_REDIRECT_URI = "grant_mismatch", "redirect_uri", "", "grant", "failed";
    PKCE_FAILED_WRONG = "pkce_failed", "wrong", "", "grant", "failed";
    PKCE_FAILED_ABSENT = "pkce_failed", "absent", "", "grant", "failed";
    PKCE_FAILED_UNEXPECTED = "pkce_failed", "unexpected", "", "grant", "failed";
    INTERNAL_STORAGE = "internal", "storage", "our_fault", "internal", "failed";
    INTERNAL_PANIC = "internal", "panic", "our_fault", "internal", "failed";
}

/// Reasons whose detail is free: the path of a member of somebody's answer.
const FREE: [Reason; 1] = [Reason::ProviderWrongType];

#[test]
fn every_reason_and_condition_is_provoked() {
    let listed: BTreeSet<(&str, &str)> = LISTED.iter().copied().collect();
    assert_eq!(listed.len(), LISTED.len(), "each once");
    let mut expected = BTreeSet::new();
    for reason in Reason::ALL {
        match reason.details() {
            [] if FREE.contains(reason) => {
                expected.extend(listed.iter().filter(|(name, _)| *name == reason.name()));
                assert!(listed.iter().any(|(name, _)| *name == reason.name()), "{reason}");
            }
            [] => {
                expected.insert((reason.name(), ""));
            }
            details => expected.extend(details.iter().map(|detail| (reason.name(), *detail))),
        }
    }
    let missing: Vec<_> = expected.difference(&listed).collect();
    let surplus: Vec<_> = listed.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "no test for {missing:?}, nothing left of {surplus:?}");
}

/// The program gives no other conditions than those that its list of reasons names.
#[test]
fn every_condition_in_the_program_is_in_its_list() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for after in source.split("Reason::").skip(1) {
                let Some((name, rest)) = after.split_once(", \"") else { continue };
                let reason = Reason::ALL.iter().find(|reason| format!("{reason:?}") == name);
                let (Some(reason), Some((detail, _))) = (reason, rest.split_once('"')) else { continue };
                found += 1;
                let is_known = detail.is_empty() || FREE.contains(reason) || reason.details().contains(&detail);
                assert!(is_known, "{}: {reason} {detail}", path.display());
            }
        }
    }
    assert!(found > 80, "{found}: the search finds what it looks for");
}
