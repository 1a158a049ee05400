//! Side effects waiting to be done, written in the transaction of the change that causes them.

use serde_json::Value;
use sqlx::PgConnection;

use crate::model::id::{InstanceId, OutboxId};

/// What kind of side effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something happened that subscribers may want to know.
    Event,
}

impl Kind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
        }
    }
}

/// Puts a side effect into the outbox; its id is its idempotency key.
///
/// # Errors
/// Storage faults.
pub async fn put(
    db: &mut PgConnection,
    instance: &InstanceId,
    id: &OutboxId,
    kind: Kind,
    payload: &Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into outbox (instance_id, id, kind, payload, run_at, created_at)
           values ($1, $2, $3, $4, now(), now())"#,
        instance.as_str(),
        id.as_str(),
        kind.as_str(),
        payload,
    )
    .execute(db)
    .await?;
    Ok(())
}
