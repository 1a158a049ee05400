//! Switches and counters of simulated providers, as their state call shows and sets them.

use super::pool::PgConnection;
use super::simulator::{Place, TokenKind};
use crate::crypto::LookupHash;
use serde_json::Value;
use sqlx::postgres::types::PgInterval;

/// What a provider is switched to, and what it was asked.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The fault of every call.
    pub fault: Option<String>,
    /// The fault of the next calls, while any are left.
    pub fail_next: Option<Value>,
    /// How tokens are refreshed.
    pub refresh: Option<String>,
    /// How often each call came, by its name.
    pub calls: Value,
}

/// What came of one approval.
#[derive(Clone, Debug)]
pub struct Family {
    /// Who approved.
    pub provider_user_id: String,
    /// How often it was refreshed.
    pub generation: i32,
    /// Access tokens issued.
    pub access_tokens: i64,
    /// Refresh tokens issued.
    pub refresh_tokens: i64,
    /// Some of it was revoked.
    pub is_revoked: bool,
}

/// A code or token that was issued.
#[derive(Clone, Debug)]
pub struct Described {
    /// Which of them.
    pub kind: TokenKind,
    /// Who approved.
    pub provider_user_id: String,
    /// How many refreshes came before it.
    pub generation: i32,
    /// It is good now.
    pub is_valid: bool,
}

/// The switches; as they are at first where nothing was asked yet.
///
/// # Errors
/// Storage faults.
pub async fn provider(db: &mut PgConnection, place: Place<'_>) -> sqlx::Result<Provider> {
    let found = sqlx::query_as!(
        Provider,
        "select fault, case when (fail_next ->> 'count')::int > 0 then fail_next end as fail_next, refresh, calls
         from simulator_providers where instance_id = $1 and provider = $2",
        place.instance.as_str(),
        place.provider,
    )
    .fetch_optional(db)
    .await?;
    let calls = Value::Object(serde_json::Map::new());
    Ok(found.unwrap_or(Provider { fault: None, fail_next: None, refresh: None, calls }))
}

/// What came of every approval, the oldest thousand, in their order.
///
/// # Errors
/// Storage faults.
pub async fn families(db: &mut PgConnection, place: Place<'_>) -> sqlx::Result<Vec<Family>> {
    sqlx::query_as!(
        Family,
        r#"select provider_user_id, max(generation) as "generation!",
                  count(*) filter (where kind = 'access') as "access_tokens!",
                  count(*) filter (where kind = 'refresh') as "refresh_tokens!",
                  bool_or(revoked_at is not null) as "is_revoked!"
           from simulator_tokens where instance_id = $1 and provider = $2
           group by family_id, provider_user_id order by min(created_at) limit 1000"#,
        place.instance.as_str(),
        place.provider,
    )
    .fetch_all(db)
    .await
}

/// A code or token; `None` if it was never issued here.
///
/// # Errors
/// Storage faults.
pub async fn describe(db: &mut PgConnection, place: Place<'_>, hash: LookupHash) -> sqlx::Result<Option<Described>> {
    sqlx::query_as!(
        Described,
        r#"select t.kind as "kind: TokenKind", t.provider_user_id, t.generation,
                  (t.used_at is null and t.revoked_at is null and (t.expires_at is null or t.expires_at > now() + $4)
                   and not exists (select 1 from simulator_providers p
                                   where p.instance_id = $1 and p.provider = $3 and t.kind = 'access'
                                     and t.created_at <= p.tokens_expired_before)) as "is_valid!"
           from simulator_tokens t where t.instance_id = $1 and t.hash = $2 and t.provider = $3"#,
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
        place.offset as &PgInterval,
    )
    .fetch_optional(db)
    .await
}

/// Sets or, with `None`, takes back the fault of every call.
///
/// # Errors
/// Storage faults.
pub async fn set_fault(db: &mut PgConnection, place: Place<'_>, fault: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_providers (instance_id, provider, fault, updated_at) values ($1, $2, $3, now() + $4)
         on conflict on constraint simulator_providers_pkey do update
         set fault = excluded.fault, updated_at = excluded.updated_at",
        place.instance.as_str(),
        place.provider,
        fault,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sets or, with `None`, takes back how tokens are refreshed.
///
/// # Errors
/// Storage faults.
pub async fn set_refresh(db: &mut PgConnection, place: Place<'_>, behavior: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_providers (instance_id, provider, refresh, updated_at) values ($1, $2, $3, now() + $4)
         on conflict on constraint simulator_providers_pkey do update
         set refresh = excluded.refresh, updated_at = excluded.updated_at",
        place.instance.as_str(),
        place.provider,
        behavior,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sets or, with `None`, takes back the fault of the next calls: `{"fault", "calls", "count"}`.
///
/// # Errors
/// Storage faults.
pub async fn set_fail_next(db: &mut PgConnection, place: Place<'_>, next: Option<&Value>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_providers (instance_id, provider, fail_next, updated_at) values ($1, $2, $3, now() + $4)
         on conflict on constraint simulator_providers_pkey do update
         set fail_next = excluded.fail_next, updated_at = excluded.updated_at",
        place.instance.as_str(),
        place.provider,
        next,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives somebody another address, or with `None` none.
///
/// # Errors
/// Storage faults.
pub async fn set_email(
    db: &mut PgConnection,
    place: Place<'_>,
    provider_user_id: &str,
    email: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update simulator_people set person = jsonb_set(person, '{email}', coalesce(to_jsonb($4::text), 'null'))
         where instance_id = $1 and provider = $2 and provider_user_id = $3",
        place.instance.as_str(),
        place.provider,
        provider_user_id,
        email,
    )
    .execute(db)
    .await?;
    Ok(())
}
