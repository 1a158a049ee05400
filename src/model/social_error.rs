//! The error objects that a verification shows: an SDK acts on the code, people read the
//! sentence.

use serde_json::{Map, Value, json};

/// Codes that occur inside a verification only, never as an HTTP status, and the sentences of all of them.
const SENTENCES: &[(&str, &str)] = &[
    (NOT_FOUND, "No account is connected to this identity yet."),
    (EXISTS, "An account with this identity or address exists already."),
    (ALREADY_SIGNED_IN, "You are already signed in."),
    (UNPROVABLE, "The address must be verified, which is not possible here."),
    (TAKEN, "This account or address belongs to a different user."),
    (MISSING_REFRESH_TOKEN, "This account needs to be connected again."),
    ("oauth_access_denied", "Sign-in was cancelled."),
    ("oauth_token_exchange_error", "The provider did not accept the sign-in."),
    ("oauth_fetch_user_error", "The provider gave an answer that cannot be used."),
    ("misconfigured_oauth_provider", "Sign-in with this provider is not set up correctly."),
    ("redirect_uri_mismatch", "Sign-in with this provider is not set up correctly."),
    ("user_locked", "This account is locked."),
    ("user_banned", "You cannot sign in with this account."),
    (CLAIMED, "This account or address belongs to a different user."),
    (CONNECTED, "Another account of this provider is already connected."),
    (IMMUTABLE, "Connecting this account would add an address, which is not allowed here."),
];

/// No user for this identity: a sign-up can take its place.
pub const NOT_FOUND: &str = "external_account_not_found";
/// The identity belongs to a user: a sign-in can take its place.
pub const EXISTS: &str = "external_account_exists";
/// That user has an active session on this client.
pub const ALREADY_SIGNED_IN: &str = "identifier_already_signed_in";
/// The provider did not verify the address, and this instance cannot.
pub const UNPROVABLE: &str = "external_account_email_address_verification_required";
/// Somebody else took the identity or the address meanwhile.
pub const TAKEN: &str = "identification_claimed";
/// The account's token is over and cannot be refreshed.
pub const MISSING_REFRESH_TOKEN: &str = "external_account_missing_refresh_token";

/// Connecting: the identity or its address is another user's.
pub const CLAIMED: &str = "oauth_identification_claimed";
/// Connecting: another account of the provider is there, or another one came back than was to be reauthorized.
pub const CONNECTED: &str = "oauth_account_already_connected";
/// Connecting would add an address, and users may not change theirs.
pub const IMMUTABLE: &str = "oauth_connection_blocked_by_immutable_attribute";

/// The error object for `code`.
pub fn object(code: &str, meta: Map<String, Value>) -> Value {
    let sentence = SENTENCES.iter().find(|(known, _)| *known == code).map_or("Sign-in failed.", |(_, words)| words);
    json!({ "code": code, "message": sentence.trim_end_matches('.'), "long_message": sentence, "meta": meta })
}
