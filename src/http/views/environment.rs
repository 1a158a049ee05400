//! What the browser SDK needs to know about an instance: every member of the published description, what is not offered
//! switched off.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::actions::configured::EnabledProvider;
use crate::model::first_factors::SupportedFactors;
use crate::model::instance::Instance;
use crate::model::settings::{EnumerationProtection, PlainAttribute};
use crate::model::strategy::Strategy;

/// The environment.
pub fn environment(instance: &Instance, offered: &[EnabledProvider], supported: SupportedFactors<'_>) -> Value {
    json!({
        "auth_config": auth_config(instance, offered, supported),
        "display_config": display_config(instance),
        "user_settings": user_settings(instance, offered, supported),
        "organization_settings": organization_settings(),
        "fraud_settings": { "object": "fraud_settings", "native": { "device_attestation_mode": "disabled" } },
        "commerce_settings": { "billing": {
            "stripe_publishable_key": null,
            "user": { "enabled": false, "has_paid_plans": false },
            "organization": { "enabled": false, "has_paid_plans": false },
        } },
        "api_keys_settings": { "enabled": false, "user_api_keys_enabled": false, "orgs_api_keys_enabled": false },
        "protect_config": { "object": "protect_config", "id": instance.id, "loaders": [] },
        "maintenance_mode": false,
        "client_debug_mode": false,
        "partitioned_cookies": false,
    })
}

fn auth_config(instance: &Instance, offered: &[EnabledProvider], supported: SupportedFactors<'_>) -> Value {
    let email = &instance.settings.attributes.email_address;
    let email = match (email.enabled, email.required) {
        (true, true) => "required",
        (true, false) => "on",
        (false, _) => "off",
    };
    let social = offered.iter().filter(|provider| provider.is_authenticatable).map(EnabledProvider::strategy);
    let strategies_of_addresses = supported.verification_strategies();
    let strategies: Vec<Strategy> = strategies_of_addresses.iter().copied().map(Strategy::from).chain(social).collect();
    let attributes = &instance.settings.attributes;
    let password = match (attributes.password.is_enabled(), attributes.password.required) {
        (true, true) => "required",
        (true, false) => "on",
        (false, _) => "off",
    };
    let password_factor = attributes.password.is_enabled().then_some(Strategy::Password);
    let first_factors: Vec<&Strategy> = password_factor.iter().chain(&strategies).collect();
    let plain = |attribute: PlainAttribute| match (attribute.is_enabled(), attribute.required) {
        (true, true) => "required",
        (true, false) => "on",
        (false, _) => "off",
    };
    json!({
        "object": "auth_config",
        "id": instance.id,
        "first_name": plain(attributes.first_name),
        "last_name": plain(attributes.last_name),
        "email_address": email,
        "phone_number": "off",
        "username": plain(attributes.username),
        "password": password,
        "identification_requirements": [],
        "identification_strategies": strategies,
        "first_factors": first_factors,
        "second_factors": [],
        "email_address_verification_strategies": strategies_of_addresses,
        "single_session_mode": instance.settings.single_session_mode,
        "enhanced_email_deliverability": false,
        "test_mode": instance.has_test_mode(),
        "cookieless_dev": false,
        "url_based_session_syncing": false,
        "claimed_at": null,
        "reverification": instance.settings.reverification,
        "preferred_channels": null,
        "session_minter": false,
        "native_settings": {
            "object": "native_settings",
            "api_enabled": false,
            "trusted_device_sign_in_enabled": false,
            "trusted_device_enrollment_prompt_after_sign_in_enabled": false,
            "trusted_device_enrollment_prompt_after_sign_up_enabled": false,
        },
    })
}

fn display_config(instance: &Instance) -> Value {
    let home = instance.home_url();
    let mut config = json!({
        "object": "display_config",
        "id": instance.id,
        "instance_environment_type": instance.environment.as_str(),
        "application_name": instance.display_name(),
        "theme": {},
        "preferred_sign_in_strategy": "otp",
        "logo_image_url": null,
        "logo_link_url": home,
        "logo_url": null,
        "logo_image": { "object": "image" },
        "favicon_image_url": null,
        "favicon_url": null,
        "favicon_image": { "object": "image" },
        "experimental_force_oauth_first": false,
        "home_url": home,
        "sign_in_url": instance.sign_in_url(),
        "sign_up_url": instance.url("/sign-up"),
        "user_profile_url": instance.url("/user"),
        "waitlist_url": instance.url("/waitlist"),
        "organization_profile_url": instance.url("/organization"),
        "create_organization_url": instance.url("/create-organization"),
        "oauth_consent_url": instance.consent_url(),
        "support_email": "",
        "branded": false,
        "clerk_js_version": "6",
        "show_devmode_warning": false,
        "google_one_tap_client_id": null,
        "help_url": null,
        "privacy_policy_url": null,
        "terms_url": null,
        "captcha_public_key": null,
        "captcha_public_key_invisible": null,
        "captcha_widget_type": null,
        "captcha_provider": null,
        "captcha_oauth_bypass": [],
        "captcha_heartbeat": false,
    });
    let after = [
        "after_sign_in_url",
        "after_sign_up_url",
        "after_sign_out_one_url",
        "after_sign_out_all_url",
        "after_switch_session_url",
        "after_join_waitlist_url",
        "after_leave_organization_url",
        "after_create_organization_url",
    ];
    if let Some(config) = config.as_object_mut() {
        config.extend(after.map(|name| (name.to_owned(), json!(home))));
    }
    config
}

