//! Creating an instance, in one transaction.

use serde_json::json;

use super::change::store_secret_key;
use super::new::{CreateError, NewInstance, hosts};
use crate::actions::signing_keys::{self, NewKeys};
use crate::app::App;
use crate::crypto::Secret;
use crate::model::id::{AppId, InstanceId};
use crate::model::instance::{Environment, publishable_key};
use crate::model::problem::{Error, Fault};
use crate::store::InstanceConnection;
use crate::store::audit::{Actor, AuditEvent};
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{audit, instances, provider_configs, violates};

/// A new instance and its keys; the secret one is shown this once.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: InstanceId,
    /// Its publishable key.
    pub publishable_key: String,
    /// Its first secret key.
    pub secret_key: Secret,
}

/// Makes the instance. Its first secret key is in the answer and nowhere else.
///
/// # Errors
/// A taken name or host; storage faults.
pub async fn create(app: &App, new: &NewInstance, actor: Actor) -> Result<Created, CreateError> {
    let keys = NewKeys::generate().await?;
    let (now, rng) = (app.clock.now(), app.rng.as_ref());
    let id = InstanceId::new(now, rng);
    let publishable_key = publishable_key(new.key_form, &new.key_host);
    let (keys, new_id, key, actor) = (&keys, &id, &publishable_key, &actor);
    let secret_key =
        transact(InstanceConnection::of_pool(&app.db, new_id, time::Duration::ZERO), "instance.create", |tx| {
            async move {
                let row = instances::NewInstance {
                    id: new_id,
                    application_id: &AppId::new(now, rng),
                    name: &new.name,
                    environment: new.environment,
                    key_form: new.key_form,
                    publishable_key: key,
                    origin: &new.origin(),
                    settings: &new.settings(),
                    at: now,
                };
                write(app, tx, new, &row, keys).await.map_err(|error| Aborted::Error(explain(new, error)))?;
                let secret_key = store_secret_key(app, tx, new.key_form, "Default").await.map_err(Aborted::by)?;
                let event = AuditEvent {
                    target: Some(("instance", new_id.as_str())),
                    changes: json!({
                        "name": new.name, "environment_type": new.environment.as_str(), "frontend_api": new.origin()
                    }),
                    ..AuditEvent::new(new_id.as_str(), "instance.created", actor.clone(), now)
                };
                audit::append(&mut *tx, rng, event).await?;
                instances::announce(&mut *tx).await?;
                Ok(Committed::Done(secret_key))
            }
            .scope_boxed()
        })
        .await?;
    app.forget_directory();
    Ok(Created { id, publishable_key, secret_key })
}

async fn write(
    app: &App,
    db: &mut InstanceConnection<'_>,
    new: &NewInstance,
    row: &instances::NewInstance<'_>,
    keys: &NewKeys,
) -> Result<(), Error> {
    instances::insert(&mut *db, row).await?;
    for (host, kind) in hosts(new) {
        instances::add_host(db, &host, kind).await?;
    }
    if let Some(home) = &new.home {
        instances::add_home_origin(db, &home.origin().ascii_serialization(), row.at).await?;
    }
    signing_keys::insert_both(app, db, row.id, keys, row.at).await?;
    if new.environment == Environment::Development {
        for provider in app.catalogue.all() {
            let blocks_subaddresses = provider.blocks_email_subaddresses();
            provider_configs::enable_simulated(db, &provider.slug, blocks_subaddresses, row.at).await?;
        }
    }
    Ok(())
}

/// A violated constraint in words.
fn explain(new: &NewInstance, error: Error) -> CreateError {
    let Error::Fault(Fault { source, .. }) = &error else { return error.into() };
    let Some(violation) = source.downcast_ref::<sqlx::Error>() else { return error.into() };
    if violates(violation, "instances_name_key") {
        return CreateError::NameTaken(new.name.clone());
    }
    let hosts = ["instances_publishable_key_key", "instance_hosts_pkey"];
    if hosts.iter().any(|constraint| violates(violation, constraint)) {
        return CreateError::HostTaken(new.key_host.clone());
    }
    error.into()
}
