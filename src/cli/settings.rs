//! `vestibule instance set` and `vestibule instance show`.

use clap::Args;
use serde_json::{Map, Value, json};

use super::Global;
use super::failure::{Exit, Failure};
use super::open::{Open, actor};
use super::show;
use crate::actions::instance::{self, ChangeError};
use crate::config::keys;
use crate::model::instance::Instance;
use crate::model::setting_names::{self, SettingError};
use crate::model::settings::Settings;
use crate::store::redirect_urls;

/// Settings to change.
#[derive(Debug, Args)]
pub struct Set {
    /// Settings: NAME=VALUE; an empty value brings the default back
    #[arg(required = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl Set {
    /// Changes all of them, or none.
    pub async fn run(self, global: &Global, open: &Open) -> Result<(), Failure> {
        let instance = open.instance(global).await?;
        let mut changes = Vec::with_capacity(self.settings.len());
        for setting in &self.settings {
            let Some((name, value)) = setting.split_once('=') else {
                return Err(Failure::new(Exit::Usage, format!("{setting} is not of the form NAME=VALUE")));
            };
            changes.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let settings = match instance::change_settings(&open.app, &instance, &changes, actor()).await {
            Ok(settings) => settings,
            Err(ChangeError::Setting(error)) => return Err(refused(&error)),
            Err(ChangeError::Other(error)) => return Err(error.into()),
        };
        let named = |name: &str| changes.iter().any(|(changed, _)| changed == name);
        let now: Vec<(String, Value)> =
            setting_names::all(&settings).into_iter().filter(|(name, _)| named(name)).collect();
        let document: Map<String, Value> = now.iter().cloned().collect();
        show::answer(global, &document, || {
            now.iter().map(|(name, value)| format!("{name} = {}", format_value(value))).collect()
        })
    }
}

/// What is wrong, and the setting that was probably meant: by its whole name, or by its last part.
fn refused(error: &SettingError) -> Failure {
    let SettingError::Unknown(name) = error else { return Failure::new(Exit::Usage, error.to_string()) };
    let known = setting_names::all(&Settings::default()).into_iter().map(|(name, _)| name);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let (known, members): (Vec<String>, Vec<String>) = known.map(|name| (name.clone(), last(&name))).unzip();
    let whole = keys::nearest(name, known.iter().cloned());
    let member = || keys::nearest(name, members.iter().cloned()).filter(|_| !name.contains('.'));
    let meant = whole.or_else(|| {
        let member = member()?;
        known.into_iter().find(|name| last(name) == member)
    });
    let suggestion = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    Failure::new(Exit::Usage, format!("{error}{suggestion}"))
}

/// Shows an instance and its settings.
pub async fn show_instance(global: &Global, open: &Open) -> Result<(), Failure> {
    let instance = open.instance(global).await?;
    let listed = redirect_urls::list(&mut open.app.db_of(&instance)).await?;
    let urls: Vec<&str> = listed.iter().map(|listed| listed.url.as_str()).collect();
    let settings: Map<String, Value> = setting_names::all(&instance.settings).into_iter().collect();
    let document = json!({
        "id": instance.id, "name": instance.name, "environment_type": instance.environment.as_str(),
        "frontend_api": instance.origin, "publishable_key": instance.publishable_key, "origins": instance.origins,
        "redirect_urls": urls, "settings": settings,
    });
    show::answer(global, &document, || {
        let mut lines = about(&instance, &urls);
        lines.push(String::new());
        lines.extend(show::table(&rows(&instance.settings)));
        lines
    })
}

fn about(instance: &Instance, urls: &[&str]) -> Vec<String> {
    let mut lines = vec![
        format!("Instance         {} ({})", instance.name, instance.id),
        format!("Type             {}", instance.environment.as_str()),
        format!("Frontend API     {}", instance.origin),
        format!("Publishable key  {}", instance.publishable_key),
    ];
    lines.extend(instance.origins.iter().map(|origin| format!("Origin           {origin}")));
    lines.extend(urls.iter().map(|url| format!("Redirect URL     {url}")));
    lines
}

/// Each setting, and whether it was changed.
fn rows(settings: &Settings) -> Vec<Vec<String>> {
    let defaults = setting_names::all(&Settings::default());
    let row = |(name, value): (String, Value)| {
        let is_default = defaults.iter().any(|(key, default)| *key == name && *default == value);
        vec![name, format_value(&value), if is_default { String::new() } else { "(changed)".to_owned() }]
    };
    setting_names::all(settings).into_iter().map(row).collect()
}

/// A value as `set` reads it.
fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(list) => list.iter().map(format_value).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
