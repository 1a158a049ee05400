//! An instance's RSA keys: sealed private halves, and the public ones with the times that say which signs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::{PgConnection, PgPool};

use crate::crypto::jwt::KeySet;
use crate::crypto::{KeyRing, PublicJwk, SealedAt, SigningKey};
use crate::model::id::InstanceId;
use crate::model::problem::Error;
use crate::model::time::Timestamp;

/// How long keys may be used without a look at the database, if no notification comes. A new key is published at least
/// 15 minutes before it signs.
const LIFE: Duration = Duration::from_secs(30);

/// Where a private key is sealed.
pub fn sealed_at<'a>(instance: &'a InstanceId, kid: &'a str) -> SealedAt<'a> {
    SealedAt { table: "signing_keys", column: "private_key_sealed", row: kid, instance: instance.as_str() }
}

/// Stores a key that is published at once and signs from `active_from` on.
///
/// # Errors
/// Storage faults; `signing_keys_active_from_key` if another key begins at the same moment.
pub async fn insert(
    db: &mut PgConnection,
    instance: &InstanceId,
    jwk: &PublicJwk,
    sealed: &[u8],
    published_at: Timestamp,
    active_from: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into signing_keys (instance_id, kid, algorithm, private_key_sealed, public_jwk, published_at, active_from)
           values ($1, $2, 'RS256', $3, $4, $5, $6)"#,
        instance.as_str(),
        jwk.kid,
        sealed,
        sqlx::types::Json(jwk) as _,
        published_at,
        active_from
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A published key.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub kid: String,
    /// The sealed private half; gone once it no longer signs.
    pub private_key_sealed: Option<Vec<u8>>,
    /// The public half.
    pub public_jwk: sqlx::types::Json<PublicJwk>,
    /// When it begins to sign.
    pub active_from: Timestamp,
}

/// The keys that JWKS shows at `now`, the newest first.
///
/// # Errors
/// Storage faults.
pub async fn published(db: &PgPool, instance: &InstanceId, now: Timestamp) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select kid, private_key_sealed, public_jwk as "public_jwk: _", active_from from signing_keys
           where instance_id = $1 and published_at <= $2 and revoked_at is null
             and (removed_from is null or removed_from > $2)
           order by active_from desc"#,
        instance.as_str(),
        now
    )
    .fetch_all(db)
    .await
}

/// The published keys of one instance, parsed.
pub struct OwnKeys {
    /// The newest first; keys without a private half only verify.
    signing: Vec<(Timestamp, Arc<SigningKey>)>,
    /// All of them, for verifying our own tokens.
    pub verifying: KeySet,
    /// The JWKS document (RFC 7517 section 5), ready to send.
    pub jwks: Bytes,
}

impl OwnKeys {
    /// The key that signs at `now`: the newest whose time has come.
    pub fn active(&self, now: Timestamp) -> Option<&Arc<SigningKey>> {
        self.signing.iter().find(|(from, _)| *from <= now).map(|(_, key)| key)
    }

    fn read(ring: &KeyRing, instance: &InstanceId, rows: Vec<Row>) -> Result<Self, Error> {
        let mut signing = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(sealed) = &row.private_key_sealed else { continue };
            let der = ring.open(&sealed_at(instance, &row.kid), sealed).map_err(Error::internal)?;
            let key = SigningKey::from_pkcs8(&row.kid, &der).map_err(Error::internal)?;
            signing.push((row.active_from, Arc::new(key)));
        }
        let public: Vec<&PublicJwk> = rows.iter().map(|row| &row.public_jwk.0).collect();
        let jwks = serde_json::to_vec(&serde_json::json!({ "keys": public })).map_err(Error::internal)?;
        Ok(Self { signing, verifying: KeySet::from_own(public), jwks: jwks.into() })
    }
}

/// The keys of all instances that were asked for lately.
pub struct SigningKeys(moka::future::Cache<InstanceId, Arc<OwnKeys>>);

impl Default for SigningKeys {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(1_000).time_to_live(LIFE).build())
    }
}

impl SigningKeys {
    /// The keys of `instance` at `now`.
    ///
    /// # Errors
    /// Storage faults; a key that does not open.
    pub async fn of(
        &self,
        db: &PgPool,
        ring: &KeyRing,
        instance: &InstanceId,
        now: Timestamp,
    ) -> Result<Arc<OwnKeys>, Error> {
        if let Some(keys) = self.0.get(instance).await {
            return Ok(keys);
        }
        let keys = Arc::new(OwnKeys::read(ring, instance, published(db, instance, now).await?)?);
        self.0.insert(instance.clone(), Arc::clone(&keys)).await;
        Ok(keys)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.invalidate_all();
    }
}
