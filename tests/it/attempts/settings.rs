//! What an instance demands, by chance.

use serde_json::{Value, json};

use super::dice::Dice;

/// Settings as they are stored.
pub fn settings(dice: &mut Dice) -> Value {
    let plain = |dice: &mut Dice, chance| json!({ "enabled": dice.percent(70), "required": dice.percent(chance) });
    let attributes = json!({
        "email_address": {
            "enabled": dice.percent(90),
            "required": dice.percent(80),
            "verify_at_sign_up": dice.percent(75),
        },
        "username": plain(dice, 20),
        "first_name": plain(dice, 15),
        "last_name": plain(dice, 10),
        "password": plain(dice, 25),
    });
    json!({
        "attributes": attributes,
        "legal_consent": dice.percent(20),
        "single_session_mode": dice.percent(70),
        "linking": if dice.percent(85) { "verified_only" } else { "never" },
        "enumeration_protection": dice.one_of(&["off", "off", "bulk", "strict"]),
        "email": { "code": dice.percent(90), "link": dice.percent(30), "same_device": true },
        "sign_up": {
            "mode": if dice.percent(92) { "public" } else { *dice.one_of(&["restricted", "waitlist"]) },
        },
    })
}

/// True if users can have this attribute.
pub fn is_enabled(settings: &Value, name: &str) -> bool {
    let rule = &settings["attributes"][name];
    rule["enabled"] == true || (rule["required"] == true && name != "email_address")
}

/// What a new user lacks of what these settings demand; `None` if nothing.
pub fn lacking(settings: &Value, user: &Value) -> Option<&'static str> {
    let is = |value: &Value| value.as_bool() == Some(true);
    let attributes = &settings["attributes"];
    let required = |name: &str| is(&attributes[name]["required"]);
    let email = user["email_addresses"].as_array().unwrap().first();
    if settings["sign_up"]["mode"] != "public" {
        return Some("an open registration");
    }
    if required("email_address") && email.is_none() {
        return Some("an address");
    }
    let must_be_verified = is(&attributes["email_address"]["verify_at_sign_up"]);
    if must_be_verified && email.is_some_and(|email| email["verification"]["status"] != "verified") {
        return Some("the verification of the address");
    }
    let is_social = user["external_accounts"]
        .as_array()
        .unwrap()
        .iter()
        .any(|account| account["verification"]["status"] == "verified");
    if required("password") && !is_social && !is(&user["password_enabled"]) {
        return Some("a password");
    }
    let absent = |name: &str| required(name) && user[name].is_null();
    let missing = ["username", "first_name", "last_name"].into_iter().find(|name| absent(name));
    if missing.is_some() {
        return missing;
    }
    if is(&settings["legal_consent"]) && user["legal_accepted_at"].is_null() {
        return Some("the terms");
    }
    let comes_back = is_social || email.is_some() || is(&user["password_enabled"]);
    (!comes_back).then_some("a way to come back")
}
