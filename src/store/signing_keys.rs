//! An instance's RSA keys: what each signs, sealed private halves, and the public ones with the times that say which
//! signs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::InstanceConnection;
use super::pool::PgPool;
use crate::crypto::jwt::KeySet;
use crate::crypto::{KeyRing, PublicJwk, SealedAt, SigningKey};
use crate::model::id::InstanceId;
use crate::model::problem::Error;
use crate::model::signing_key::{KeyPurpose, KeyState, KeyTimes};
use crate::model::time::Timestamp;

/// How long keys may be used without a look at the database, if no notification comes. A new key is published at least
/// [`PUBLIC_BEFORE_USE`](crate::model::signing_key::PUBLIC_BEFORE_USE) before it signs.
const LIFE: Duration = Duration::from_secs(30);

/// Where a private key is sealed.
pub fn sealed_at<'a>(instance: &'a InstanceId, kid: &'a str) -> SealedAt<'a> {
    SealedAt { table: "signing_keys", column: "private_key_sealed", row: kid, instance: instance.as_str() }
}

/// A key to store.
#[derive(Clone, Copy)]
pub struct NewKey<'a> {
    /// What it signs.
    pub purpose: KeyPurpose,
    /// The public half.
    pub jwk: &'a PublicJwk,
    /// The private half, sealed.
    pub sealed: &'a [u8],
    /// When it becomes public.
    pub published_at: Timestamp,
}

/// Stores a key that signs from `active_from` on.
///
/// # Errors
/// Storage faults; `signing_keys_active_from_key` if another key of this purpose begins at the same moment.
pub async fn insert(db: &mut InstanceConnection<'_>, key: &NewKey<'_>, active_from: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into signing_keys (instance_id, kid, purpose, algorithm, private_key_sealed, public_jwk, published_at,
               active_from)
           values ($1, $2, $3, 'RS256', $4, $5, $6, $7)"#,
        db.instance().as_str(),
        key.jwk.kid,
        key.purpose as KeyPurpose,
        key.sealed,
        sqlx::types::Json(key.jwk) as _,
        key.published_at,
        active_from
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a key of a purpose that the instance has no key of, dated a microsecond before its first key: the previous
/// release, which may still serve, signs everything with the newest. False if it has one by now: of several replicas that
/// try, all but one meet the same date.
///
/// # Errors
/// Storage faults.
pub async fn insert_first(db: &mut InstanceConnection<'_>, key: &NewKey<'_>) -> sqlx::Result<bool> {
    let stored = sqlx::query!(
        r#"insert into signing_keys (instance_id, kid, purpose, algorithm, private_key_sealed, public_jwk, published_at,
               active_from)
           select $1, $2, $3, 'RS256', $4, $5, $6, min(k.active_from) - interval '1 microsecond'
           from signing_keys k where k.instance_id = $1
           having min(k.active_from) is not null and not coalesce(bool_or(k.purpose = $3), false)
           on conflict on constraint signing_keys_active_from_key do nothing"#,
        db.instance().as_str(),
        key.jwk.kid,
        key.purpose as KeyPurpose,
        key.sealed,
        sqlx::types::Json(key.jwk) as _,
        key.published_at
    )
    .execute(db)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// The instances that never had a key of this purpose.
///
/// # Errors
/// Storage faults.
pub async fn lacking(db: &PgPool, purpose: KeyPurpose) -> sqlx::Result<Vec<InstanceId>> {
    sqlx::query_scalar!(
        r#"select i.id as "id: InstanceId" from instances i
           where i.deleted_at is null
             and not exists (select from signing_keys k where k.instance_id = i.id and k.purpose = $1)
           order by i.created_at, i.id"#,
        purpose as KeyPurpose
    )
    .fetch_all(db)
    .await
}

/// Whether the instance ever had a key of this purpose.
///
/// # Errors
/// Storage faults.
pub async fn has_ever_existed(db: &mut InstanceConnection<'_>, purpose: KeyPurpose) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from signing_keys where instance_id = $1 and purpose = $2) as "had!""#,
        db.instance().as_str(),
        purpose as KeyPurpose
    )
    .fetch_one(db)
    .await
}

/// A published key.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub kid: String,
    /// What it signs.
    pub purpose: KeyPurpose,
    /// The sealed private half; gone once it no longer signs.
    pub private_key_sealed: Option<Vec<u8>>,
    /// The public half.
    pub public_jwk: sqlx::types::Json<PublicJwk>,
    /// When it became public.
    pub published_at: Timestamp,
    /// When it begins to sign.
    pub active_from: Timestamp,
    /// When it leaves the key sets.
    pub removed_from: Option<Timestamp>,
}

/// The keys that the key sets show at `now`, the newest first.
///
/// # Errors
/// Storage faults.
pub async fn published(db: &mut InstanceConnection<'_>, now: Timestamp) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select kid, purpose as "purpose: KeyPurpose", private_key_sealed, public_jwk as "public_jwk: _", published_at,
               active_from, removed_from
           from signing_keys
           where instance_id = $1 and published_at <= $2 and revoked_at is null
             and (removed_from is null or removed_from > $2)
           order by active_from desc"#,
        db.instance().as_str(),
        now
    )
    .fetch_all(db)
    .await
}

