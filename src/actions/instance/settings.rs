//! Changing an instance's settings.

use serde_json::{Map, Value};

use crate::app::App;
use crate::model::instance::Instance;
use crate::model::problem::{Error, Result};
use crate::model::setting_names::{self, SettingError};
use crate::model::settings::Settings;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::instances;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// One of them is none, or does not take its value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Ours.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Sets each named setting to what its text says; all of them or none. Returns the settings as they are now.
///
/// # Errors
/// A name or value that is none; storage faults.
pub async fn change_settings(
    app: &App,
    instance: &Instance,
    changes: &[(String, String)],
    actor: Actor,
) -> Result<Settings, ChangeError> {
    let actor = &actor;
    let is = transact::<_, ChangeError>(app.db_of(instance), "instance.change_settings", |tx| {
        async move {
            let before = instances::lock_settings(tx).await?;
            let mut document = before.clone();
            for (name, text) in changes {
                document = setting_names::change(&document, name, text).map_err(Aborted::by)?;
            }
            let (was, is) = (read(&before).map_err(Aborted::by)?, read(&document).map_err(Aborted::by)?);
            instances::set_settings(tx, &document).await?;
            let event = AuditEvent {
                target: Some(("instance", instance.id.as_str())),
                changes: difference(&was, &is),
                ..AuditEvent::new(instance.id.as_str(), "instance.updated", actor.clone(), app.clock.now())
            };
            audit::append(&mut *tx, app.rng.as_ref(), event).await?;
            instances::announce(&mut *tx).await?;
            Ok(Committed::Done(is))
        }
        .scope_boxed()
    })
    .await?;
    app.forget_directory();
    Ok(is)
}

fn read(document: &Value) -> Result<Settings> {
    serde_json::from_value(document.clone()).map_err(Error::internal)
}

/// What was and what is, by name.
fn difference(was: &Settings, is: &Settings) -> Value {
    let before = setting_names::all(was);
    let changed = setting_names::all(is).into_iter().filter_map(|(name, now)| {
        let then = before.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()).unwrap_or_default();
        (then != now).then(|| (name, Value::Array(vec![then, now])))
    });
    Value::Object(changed.collect::<Map<_, _>>())
}
