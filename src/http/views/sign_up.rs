//! A sign-up attempt, with the lists of what it has, wants and lacks.

use serde_json::{Value, json};

use super::verification;
use crate::model::client::SignUp;
use crate::model::settings::Settings;
use crate::model::time::{Timestamp, millis};

/// A sign-up attempt.
pub fn sign_up(attempt: &SignUp, settings: &Settings, now: Timestamp) -> Value {
    let email = &settings.attributes.email_address;
    let is_complete = attempt.status == "complete";
    let (required, mut optional): (Vec<&str>, Vec<&str>) =
        if email.required { (vec!["email_address"], vec![]) } else { (vec![], vec!["email_address"]) };
    optional.extend(["first_name", "last_name"]);
    let lacks_email = !is_complete && email.required && attempt.email_address.is_none();
    let external_account = attempt.external_account.as_ref().map(|proof| verification::oauth(proof, now));
    json!({
        "object": "sign_up",
        "id": attempt.id,
        "status": attempt.status,
        "required_fields": required,
        "optional_fields": optional,
        "missing_fields": if lacks_email { vec!["email_address"] } else { vec![] },
        "unverified_fields": [],
        "verifications": {
            "email_address": null,
            "phone_number": null,
            "web3_wallet": null,
            "external_account": external_account,
        },
        "username": attempt.username,
        "email_address": attempt.email_address,
        "phone_number": null,
        "web3_wallet": null,
        "first_name": attempt.first_name,
        "last_name": attempt.last_name,
        "has_password": false,
        "password_enabled": false,
        "unsafe_metadata": attempt.unsafe_metadata,
        "public_metadata": attempt.public_metadata,
        "custom_action": attempt.custom_action,
        "external_id": attempt.external_id,
        "created_session_id": attempt.created_session_id,
        "created_user_id": attempt.created_user_id,
        "abandon_at": millis(attempt.abandon_at),
        "legal_accepted_at": attempt.legal_accepted_at.map(millis),
        "locale": attempt.locale,
        "external_account_strategy": attempt.external_account.as_ref().map(|proof| &proof.strategy),
        "external_account": null,
        "protect_check": null,
    })
}
