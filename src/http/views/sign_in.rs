//! A sign-in attempt.

use serde_json::{Value, json};

use super::verification;
use crate::model::client::SignIn;
use crate::model::time::{Timestamp, millis};

/// A sign-in attempt. While a provider is asked, and after it failed, the status stays `needs_identifier`: the SDK
/// takes anything else for a first factor to be proven (frontend-api.md section 5.7).
pub fn sign_in(attempt: &SignIn, now: Timestamp) -> Value {
    json!({
        "object": "sign_in",
        "id": attempt.id,
        "status": attempt.status,
        "supported_identifiers": ["email_address"],
        "supported_first_factors": null,
        "supported_second_factors": null,
        "first_factor_verification": attempt.first_factor.as_ref().map(|proof| verification::oauth(proof, now)),
        "second_factor_verification": null,
        "identifier": attempt.identifier,
        "user_data": null,
        "created_session_id": attempt.created_session_id,
        "abandon_at": millis(attempt.abandon_at),
        "client_trust_state": null,
        "protect_check": null,
    })
}