/// One of an instance's published keys.
struct OwnKey {
    purpose: KeyPurpose,
    times: KeyTimes,
    /// Keys without a private half only verify.
    signing: Option<Arc<SigningKey>>,
}

/// The published keys of one instance, parsed.
pub struct OwnKeys {
    /// The newest first.
    keys: Vec<OwnKey>,
    /// For verifying session tokens and what else the session keys sign.
    pub session: KeySet,
    /// For verifying id_tokens.
    pub id_token: KeySet,
    /// The document of `/.well-known/jwks.json` (RFC 7517 section 5), ready to send: all keys.
    pub jwks: Bytes,
    /// The document of `/v1/jwks`, ready to send: only what session tokens are verified with.
    pub session_jwks: Bytes,
    /// There is no id_token key among them, and none is to be added.
    is_without_id_token_key: AtomicBool,
}

impl OwnKeys {
    /// True if it is known that the missing id_token key is no oversight.
    pub fn is_without_id_token_key(&self) -> bool {
        self.is_without_id_token_key.load(Ordering::Relaxed)
    }

    /// Notes that, so that nobody looks into the database for it again while these keys are the newest.
    pub fn stay_without_id_token_key(&self) {
        self.is_without_id_token_key.store(true, Ordering::Relaxed);
    }

    /// The key that signs at `now`: the newest of its purpose whose time has come. While an upgrade introduces the
    /// instance's first id_token key, the session key goes on signing id_tokens.
    pub fn active(&self, purpose: KeyPurpose, now: Timestamp) -> Option<&Arc<SigningKey>> {
        let purpose = match purpose {
            KeyPurpose::IdToken if self.session_key_signed_until().is_some_and(|until| now < until) => {
                KeyPurpose::Session
            }
            purpose => purpose,
        };
        let signs =
            |key: &&OwnKey| key.signing.is_some() && key.times.state(self.times(purpose), now) == KeyState::Active;
        self.keys.iter().filter(|key| key.purpose == purpose).find(signs)?.signing.as_ref()
    }

    /// Until when the session key signed this instance's id_tokens, if it ever did.
    pub fn session_key_signed_until(&self) -> Option<Timestamp> {
        self.times(KeyPurpose::IdToken).find_map(|times| times.introduced_until())
    }

    /// True if there is a key of this purpose.
    pub fn has(&self, purpose: KeyPurpose) -> bool {
        self.times(purpose).next().is_some()
    }

    fn times(&self, purpose: KeyPurpose) -> impl Iterator<Item = KeyTimes> {
        self.keys.iter().filter(move |key| key.purpose == purpose).map(|key| key.times)
    }

    fn read(ring: &KeyRing, instance: &InstanceId, rows: &[Row]) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let signing = match &row.private_key_sealed {
                None => None,
                Some(sealed) => {
                    let der = ring.open(&sealed_at(instance, &row.kid), sealed).map_err(Error::internal)?;
                    Some(Arc::new(SigningKey::from_pkcs8(&row.kid, &der).map_err(Error::internal)?))
                }
            };
            let times = KeyTimes {
                published_at: row.published_at,
                active_from: row.active_from,
                removed_from: row.removed_from,
                revoked_at: None,
            };
            keys.push(OwnKey { purpose: row.purpose, times, signing });
        }
        let of = |purpose| rows.iter().filter(move |row| row.purpose == purpose).map(|row| &row.public_jwk.0);
        Ok(Self {
            keys,
            session: KeySet::from_own(of(KeyPurpose::Session)),
            id_token: KeySet::from_own(of(KeyPurpose::IdToken)),
            jwks: document(rows.iter().map(|row| &row.public_jwk.0))?,
            session_jwks: document(of(KeyPurpose::Session))?,
            is_without_id_token_key: AtomicBool::new(false),
        })
    }
}

fn document<'a>(keys: impl Iterator<Item = &'a PublicJwk>) -> Result<Bytes, Error> {
    let keys: Vec<&PublicJwk> = keys.collect();
    Ok(serde_json::to_vec(&serde_json::json!({ "keys": keys })).map_err(Error::internal)?.into())
}

/// The keys of all instances that were asked for lately.
pub struct SigningKeys(moka::future::Cache<InstanceId, Arc<OwnKeys>>);

impl Default for SigningKeys {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(1_000).time_to_live(LIFE).build())
    }
}

impl SigningKeys {
    /// The keys of the instance at `now`.
    ///
    /// # Errors
    /// Storage faults; a key that does not open.
    pub async fn of(
        &self,
        db: &mut InstanceConnection<'_>,
        ring: &KeyRing,
        now: Timestamp,
    ) -> Result<Arc<OwnKeys>, Error> {
        let instance = db.instance();
        if let Some(keys) = self.0.get(instance).await {
            return Ok(keys);
        }
        let keys = Arc::new(OwnKeys::read(ring, instance, &published(db, now).await?)?);
        self.0.insert(instance.clone(), Arc::clone(&keys)).await;
        Ok(keys)
    }

    /// Forgets one instance's.
    pub async fn forget(&self, instance: &InstanceId) {
        self.0.invalidate(instance).await;
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}
