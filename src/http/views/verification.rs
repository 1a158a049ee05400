//! Verifications: the same on both APIs. `object` names the kind, never plain `verification`: server SDKs tell them
//! apart by it.

use serde_json::{Value, json};

use crate::model::strategy::{AddressStrategy, MailStrategy, Strategy, of_provider};
use crate::model::time::{Timestamp, millis};
use crate::model::user::{ExternalAccount, Identification, IdentificationStatus};
use crate::model::verification::{LIFE, ShownStatus, Status, Verification};

/// A verification inside an attempt, whatever its kind.
pub fn shown(verification: &Verification, now: Timestamp) -> Value {
    let object = match verification.strategy {
        Strategy::EmailLink => "verification_email_link",
        Strategy::Password => "verification_password",
        Strategy::OAuth(_) => return oauth(verification, now),
        Strategy::EmailCode | Strategy::ResetPasswordEmailCode | Strategy::Unchosen => "verification_otp",
    };
    json!({
        "object": object,
        "status": verification.shown_status(now),
        "strategy": verification.strategy,
        "attempts": verification.attempts,
        "expire_at": millis(verification.expires_at),
    })
}

/// A provider's verification inside an attempt.
pub fn oauth(verification: &Verification, now: Timestamp) -> Value {
    let mut shape = json!({
        "object": "verification_oauth",
        "status": verification.shown_status(now),
        "strategy": verification.strategy,
        "error": verification.error,
        "expire_at": millis(verification.expires_at),
        "attempts": (verification.attempts > 0).then_some(verification.attempts),
    });
    if let (Some(url), Some(shape)) = (&verification.external_url, shape.as_object_mut()) {
        shape.insert("external_verification_redirect_url".to_owned(), json!(url));
    }
    shape
}

/// The verification behind an external account. A refused one stays `unverified` until its authorization's time is
/// over.
pub fn of_account(account: &ExternalAccount, now: Timestamp) -> Value {
    let expires_at = account.expires_at.unwrap_or_else(|| account.verified_at.unwrap_or(account.created_at) + LIFE);
    let status = match account.is_verified {
        true => Status::Verified,
        false => Status::Unverified,
    };
    json!({
        "object": "verification_oauth",
        "status": status.shown(expires_at, now),
        "strategy": of_provider(&account.provider),
        "error": account.shown_error(),
        "expire_at": millis(expires_at),
        "attempts": (account.is_verified || account.shown_error().is_some()).then_some(1),
    })
}

/// The verification behind an address; null when nothing began.
pub fn of_address(address: &Identification) -> Value {
    let Some(strategy) = &address.verification_strategy else { return Value::Null };
    let object = match strategy {
        AddressStrategy::FromOAuth(_) => "verification_from_oauth",
        AddressStrategy::Mail(MailStrategy::EmailLink) => "verification_email_link",
        AddressStrategy::Admin => "verification_admin",
        AddressStrategy::Mail(MailStrategy::EmailCode) => "verification_otp",
    };
    let is_verified = address.status == IdentificationStatus::Verified;
    json!({
        "object": object,
        "status": if is_verified { ShownStatus::Verified } else { ShownStatus::Unverified },
        "strategy": strategy,
        "attempts": null,
        "expire_at": null,
    })
}

/// The verification that an authorization has just begun to bring.
pub fn begun(account: &ExternalAccount, url: &str, now: Timestamp) -> Value {
    json!({
        "object": "verification_oauth",
        "status": ShownStatus::Unverified,
        "strategy": of_provider(&account.provider),
        "error": null,
        "expire_at": millis(now + LIFE),
        "attempts": null,
        "external_verification_redirect_url": url,
    })
}
