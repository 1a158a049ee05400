//! Exact rate limits: a sliding log of the last events per kind and key, counted over all replicas.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::time::Timestamp;

/// One log: what is counted, for whom, and how many may stand in it.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    /// What is counted.
    pub kind: &'a str,
    /// For whom: an address, a network, a user.
    pub key: &'a LookupHash,
    /// How many.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

impl Log<'_> {
    /// Its window, as the database takes it.
    pub(super) fn window(&self) -> PgInterval {
        PgInterval { months: 0, days: 0, microseconds: i64::try_from(self.window.as_micros()).unwrap_or(i64::MAX) }
    }
}

/// Writes an event into its log: its moment, or `None` if the log is full, and then nothing was written. Events later
/// than a minute from now are of a clock that was moved back; they count for nothing, else they would shut everybody out
/// until it is that late again.
///
/// # Errors
/// Storage faults.
pub async fn spend(db: &mut InstanceConnection<'_>, log: Log<'_>) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        r#"insert into rate_limits as r (instance_id, kind, key_hash, hits, expires_at)
           values ($1, $2, $3, array[now() + $6], now() + $6 + $5)
           on conflict (instance_id, kind, key_hash) do update
               set hits = array(select h from unnest(r.hits) h
                       where h > now() + $6 - $5::interval and h <= now() + $6 + interval '1 min') || (now() + $6),
                   expires_at = now() + $6 + $5
               where (select count(*) from unnest(r.hits) h
                       where h > now() + $6 - $5::interval and h <= now() + $6 + interval '1 min') < $4
           returning hits[cardinality(hits)] as "at!""#,
        db.instance().as_str(),
        log.kind,
        log.key.as_bytes().as_slice(),
        i64::from(log.count),
        log.window(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Takes one event of that moment out of its log again.
///
/// # Errors
/// Storage faults.
pub async fn release(db: &mut InstanceConnection<'_>, log: Log<'_>, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update rate_limits
           set hits = hits[:array_position(hits, $4) - 1] || hits[array_position(hits, $4) + 1:]
           where instance_id = $1 and kind = $2 and key_hash = $3 and array_position(hits, $4) is not null"#,
        db.instance().as_str(),
        log.kind,
        log.key.as_bytes().as_slice(),
        at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How long a full log stays full.
///
/// # Errors
/// Storage faults.
pub async fn wait(db: &mut InstanceConnection<'_>, log: Log<'_>) -> sqlx::Result<Duration> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from h + $5::interval - (now() + $6))::float8 as "seconds!"
           from rate_limits r, unnest(r.hits) h
           where r.instance_id = $1 and r.kind = $2 and r.key_hash = $3
               and h > now() + $6 - $5::interval and h <= now() + $6 + interval '1 min'
           order by h desc offset $4::bigint - 1 limit 1"#,
        db.instance().as_str(),
        log.kind,
        log.key.as_bytes().as_slice(),
        i64::from(log.count),
        log.window(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default())
}
