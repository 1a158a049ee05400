//! How an account's token is doing.

use serde_json::{Value, json};

use crate::actions::provider_token::Checkup;
use crate::model::strategy::of_provider;
use crate::model::time::millis;

/// A token's state; never the token.
pub fn checkup(checkup: &Checkup) -> Value {
    json!({
        "object": "provider_token",
        "external_account_id": checkup.external_account_id,
        "provider": of_provider(&checkup.provider),
        "state": checkup.state.as_str(),
        "since": checkup.since.map(millis),
        "reason": checkup.reason.as_ref().map(ToString::to_string),
        "expires_at": checkup.expires_at.map(millis),
        "last_refresh_at": checkup.last_refresh_at.map(millis),
    })
}
