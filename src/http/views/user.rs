//! A user, in the shapes of both APIs; they differ in what the frontend must not see.

use serde_json::{Value, json};

use super::verification;
use crate::model::id::ExternalAccountId;
use crate::model::instance::Instance;
use crate::model::strategy::of_provider;
use crate::model::time::{Timestamp, midnight, millis};
use crate::model::user::{ExternalAccount, Identification, IdentificationStatus, User};

/// The picture of a user who has none: served by us, the same for everybody (`http::avatar`).
pub const DEFAULT_IMAGE_PATH: &str = "/static/avatar.svg";

/// Who sees the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A backend with the secret key.
    Backend,
    /// A browser: no private metadata.
    Frontend,
}

/// A user. Where accounts of `instance` never lock, nobody has a number of tries left: null.
pub fn user(user: &User, audience: Audience, instance: &Instance, now: Timestamp) -> Value {
    let image_url = image_url(user, &instance.origin);
    let emails: Vec<Value> = user.emails().map(email_address).collect();
    let accounts: Vec<Value> = user.external_accounts.iter().map(|account| external_account(account, now)).collect();
    let lockout = user.locked_until.filter(|_| user.is_locked(now)).map(|until| (until - now).whole_seconds().max(0));
    let tries = instance.settings.lockout.rule().map(|rule| user.tries_left(rule, now));
    let mut shape = json!({
        "object": "user",
        "id": user.id,
        "external_id": user.external_id,
        "primary_email_address_id": user.primary_email().map(|address| &address.id),
        "primary_phone_number_id": null,
        "primary_web3_wallet_id": null,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "locale": user.locale,
        "image_url": image_url,
        "profile_image_url": image_url,
        "has_image": user.image_url.is_some(),
        "public_metadata": user.public_metadata,
        "unsafe_metadata": user.unsafe_metadata,
        "email_addresses": emails,
        "phone_numbers": [],
        "web3_wallets": [],
        "passkeys": [],
        "organization_memberships": [],
        "external_accounts": accounts,
        "saml_accounts": [],
        "enterprise_accounts": [],
        "password_enabled": user.has_password,
        "two_factor_enabled": false,
        "totp_enabled": false,
        "backup_code_enabled": false,
        "mfa_enabled_at": null,
        "mfa_disabled_at": null,
        "banned": user.banned_at.is_some(),
        "locked": user.is_locked(now),
        "lockout_expires_in_seconds": lockout,
        "verification_attempts_remaining": tries,
        "delete_self_enabled": user.delete_self_enabled,
        "create_organization_enabled": user.create_organization_enabled,
        "last_sign_in_at": user.last_sign_in_at.map(millis),
        "last_active_at": user.last_active_at.map(|moment| millis(midnight(moment))),
        "legal_accepted_at": user.legal_accepted_at.map(millis),
        "created_at": millis(user.created_at),
        "updated_at": millis(user.updated_at),
    });
    if let (Audience::Backend, Some(shape)) = (audience, shape.as_object_mut()) {
        shape.insert("private_metadata".to_owned(), user.private_metadata.clone());
    }
    shape
}

/// The user's picture, or ours for those who have none: the member is never empty.
pub fn image_url(user: &User, origin: &str) -> String {
    user.image_url.clone().unwrap_or_else(|| format!("{origin}{DEFAULT_IMAGE_PATH}"))
}

/// An e-mail address.
pub fn email_address(address: &Identification) -> Value {
    json!({
        "object": "email_address",
        "id": address.id,
        "email_address": address.value,
        "reserved": address.status == IdentificationStatus::Reserved,
        "verification": verification::of_address(address),
        "linked_to": address.linked_to,
        "matches_sso_connection": false,
        "created_at": millis(address.created_at),
        "updated_at": millis(address.updated_at),
    })
}

/// An external account; unset texts are empty, not null.
pub fn external_account(account: &ExternalAccount, now: Timestamp) -> Value {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    json!({
        "object": "external_account",
        "id": account.id,
        "provider": of_provider(&account.provider),
        "identification_id": account.identification_id,
        "provider_user_id": text(&account.provider_user_id),
        "approved_scopes": account.approved_scopes.join(" "),
        "email_address": text(&account.email_address),
        "first_name": text(&account.first_name),
        "last_name": text(&account.last_name),
        "avatar_url": text(&account.avatar_url),
        "image_url": account.avatar_url,
        "username": account.username,
        "phone_number": account.phone_number,
        "public_metadata": account.public_metadata,
        "label": account.label,
        "verification": verification::of_account(account, now),
        "created_at": millis(account.created_at),
        "updated_at": millis(account.updated_at),
    })
}

/// An account whose authorization to the provider has just begun. The address is shown to whoever began, and to nobody
/// later: it holds the state.
pub fn begun_account(account: &ExternalAccount, url: &str, now: Timestamp) -> Value {
    let mut shape = external_account(account, now);
    if let Some(shape) = shape.as_object_mut() {
        shape.insert("verification".to_owned(), verification::begun(account, url, now));
    }
    shape
}

/// What is left of an account that was removed.
pub fn deleted_account(id: &ExternalAccountId) -> Value {
    json!({ "object": "external_account", "id": id, "deleted": true })
}
