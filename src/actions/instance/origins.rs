//! The web origins that may receive an instance's redirects and its credentialed answers, beside its own and its home.

use serde_json::json;
use url::Url;

use super::new::origin;
use crate::app::App;
use crate::model::instance::{Environment, Instance};
use crate::model::problem::Error;
use crate::model::url_rules::{Scheme, is_loopback_origin};
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::instances;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

/// The most origins of an instance.
const MOST: usize = 50;

/// Why the list was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It cannot be listed.
    #[error("\"{given}\" cannot be an origin of this instance: {reason}")]
    Unfit {
        /// As given.
        given: String,
        /// Half a sentence.
        reason: &'static str,
    },
    /// It was not listed.
    #[error("{0} was not added to this instance's origins")]
    Unlisted(String),
    /// The list is full.
    #[error("an instance has at most {MOST} origins")]
    Full,
    /// Ours.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<sqlx::Error> for OriginError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Lists an origin; returns it as browsers spell it. One that is listed already stays.
///
/// # Errors
/// What is no origin; on production instances what is not https, or only this machine's.
pub async fn allow_origin(app: &App, instance: &Instance, given: &str, actor: Actor) -> Result<String, OriginError> {
    let origin = fit(instance, given)?;
    let (listed, actor) = (&origin, &actor);
    transact(app.db_of(instance), "origin.allow", |tx| {
        async move {
            // Locked, so that two additions at once cannot both be the last.
            instances::lock_settings(tx).await?;
            if instances::allow_origin(tx, listed, app.clock.now()).await? {
                if instances::origins(tx).await? > MOST {
                    return Err(Aborted::Error(OriginError::Full));
                }
                tell(app, tx, instance, json!({ "allowed_origins": { "added": listed } }), actor.clone())
                    .await
                    .map_err(Aborted::Error)?;
            }
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    app.forget_directory();
    Ok(origin)
}

/// Takes an origin off the list; returns it as browsers spell it.
///
/// # Errors
/// What is no origin, or was never added.
pub async fn drop_origin(app: &App, instance: &Instance, given: &str, actor: Actor) -> Result<String, OriginError> {
    let origin = fit(instance, given)?;
    let (listed, actor) = (&origin, &actor);
    transact(app.db_of(instance), "origin.drop", |tx| {
        async move {
            if !instances::drop_origin(tx, listed).await? {
                return Err(Aborted::Error(OriginError::Unlisted(listed.clone())));
            }
            tell(app, tx, instance, json!({ "allowed_origins": { "removed": listed } }), actor.clone())
                .await
                .map_err(Aborted::Error)?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    app.forget_directory();
    Ok(origin)
}

fn fit(instance: &Instance, given: &str) -> Result<String, OriginError> {
    let unfit = |reason| OriginError::Unfit { given: given.to_owned(), reason };
    let url: Url = origin(given).map_err(unfit)?;
    let origin = url.origin().ascii_serialization();
    if instance.environment != Environment::Production
        || (Scheme::of(&url) == Scheme::Https && !is_loopback_origin(&origin))
    {
        return Ok(origin);
    }
    Err(unfit("a production instance lists https origins of other machines"))
}

async fn tell(
    app: &App,
    db: &mut InstanceConnection<'_>,
    instance: &Instance,
    changes: serde_json::Value,
    actor: Actor,
) -> Result<(), OriginError> {
    let event = AuditEvent {
        target: Some(("instance", instance.id.as_str())),
        changes,
        ..AuditEvent::new(instance.id.as_str(), "instance.updated", actor, app.clock.now())
    };
    audit::append(&mut *db, app.rng.as_ref(), event).await?;
    Ok(instances::announce(db).await?)
}
