//! Settings by name: `attributes.email_address.required`. What a name may be set to is what the type behind it accepts.

use serde_json::{Map, Value};

use super::settings::Settings;
use super::url_rules::is_web;

/// A setting that cannot be changed as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("unknown setting {0}")]
    Unknown(String),
    /// It does not take this value.
    #[error("{name} cannot be {value:?}: {why}")]
    Value {
        /// The setting.
        name: String,
        /// As it was written.
        value: String,
        /// What it takes.
        why: String,
    },
}

/// Every setting with its value in `settings`, by name.
pub fn all(settings: &Settings) -> Vec<(String, Value)> {
    let mut known = settings.clone();
    known.unknown = Map::new();
    let mut leaves = Vec::new();
    collect(String::new(), serde_json::to_value(known).unwrap_or_default(), &mut leaves);
    leaves
}

fn collect(prefix: String, value: Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                collect(name, member, leaves);
            }
        }
        leaf => leaves.push((prefix, leaf)),
    }
}

/// `document` with the setting `name` as `text` says; an empty text brings the default back.
///
/// # Errors
/// A name that is none; a value that the setting does not take.
pub fn change(document: &Value, name: &str, text: &str) -> Result<Value, SettingError> {
    let known = all(&Settings::default());
    let Some((_, default)) = known.iter().find(|(key, _)| key == name) else {
        return Err(SettingError::Unknown(name.to_owned()));
    };
    let refused =
        |why: &str| SettingError::Value { name: name.to_owned(), value: text.to_owned(), why: why.to_owned() };
    let value = if text.is_empty() { None } else { Some(read(default, text).map_err(|why| refused(&why))?) };
    if let Some(Value::String(url)) = value.as_ref().filter(|_| name.ends_with("_url"))
        && !url::Url::parse(url).is_ok_and(|url| is_web(&url))
    {
        return Err(refused("it takes an address that begins with https:// or http://"));
    }
    let mut changed = document.clone();
    set_value(&mut changed, name, value);
    serde_json::from_value::<Settings>(changed.clone()).map_err(|error| refused(&error.to_string()))?;
    Ok(changed)
}

/// Reads `text` as a value like `default`.
fn read(default: &Value, text: &str) -> Result<Value, String> {
    match default {
        Value::Bool(_) => switch(text).map(Value::Bool).ok_or_else(|| "it takes true or false".to_owned()),
        Value::Number(_) => text.parse::<u64>().map(Value::from).map_err(|_| "it takes a whole number".to_owned()),
        Value::Array(_) => Ok(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()),
        // Not set by default: a switch or a number if it looks like one.
        Value::Null => {
            let number = || text.parse::<u64>().ok().map(Value::from);
            Ok(switch(text).map(Value::Bool).or_else(number).unwrap_or_else(|| text.into()))
        }
        Value::String(_) | Value::Object(_) => Ok(text.into()),
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Puts `value` at the dotted `name`; `None` takes it away.
fn set_value(document: &mut Value, name: &str, value: Option<Value>) {
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Some(members) = document.as_object_mut() else { return };
    match (name.split_once('.'), value) {
        (Some((first, rest)), value) => {
            set_value(members.entry(first).or_insert_with(|| Value::Object(Map::new())), rest, value);
        }
        (None, Some(value)) => {
            members.insert(name.to_owned(), value);
        }
        (None, None) => {
            members.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_of_settings_has_each_with_its_default() {
        let page = include_str!("../../docs/instance-settings.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let of_row = |row: &str| {
            let (name, rest) = row.split_once("` | `")?;
            Some((name.to_owned(), rest.split_once("` |")?.0.to_owned()))
        };
        let mut listed: Vec<(String, String)> = rows.filter_map(of_row).collect();
        let mut known: Vec<(String, String)> =
            all(&Settings::default()).into_iter().map(|(name, value)| (name, value.to_string())).collect();
        known.sort();
        listed.sort();
        assert_eq!(listed, known, "docs/instance-settings.md is out of date");
    }

    #[test]
    fn values_are_typed_by_their_setting() {
        let document = json!({ "later": { "kept": 1 } });
        let changed = change(&document, "native_api", "off").unwrap();
        assert_eq!(changed, json!({ "later": { "kept": 1 }, "native_api": false }));
        let changed = change(&changed, "session.inactivity", "3600").unwrap();
        assert_eq!(changed["session"]["inactivity"], 3600);
        let changed = change(&changed, "oauth.default_scopes", "profile, email").unwrap();
        assert_eq!(changed["oauth"]["default_scopes"], json!(["profile", "email"]));
        let changed = change(&changed, "native_api", "").unwrap();
        assert!(changed.get("native_api").is_none(), "an empty value brings the default back");
    }

    #[test]
    fn what_a_setting_does_not_take_is_reported() {
        for (name, value) in [
            ("native_api", "maybe"),
            ("session.inactivity", "-1"),
            ("session.inactivity", "99999999999"),
            ("home_url", "javascript:alert(1)"),
            ("linking", "always"),
        ] {
            let refused = change(&json!({}), name, value).unwrap_err();
            assert!(matches!(&refused, SettingError::Value { name: told, .. } if told == name), "{name}={value}");
            assert!(refused.to_string().contains(value), "{refused}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_reported() {
        let told = change(&json!({}), "native_apl", "1").unwrap_err();
        assert_eq!(told, SettingError::Unknown("native_apl".to_owned()));
        assert!(change(&json!({}), "session", "1").is_err(), "a group is no setting");
    }
}
