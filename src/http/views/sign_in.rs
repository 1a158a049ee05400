//! A sign-in attempt.

use serde_json::{Value, json};

use super::{user, verification};
use crate::model::client::SignIn;
use crate::model::factor::Factor;
use crate::model::instance::Instance;
use crate::model::settings::EnumerationProtection;
use crate::model::time::{Timestamp, millis};
use crate::model::user::IdentificationStatus;

/// A sign-in attempt. While a provider is asked, and after it failed, the status stays `needs_identifier`: the SDK
/// takes anything else for a first factor to be verified.
pub fn sign_in(attempt: &SignIn, instance: &Instance, now: Timestamp) -> Value {
    let factors = attempt.first_factors.as_ref().map(|factors| factors.iter().map(factor).collect::<Vec<_>>());
    json!({
        "object": "sign_in",
        "id": attempt.id,
        "status": attempt.status,
        "supported_identifiers": identifiers(instance),
        "supported_first_factors": factors,
        "supported_second_factors": null,
        "first_factor_verification": attempt.first_factor.as_ref().map(|verification| verification::shown(verification, now)),
        "second_factor_verification": null,
        "identifier": attempt.identifier,
        "user_data": user_data(attempt, instance),
        "created_session_id": attempt.created_session_id,
        "abandon_at": millis(attempt.abandon_at),
        "client_trust_state": null,
        "protect_check": null,
    })
}

/// What people may type to say who they are.
fn identifiers(instance: &Instance) -> Vec<&'static str> {
    let attributes = &instance.settings.attributes;
    let known = [("email_address", attributes.email_address.enabled), ("username", attributes.username.is_enabled())];
    known.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
}

/// A factor. Members that are about an address are left out elsewhere.
pub fn factor(factor: &Factor) -> Value {
    match &factor.address {
        None => json!({ "strategy": factor.strategy }),
        Some(address) => json!({
            "strategy": factor.strategy,
            "safe_identifier": address.value.masked(),
            "email_address_id": address.id,
            "primary": address.is_primary,
        }),
    }
}

/// Whom the identifier led to; nobody where that must not be shown.
fn user_data(attempt: &SignIn, instance: &Instance) -> Option<Value> {
    if instance.settings.enumeration_protection == EnumerationProtection::Strict {
        return None;
    }
    let who = attempt.user.as_ref()?;
    // By an address that nobody has verified no one is identified who types it, and so no one who has a provider name it.
    let named = who.emails().find(|address| Some(&address.id) == attempt.identification_id.as_ref());
    let is_verified = named.is_none_or(|address| address.status != IdentificationStatus::Unverified);
    if !is_verified && instance.settings.attributes.email_address.verify_at_sign_up {
        return None;
    }
    Some(json!({
        "first_name": who.first_name,
        "last_name": who.last_name,
        "image_url": user::image_url(who, &instance.origin),
        "has_image": who.image_url.is_some(),
    }))
}