fn user_settings(instance: &Instance, offered: &[EnabledProvider], supported: SupportedFactors<'_>) -> Value {
    json!({
        "social": social(offered),
        "attributes": attributes(instance, supported),
        "sign_in": { "second_factor": { "required": false, "enabled": false } },
        "sign_up": {
            "captcha_enabled": false,
            "captcha_widget_type": "invisible",
            "custom_action_required": false,
            "progressive": true,
            "mode": instance.settings.sign_up.mode,
            "legal_consent_enabled": instance.settings.legal_consent,
            "mfa": { "required": false },
        },
        "restrictions": {
            "allowlist": { "enabled": false },
            "blocklist": { "enabled": false },
            "allowlist_blocklist_disabled_on_sign_in": { "enabled": true },
            "block_email_subaddresses": { "enabled": false },
            "block_disposable_email_domains": { "enabled": false },
        },
        "actions": { "delete_self": false, "create_organization": false, "create_organizations_limit": null },
        "attack_protection": {
            "user_lockout": user_lockout(instance),
            "pii": { "enabled": false },
            "email_link": { "require_same_client": instance.settings.email.same_device },
            "enumeration_protection": {
                "enabled": instance.settings.enumeration_protection != EnumerationProtection::Off,
            },
        },
        "enterprise_sso": { "enabled": false, "self_serve_sso": false },
        "saml": { "enabled": false },
        "password_settings": password_settings(instance),
        "passkey_settings": {
            "allow_autofill": false,
            "show_sign_in_button": false,
            "satisfies_second_factor": true,
        },
        "username_settings": {
            "min_length": 4,
            "max_length": 64,
            "allow_extended_special_characters": false,
            "allow_numeric_usernames": false,
        },
    })
}

/// The providers, by strategy: the SDK sorts buttons by it.
fn social(offered: &[EnabledProvider]) -> BTreeMap<Strategy, Value> {
    let shape = |provider: &EnabledProvider| {
        json!({
            "enabled": true,
            "required": provider.is_required,
            "authenticatable": provider.is_authenticatable,
            "block_email_subaddresses": provider.blocks_email_subaddresses,
            "strategy": provider.strategy(),
            "not_selectable": provider.is_not_selectable,
            "deprecated": false,
            "name": provider.name,
            "logo_url": provider.logo_url,
        })
    };
    offered.iter().map(|provider| (provider.strategy(), shape(provider))).collect()
}

fn user_lockout(instance: &Instance) -> Value {
    let lockout = &instance.settings.lockout;
    let minutes = lockout.duration().map(time::Duration::whole_minutes);
    let attempts = lockout.rule().map_or(0, |rule| rule.attempts);
    json!({ "enabled": attempts > 0, "max_attempts": attempts, "duration_in_minutes": minutes })
}

fn password_settings(instance: &Instance) -> Value {
    let (least, most) = instance.settings.attributes.password.lengths();
    json!({
        "disable_hibp": true,
        "disable_password_reverification": false,
        "min_length": least,
        "max_length": most,
        "require_special_char": false,
        "require_numbers": false,
        "require_uppercase": false,
        "require_lowercase": false,
        "show_zxcvbn": false,
        "min_zxcvbn_strength": 0,
        "enforce_hibp_on_sign_in": false,
        "allowed_special_characters": "",
    })
}

/// Every attribute that the SDK knows.
fn attributes(instance: &Instance, supported: SupportedFactors<'_>) -> Value {
    let email = &instance.settings.attributes.email_address;
    let names = [
        "email_address",
        "phone_number",
        "username",
        "web3_wallet",
        "first_name",
        "last_name",
        "password",
        "authenticator_app",
        "backup_code",
        "passkey",
        "ticket",
    ];
    let rules = &instance.settings.attributes;
    let plain = |attribute: PlainAttribute| (attribute.is_enabled(), attribute.required);
    let shapes = names.map(|name| {
        let (enabled, required) = match name {
            "email_address" => (email.enabled, email.required),
            "username" => plain(rules.username),
            "first_name" => plain(rules.first_name),
            "last_name" => plain(rules.last_name),
            "password" => (rules.password.is_enabled(), rules.password.required),
            _ => (false, false),
        };
        let strategies_of_addresses =
            if name == "email_address" { supported.verification_strategies() } else { Vec::new() };
        let identifies = name == "username" && enabled || !strategies_of_addresses.is_empty();
        let shape = json!({
            "enabled": enabled,
            "required": required,
            "used_for_first_factor": identifies,
            "first_factors": strategies_of_addresses,
            "used_for_second_factor": false,
            "second_factors": [],
            "verifications": strategies_of_addresses,
            "verify_at_sign_up": name == "email_address" && email.verify_at_sign_up,
            "immutable": false,
        });
        (name.to_owned(), shape)
    });
    Value::Object(Map::from_iter(shapes))
}

fn organization_settings() -> Value {
    json!({
        "enabled": false,
        "creator_role": "",
        "max_allowed_memberships": 0,
        "force_organization_selection": false,
        "actions": { "admin_delete": false },
        "domains": { "enabled": false, "enrollment_modes": [], "default_role": "" },
        "slug": { "disabled": true },
        "organization_creation_defaults": { "enabled": false },
    })
}
