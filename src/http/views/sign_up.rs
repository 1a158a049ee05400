//! A sign-up attempt, with the lists of what it has, wants and lacks.

use serde_json::{Value, json};

use super::verification;
use crate::model::client::SignUp;
use crate::model::sign_up::{self, Field};
use crate::model::strategy::{MailStrategy, of_provider};
use crate::model::time::{Timestamp, millis};
use crate::model::verification::ShownStatus;

fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|field| field.as_str()).collect()
}

/// A sign-up attempt.
pub fn sign_up(attempt: &SignUp, now: Timestamp) -> Value {
    let fields = attempt.fields.clone().unwrap_or_default();
    // No sign-up depends on an account of a certain provider.
    let providers = attempt.providers.iter().map(|slug| of_provider(slug));
    let optional: Vec<String> = names(&fields.optional).into_iter().map(str::to_owned).chain(providers).collect();
    let is_complete = attempt.status == sign_up::Status::Complete;
    let open = |fields: &[Field]| if is_complete { Vec::new() } else { names(fields) };
    let external_account = attempt.external_account.as_ref().map(|verification| verification::oauth(verification, now));
    json!({
        "object": "sign_up",
        "id": attempt.id,
        "status": attempt.status,
        "required_fields": names(&fields.required),
        "optional_fields": optional,
        "missing_fields": open(&fields.missing),
        "unverified_fields": open(&fields.unverified),
        "verifications": {
            "email_address": email(attempt, now),
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
        "has_password": attempt.has_password,
        "password_enabled": attempt.has_password,
        "unsafe_metadata": attempt.unsafe_metadata,
        "public_metadata": attempt.public_metadata,
        "custom_action": attempt.custom_action,
        "external_id": attempt.external_id,
        "created_session_id": attempt.created_session_id,
        "created_user_id": attempt.created_user_id,
        "abandon_at": millis(attempt.abandon_at),
        "legal_accepted_at": attempt.legal_accepted_at.map(millis),
        "locale": attempt.locale,
        "external_account_strategy": attempt.external_account.as_ref().map(|verification| &verification.strategy),
        "external_account": null,
        "protect_check": null,
    })
}

/// The verification of the address, with what comes next.
fn email(attempt: &SignUp, now: Timestamp) -> Option<Value> {
    attempt.email_address.as_ref()?;
    let fields = attempt.fields.clone().unwrap_or_default();
    let must_be_verified =
        attempt.status != sign_up::Status::Complete && fields.unverified.contains(&Field::EmailAddress);
    let mut shape = match &attempt.email_verification {
        Some(verification) => verification::shown(verification, now),
        None if must_be_verified => json!({
            "object": "verification_otp",
            "status": ShownStatus::Unverified,
            "strategy": attempt.verification_strategies.first().unwrap_or(&MailStrategy::EmailCode),
            "attempts": null,
            "expire_at": null,
        }),
        None => return None,
    };
    let verification = attempt.email_verification.as_ref();
    let is_live = verification.is_some_and(|verification| verification.shown_status(now) == ShownStatus::Unverified);
    let next = match (must_be_verified, is_live) {
        (false, _) => "",
        (true, true) => "needs_attempt",
        (true, false) => "needs_prepare",
    };
    if let Some(shape) = shape.as_object_mut() {
        shape.insert("next_action".to_owned(), json!(next));
        shape.insert("supported_strategies".to_owned(), json!(attempt.verification_strategies));
    }
    Some(shape)
}
