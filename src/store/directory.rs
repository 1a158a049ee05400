//! Which instance a request is for: by host name, by secret key, by id or name. Read through a short-lived cache that
//! a notification empties; everything else a statement looks up is read fresh.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::types::PgInterval;

use super::pool::PgPool;
use super::secret_keys;
use crate::crypto::ring::KeyRing;
use crate::crypto::{Lookup, LookupHash};
use crate::model::id::{AppId, InstanceId, SecretKeyId};
use crate::model::instance::{Environment, Instance, key_host};
use crate::model::problem::Error;

/// How long an entry may be served without a look at the database, if no notification comes.
const HOST_LIFE: Duration = Duration::from_secs(30);
/// The same for secret keys: a revoked key must not live long.
const KEY_LIFE: Duration = Duration::from_secs(5);

/// A caller with a secret key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The instance the key belongs to.
    pub instance: Arc<Instance>,
    /// Which of its keys it is.
    pub key: SecretKeyId,
}

/// A secret key as a caller presents it, with what it is looked up by.
pub struct PresentedKey<'a> {
    secret: &'a str,
    first: LookupHash,
}

impl<'a> PresentedKey<'a> {
    /// `secret`, hashed under the ring's first key: once for the whole request.
    pub fn new(ring: &KeyRing, secret: &'a str) -> Self {
        Self { secret, first: ring.lookup_hash(Lookup::SecretKey, secret) }
    }

    /// Its hash under the ring's first key.
    pub fn hash(&self) -> &LookupHash {
        &self.first
    }
}

/// The cached directory.
pub struct Directory {
    hosts: moka::future::Cache<String, Arc<Instance>>,
    keys: moka::future::Cache<[u8; 32], KeyHolder>,
}

impl Default for Directory {
    fn default() -> Self {
        let hosts = moka::future::Cache::builder().max_capacity(10_000).time_to_live(HOST_LIFE).build();
        let keys = moka::future::Cache::builder().max_capacity(10_000).time_to_live(KEY_LIFE).build();
        Self { hosts, keys }
    }
}

impl Directory {
    /// The instance that answers under `host` (lower case, no port); loopback names without a row of their own belong
    /// to the development instance `dev`, or the oldest one.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn by_host(
        &self,
        db: &PgPool,
        host: &str,
        is_loopback: LoopbackName,
    ) -> Result<Option<Arc<Instance>>, Error> {
        if let Some(known) = self.hosts.get(host).await {
            return Ok(Some(known));
        }
        let Some(instance) = load(db, Key { host: Some(host), loopback: is_loopback, ..Key::default() }).await? else {
            return Ok(None);
        };
        let instance = Arc::new(instance);
        self.hosts.insert(host.to_owned(), Arc::clone(&instance)).await;
        Ok(Some(instance))
    }

    /// The instance and key that `presented` names, under any key of the ring.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn by_secret_key(
        &self,
        db: &PgPool,
        ring: &KeyRing,
        presented: &PresentedKey<'_>,
    ) -> Result<Option<KeyHolder>, Error> {
        let first = presented.first;
        if let Some(known) = self.keys.get(first.as_bytes()).await {
            return Ok(Some(known));
        }
        // The first key's once more at the end: another replica may just have brought the key under it.
        let older: Vec<_> =
            ring.older_lookup_hashes(Lookup::SecretKey, presented.secret).map(|(_, hash)| hash).collect();
        let again = older.first().map(|_| first);
        for hash in std::iter::once(first).chain(older).chain(again) {
            let Some(key) = secret_key(db, hash.as_bytes()).await? else { continue };
            if hash != first {
                secret_keys::rehash(db, &hash, &first, ring.first_id()).await?;
            }
            let Some(instance) = load(db, Key { id: Some(&key.0), ..Key::default() }).await? else { return Ok(None) };
            let holder = KeyHolder { instance: Arc::new(instance), key: key.1 };
            self.keys.insert(*first.as_bytes(), holder.clone()).await;
            return Ok(Some(holder));
        }
        Ok(None)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.hosts.invalidate_all();
        self.keys.invalidate_all();
    }
}

/// Whether a host name is a loopback name, which belongs to the development instance by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopbackName {
    /// `localhost`, `127.0.0.1`, `[::1]`, `*.localhost`.
    Yes,
    /// Any other name.
    #[default]
    No,
}

/// What to load an instance by; exactly one member is set.
#[derive(Default)]
struct Key<'a> {
    host: Option<&'a str>,
    loopback: LoopbackName,
    id: Option<&'a InstanceId>,
    name: Option<&'a str>,
}

/// The instance with this id.
///
/// # Errors
/// Storage faults.
pub async fn by_id(db: &PgPool, id: &InstanceId) -> Result<Option<Instance>, Error> {
    load(db, Key { id: Some(id), ..Key::default() }).await
}

/// The instance with this name.
///
/// # Errors
/// Storage faults.
pub async fn by_name(db: &PgPool, name: &str) -> Result<Option<Instance>, Error> {
    load(db, Key { name: Some(name), ..Key::default() }).await
}

async fn secret_key(db: &PgPool, hash: &[u8]) -> Result<Option<(InstanceId, SecretKeyId)>, Error> {
    let row = sqlx::query!(
        r#"select instance_id as "instance_id: InstanceId", id as "id: SecretKeyId" from secret_keys
           where hash = $1 and revoked_at is null"#,
        hash
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.instance_id, row.id)))
}

async fn load(db: &PgPool, key: Key<'_>) -> Result<Option<Instance>, Error> {
    let row = sqlx::query!(
        r#"select i.id as "id: InstanceId", i.application_id as "application_id: AppId", i.name,
               i.environment_type as "environment: Environment",
               i.publishable_key, i.frontend_api_origin, i.settings, i.clock_offset,
               array(select o.origin from instance_origins o where o.instance_id = i.id order by o.origin)
                   as "origins!: Vec<String>"
           from instances i
           where i.deleted_at is null and i.id = coalesce(
               $1,
               (select n.id from instances n where n.name = $2),
               (select h.instance_id from instance_hosts h where h.host = $3),
               (select d.id from instances d
                where $4 and d.environment_type = 'development' and d.deleted_at is null
                order by (d.name = 'dev') desc, d.created_at limit 1))"#,
        key.id.map(InstanceId::as_str),
        key.name,
        key.host,
        key.loopback == LoopbackName::Yes,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let key_host = key_host(&row.publishable_key).ok_or_else(|| Error::internal("publishable key without host"))?;
    Ok(Some(Instance {
        id: row.id,
        application_id: row.application_id,
        name: row.name,
        environment: row.environment,
        publishable_key: row.publishable_key,
        origin: row.frontend_api_origin,
        key_host,
        settings: serde_json::from_value(row.settings).map_err(Error::internal)?,
        clock_offset: duration(&row.clock_offset),
        origins: row.origins,
    }))
}

/// An interval as a duration; clocks are moved by microseconds only, never by months.
fn duration(interval: &PgInterval) -> time::Duration {
    time::Duration::microseconds(interval.microseconds) + time::Duration::days(i64::from(interval.days))
}
