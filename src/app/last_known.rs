//! What public documents said last, for while the database is away. Whoever checks a token's signature needs keys, and
//! no database; nothing here decides about access.
//!
//! There is no limit of time: news alone removes something, or the database once it is read again.

use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::future::Cache;

use crate::model::id::InstanceId;
use crate::model::instance::Instance;
use crate::model::problem::{Error, FaultKind};
use crate::store::directory::KeyHolder;
use crate::store::signing_keys::OwnKeys;

/// How long the database is waited for where something is known.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long after a failure it is not asked again where something is known.
const REST: Duration = Duration::from_secs(1);

/// What was known last.
pub struct LastKnown {
    hosts: Cache<String, Arc<Instance>>,
    holders: Cache<[u8; 32], KeyHolder>,
    keys: Cache<InstanceId, Arc<OwnKeys>>,
    environments: Cache<InstanceId, Bytes>,
    /// When the database failed last.
    failed: Mutex<Option<Instant>>,
}

impl Default for LastKnown {
    fn default() -> Self {
        Self {
            hosts: Cache::new(10_000),
            holders: Cache::new(10_000),
            keys: Cache::new(1_000),
            environments: Cache::new(1_000),
            failed: Mutex::default(),
        }
    }
}

impl LastKnown {
    /// The instance that answers under a host, as `read`.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn host(&self, host: String, read: impl Read<Arc<Instance>>) -> Result<Arc<Instance>, Error> {
        self.or_last(&self.hosts, host, read).await
    }

    /// The holder of the secret key with this hash, as `read`.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn holder(&self, hash: [u8; 32], read: impl Read<KeyHolder>) -> Result<KeyHolder, Error> {
        self.or_last(&self.holders, hash, read).await
    }

    /// An instance's public keys, as `read`.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn keys(&self, instance: &InstanceId, read: impl Read<Arc<OwnKeys>>) -> Result<Arc<OwnKeys>, Error> {
        self.or_last(&self.keys, instance.clone(), read).await
    }

    /// An instance's environment, as `read`.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn environment(&self, instance: &InstanceId, read: impl Read<Bytes>) -> Result<Bytes, Error> {
        self.or_last(&self.environments, instance.clone(), read).await
    }

    /// Forgets everything: there is news.
    pub fn clear(&self) {
        self.hosts.invalidate_all();
        self.holders.invalidate_all();
        self.keys.invalidate_all();
        self.environments.invalidate_all();
    }

    /// What `read` gives; while the database is away, what it gave last.
    async fn or_last<K, V>(&self, last: &Cache<K, V>, key: K, read: impl Read<V>) -> Result<V, Error>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Some(known) = last.get(&key).await else {
            let value = read.await?;
            last.insert(key, value.clone()).await;
            return Ok(value);
        };
        if self.has_just_failed() {
            return Ok(known);
        }
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(value)) => {
                last.insert(key, value.clone()).await;
                Ok(value)
            }
            Ok(Err(error)) if !is_unavailable(&error) => {
                // It is no more.
                last.invalidate(&key).await;
                Err(error)
            }
            Ok(Err(_)) | Err(_) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                tracing::debug!("the database is away: serving what was known last");
                Ok(known)
            }
        }
    }

    fn has_just_failed(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < REST)
    }
}

/// A look at the database.
pub trait Read<V>: Future<Output = Result<V, Error>> + Send {}

impl<V, F: Future<Output = Result<V, Error>> + Send> Read<V> for F {}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Fault(fault) if fault.kind == FaultKind::Unavailable)
}
