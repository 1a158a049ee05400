//! Reads collected values by their type. A mistake is noted and the default taken, so that all of them are reported at
//! once.

use std::time::Duration;

use super::sources::{Collected, Found, Written};
use super::value::{self, Listen, Rate};
use crate::crypto::{RingEntry, Secret};

/// What came up while reading.
pub(super) struct Notes {
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The settings that were asked for.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the list of settings by a test"))]
    pub(super) asked: Vec<&'static str>,
}

/// Reads values by their type; remembers what it was asked for.
pub(super) struct Reader {
    collected: Collected,
    asked: Vec<&'static str>,
}

impl Reader {
    pub(super) fn new(collected: Collected) -> Self {
        Self { collected, asked: Vec::new() }
    }

    /// Everything that was noted.
    pub(super) fn into_notes(self) -> Notes {
        Notes { problems: self.collected.problems, warnings: self.collected.warnings, asked: self.asked }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Found> {
        self.asked.push(key);
        self.collected.values.get(key).cloned()
    }

    /// Notes a mistake, at the value's origin.
    pub(super) fn refuse(&mut self, key: &str, problem: &str) {
        let origin = self.collected.values.get(key).map(|found| format!("{}: ", found.origin)).unwrap_or_default();
        self.collected.problems.push(format!("{origin}{key}: {problem}"));
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)?.value {
            Written::Text(text) | Written::Toml(toml::Value::String(text)) => Some(text),
            Written::Toml(_) => {
                self.refuse(key, "must be a text in quotes");
                None
            }
        }
    }

    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts: Option<Vec<String>> = match self.take(key)?.value {
            Written::Text(text) => {
                Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
            }
            Written::Toml(toml::Value::String(text)) => Some(vec![text]),
            Written::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| Some(item.as_str()?.to_owned())).collect()
            }
            Written::Toml(_) => None,
        };
        if texts.is_none() {
            self.refuse(key, "must be a list of texts: [\"a\", \"b\"]");
        }
        texts
    }

    pub(super) fn listeners(&mut self, key: &'static str, base: Vec<Listen>) -> Vec<Listen> {
        let Some(texts) = self.list(key) else { return base };
        let mut listeners = Vec::new();
        for text in &texts {
            match value::listen(text) {
                Ok(listen) => listeners.push(listen),
                Err(form) => self.refuse(key, &format!("\"{text}\" must be {form}")),
            }
        }
        if texts.is_empty() {
            self.refuse(key, "must name at least one address");
        }
        listeners
    }

    pub(super) fn flag(&mut self, key: &'static str, base: bool) -> bool {
        match self.take(key).map(|found| found.value) {
            None => base,
            Some(Written::Toml(toml::Value::Boolean(flag))) => flag,
            Some(Written::Text(text)) if text == "true" || text == "false" => text == "true",
            Some(_) => {
                self.refuse(key, "must be true or false");
                base
            }
        }
    }

    pub(super) fn number(&mut self, key: &'static str, base: usize, least: usize, most: usize) -> usize {
        let number = match self.take(key).map(|found| found.value) {
            None => return base,
            Some(Written::Toml(toml::Value::Integer(number))) => usize::try_from(number).ok(),
            Some(Written::Text(text)) => text.parse().ok(),
            Some(Written::Toml(_)) => None,
        };
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => number,
            None => {
                self.refuse(key, &format!("must be a whole number from {least} to {most}"));
                base
            }
        }
    }

    pub(super) fn duration(&mut self, key: &'static str, base: Duration) -> Duration {
        let text = match self.take(key).map(|found| found.value) {
            None => return base,
            Some(Written::Text(text) | Written::Toml(toml::Value::String(text))) => text,
            // A bare number has no unit; say so rather than guess.
            Some(Written::Toml(_)) => String::new(),
        };
        value::duration(&text).unwrap_or_else(|form| {
            self.refuse(key, &format!("must be {form}"));
            base
        })
    }

    pub(super) fn duration_of_at_least(&mut self, key: &'static str, base: Duration, least: Duration) -> Duration {
        let duration = self.duration(key, base);
        if duration >= least {
            return duration;
        }
        self.refuse(key, &format!("must be at least {} h", least.as_secs() / 3600));
        base
    }

    pub(super) fn rate(&mut self, key: &'static str, base: Rate) -> Rate {
        let text = match self.take(key).map(|found| found.value) {
            None => return base,
            Some(Written::Text(text) | Written::Toml(toml::Value::String(text))) => text,
            Some(Written::Toml(toml::Value::Integer(0))) => "0".to_owned(),
            Some(Written::Toml(_)) => String::new(),
        };
        value::rate(&text).unwrap_or_else(|form| {
            self.refuse(key, &format!("must be {form}"));
            base
        })
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, &format!("must be one of {}", names.join(", ")));
        }
        chosen
    }

    /// Checked, never shown: it holds a password.
    pub(super) fn database_url(&mut self, key: &'static str) -> Option<Secret> {
        let text = self.text(key).filter(|text| !text.is_empty())?;
        let is_ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !is_ours || text.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
            self.refuse(key, "must be like postgres://user:password@host:5432/database?sslmode=verify-full");
            return None;
        }
        Some(text.into())
    }

    /// `[[keys]]` with `id` and `secret` or `secret_file`.
    pub(super) fn key_tables(&mut self, value: &toml::Value) -> Result<Vec<RingEntry>, String> {
        const FORM: &str = "must be a list of { id = \"…\", secret = \"…\" } or { id = \"…\", secret_file = \"…\" }";
        let tables = value.as_array().ok_or(FORM)?;
        let mut entries = Vec::with_capacity(tables.len());
        for table in tables {
            let text = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
            let known = table.as_table().is_some_and(|table| table.len() == 2);
            let (true, Some(id)) = (known, text("id")) else { return Err(FORM.to_owned()) };
            let secret = match (text("secret"), text("secret_file")) {
                (Some(secret), None) => secret,
                (None, Some(path)) => {
                    std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?
                }
                _ => return Err(FORM.to_owned()),
            };
            entries.push(RingEntry { id, secret: secret.into() });
        }
        Ok(entries)
    }
}
