//! Which of an instance's keys signs, and which verify; and an id_token key for instances of a release that had none.

use std::sync::Arc;

use serde_json::json;

use crate::app::App;
use crate::context::Ctx;
use crate::crypto::SigningKey;
use crate::model::id::InstanceId;
use crate::model::instance::Instance;
use crate::model::problem::{Error, Result};
use crate::model::signing_key::KeyPurpose;
use crate::model::time::Timestamp;
use crate::store::InstanceConnection;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::signing_keys::{self, NewKey, OwnKeys};
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{directory, instances};

/// The key that signs now, by the instance's clock: every replica changes at the same moment.
///
/// # Errors
/// Storage faults; an instance without such a key.
pub async fn active(ctx: &Ctx, purpose: KeyPurpose) -> Result<Arc<SigningKey>> {
    find_active(ctx, purpose).await?.ok_or_else(|| Error::internal("the instance has no such signing key"))
}

/// The same; `None` for an instance without such a key, because an operator revoked the only one.
///
/// # Errors
/// Storage faults.
pub async fn find_active(ctx: &Ctx, purpose: KeyPurpose) -> Result<Option<Arc<SigningKey>>> {
    let keys = published(&ctx.app, &ctx.instance).await?;
    Ok(keys.active(purpose, ctx.now).cloned())
}

/// The published keys: the JWKS documents, and what verifies our own tokens.
///
/// # Errors
/// Storage faults.
pub async fn published(app: &App, instance: &Instance) -> Result<Arc<OwnKeys>> {
    let now = app.clock.now() + instance.clock_offset;
    let read = async || app.signing_keys.of(&mut app.db_of(instance), &app.ring, now).await;
    let keys = read().await?;
    if keys.has(KeyPurpose::IdToken) || keys.is_without_id_token_key() {
        return Ok(keys);
    }
    // A process of the release that had no id_token keys may have made this instance after we started.
    if add_id_token_key(app, instance, now).await? == Added::HadOne {
        keys.stay_without_id_token_key();
        return Ok(keys);
    }
    app.signing_keys.forget(&instance.id).await;
    read().await
}

/// What became of an instance that shows no id_token key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// It has one now, of ours or of another replica.
    One,
    /// It had one, which an operator revoked: it gets no other by itself.
    HadOne,
}

/// Gives an id_token key to every instance that lacks one, at the start of each process: an instance of a release that
/// signed id_tokens with the session key.
///
/// # Errors
/// Storage faults.
pub async fn add_missing(app: &App) -> Result<()> {
    for id in signing_keys::lacking(&app.db, KeyPurpose::IdToken).await? {
        if let Some(instance) = directory::by_id(&app.db, &id).await? {
            add_id_token_key(app, &instance, app.clock.now() + instance.clock_offset).await?;
        }
    }
    Ok(())
}

/// Adds the key unless another replica was faster. It is published at once; until verifiers know it, the session key goes
/// on signing id_tokens ([`OwnKeys::active`]).
async fn add_id_token_key(app: &App, instance: &Instance, now: Timestamp) -> Result<Added> {
    if signing_keys::has_ever_existed(&mut app.db_of(instance), KeyPurpose::IdToken).await? {
        return Ok(Added::HadOne);
    }
    let key = generate().await?;
    let sealed = seal(app, &instance.id, &key)?;
    let new = NewKey { purpose: KeyPurpose::IdToken, jwk: key.public_jwk(), sealed: &sealed, published_at: now };
    let (key, new) = (&key, &new);
    transact(app.db_of(instance), "signing_key.create", |tx| {
        async move {
            if signing_keys::insert_first(tx, new).await? {
                let event = AuditEvent {
                    target: Some(("signing_key", key.kid())),
                    changes: json!({ "purpose": "id_token" }),
                    ..AuditEvent::new(instance.id.as_str(), "signing_key.created", Actor::System, app.clock.now())
                };
                audit::append(&mut *tx, app.rng.as_ref(), event).await?;
                instances::announce(&mut *tx).await?;
            }
            Ok(Committed::Done(Added::One))
        }
        .scope_boxed()
    })
    .await
}

/// The keys of a new instance, which sign at once: no token was signed before, so nobody has a key set without them.
///
/// # Errors
/// Storage faults.
pub(super) async fn insert_both(
    app: &App,
    db: &mut InstanceConnection<'_>,
    instance: &InstanceId,
    keys: &NewKeys,
    now: Timestamp,
) -> Result<()> {
    // The id_token key is the older one: a replica of the release that knows one purpose signs with the newest.
    let before = now - time::Duration::microseconds(1);
    for (purpose, key, at) in [(KeyPurpose::Session, &keys.session, now), (KeyPurpose::IdToken, &keys.id_token, before)]
    {
        let sealed = seal(app, instance, key)?;
        let new = NewKey { purpose, jwk: key.public_jwk(), sealed: &sealed, published_at: at };
        signing_keys::insert(db, &new, at).await?;
    }
    Ok(())
}

/// The keys of a new instance.
pub(super) struct NewKeys {
    session: SigningKey,
    id_token: SigningKey,
}

impl NewKeys {
    /// Takes 40 to 300 ms of arithmetic a key, off the async threads: before any transaction.
    pub(super) async fn generate() -> Result<Self> {
        let (session, id_token) = tokio::try_join!(generate(), generate())?;
        Ok(Self { session, id_token })
    }
}

async fn generate() -> Result<SigningKey> {
    tokio::task::spawn_blocking(SigningKey::generate).await.map_err(Error::internal)?.map_err(Error::internal)
}

fn seal(app: &App, instance: &InstanceId, key: &SigningKey) -> Result<Vec<u8>> {
    let pkcs8 = key.pkcs8().map_err(Error::internal)?;
    let at = signing_keys::sealed_at(instance, key.kid());
    app.ring.seal(app.rng.as_ref(), &at, &pkcs8).map_err(Error::internal)
}

/// The published keys, to be shown; while the database is away, as they were last.
///
/// # Errors
/// Storage faults, if they were never read.
pub async fn shown(app: &App, instance: &Instance) -> Result<Arc<OwnKeys>, Error> {
    app.last_known.keys(&instance.id, published(app, instance)).await
}
