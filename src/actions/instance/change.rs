//! Changing an instance that exists.

use serde_json::json;

use super::new::NewInstance;
use crate::app::App;
use crate::crypto::{ExposeSecret, Lookup, Secret};
use crate::model::id::SecretKeyId;
use crate::model::instance::{Instance, KeyForm, publishable_key};
use crate::model::problem::{Error, Result};
use crate::model::random::base62;
use crate::store::InstanceConnection;
use crate::store::audit::{Actor, AuditEvent};
use crate::store::secret_keys::NewSecretKey;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{audit, instances, secret_keys};

/// Random characters of a secret key: 190 bits.
const SECRET_LENGTH: usize = 32;

/// Makes one more secret key. It is in the answer and nowhere else.
///
/// # Errors
/// Storage faults.
pub async fn add_secret_key(app: &App, instance: &Instance, name: &str, actor: Actor) -> Result<Secret> {
    let actor = &actor;
    transact::<_, Error>(app.db_of(instance), "secret_key.create", |tx| {
        async move {
            let secret = store_secret_key(app, tx, instance.key_form(), name).await?;
            let event = AuditEvent {
                changes: json!({ "name": name, "hint": hint(secret.expose_secret()) }),
                ..AuditEvent::new(instance.id.as_str(), "secret_key.created", actor.clone(), app.clock.now())
            };
            audit::append(&mut *tx, app.rng.as_ref(), event).await?;
            Ok(Committed::Done(secret))
        }
        .scope_boxed()
    })
    .await
}

/// Gives a development instance the address and key of `new`, whose other members do not count.
///
/// # Errors
/// Storage faults.
pub async fn move_to(app: &App, instance: &Instance, new: &NewInstance, actor: Actor) -> Result<()> {
    let key = publishable_key(new.key_form, &new.key_host);
    let (key, actor) = (&key, &actor);
    transact::<_, Error>(app.db_of(instance), "instance.move", |tx| {
        async move {
            instances::change_address(tx, &new.origin(), key).await?;
            let event = AuditEvent {
                target: Some(("instance", instance.id.as_str())),
                changes: json!({ "frontend_api": [instance.origin, new.origin()] }),
                ..AuditEvent::new(instance.id.as_str(), "instance.updated", actor.clone(), app.clock.now())
            };
            audit::append(&mut *tx, app.rng.as_ref(), event).await?;
            instances::announce(&mut *tx).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    app.forget_directory();
    Ok(())
}

pub(super) async fn store_secret_key(
    app: &App,
    db: &mut InstanceConnection<'_>,
    form: KeyForm,
    name: &str,
) -> Result<Secret> {
    let (now, rng) = (app.clock.now(), app.rng.as_ref());
    let text = format!("sk_{}_{}", form.as_str(), base62(rng, SECRET_LENGTH));
    let key = NewSecretKey {
        id: &SecretKeyId::new(now, rng),
        name,
        hash: &app.ring.lookup_hash(Lookup::SecretKey, &text),
        hash_key_id: app.ring.first_id(),
        hint: &hint(&text),
        at: now,
    };
    secret_keys::insert(db, &key).await?;
    Ok(text.into())
}

/// Prefix and last four characters: `sk_live_…x9Qz`.
fn hint(secret_key: &str) -> String {
    let prefix: String = secret_key.split_inclusive('_').take(2).collect();
    let tail: Vec<char> = secret_key.chars().rev().take(4).collect();
    format!("{prefix}…{}", tail.into_iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_shows_the_ends_only() {
        assert_eq!(hint("sk_live_abcdefghijklmnop"), "sk_live_…mnop");
    }
}
