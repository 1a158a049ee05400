//! Trips that came to nothing, which are closed; attempts that are over, and what was asked in them: kept for a day, then
//! removed in batches.

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

use crate::model::id::{InstanceId, SocialFlowId};

/// Ends a trip that came to nothing; one that was finished after all stays as it is.
///
/// # Errors
/// Storage faults.
pub async fn close_trip(
    db: &PgPool,
    instance: &InstanceId,
    id: &SocialFlowId,
    outcome_url: &str,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update social_flows set finished_at = now() + $4, outcome_url = $3, pkce_verifier_sealed = null,
               callback_sealed = null
           where instance_id = $1 and id = $2 and finished_at is null"#,
        instance.as_str(),
        id.as_str(),
        outcome_url,
        offset,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes one batch of sign-ins whose time was over a day ago, with all that was asked in them. Returns how many.
///
/// # Errors
/// Storage faults.
pub async fn remove_sign_ins(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        r#"with old as (
               select s.instance_id, s.id from sign_ins s left join instances i on i.id = s.instance_id
               where s.abandon_at < now() + coalesce(i.clock_offset, '0') - interval '24 h'
               limit $1 for update of s skip locked
           ),
           forgotten as (
               delete from verifications v using old where v.instance_id = old.instance_id and v.owner_id = old.id
           )
           delete from sign_ins s using old where s.instance_id = old.instance_id and s.id = old.id"#,
        batch
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected())
}

/// Removes one batch of sign-ups whose time was over a day ago, with all that was asked in them. Returns how many.
///
/// # Errors
/// Storage faults.
pub async fn remove_sign_ups(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        r#"with old as (
               select s.instance_id, s.id from sign_ups s left join instances i on i.id = s.instance_id
               where s.abandon_at < now() + coalesce(i.clock_offset, '0') - interval '24 h'
               limit $1 for update of s skip locked
           ),
           forgotten as (
               delete from verifications v using old where v.instance_id = old.instance_id and v.owner_id = old.id
           )
           delete from sign_ups s using old where s.instance_id = old.instance_id and s.id = old.id"#,
        batch
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected())
}

/// Removes one batch of proofs that newer ones superseded and that expired a day ago. Returns how many.
///
/// # Errors
/// Storage faults.
pub async fn remove_superseded(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        r#"delete from verifications v using (
               select v.instance_id, v.id from verifications v left join instances i on i.id = v.instance_id
               where v.superseded_at is not null
                   and v.expires_at < now() + coalesce(i.clock_offset, '0') - interval '24 h'
               limit $1 for update of v skip locked) old
           where v.instance_id = old.instance_id and v.id = old.id"#,
        batch
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected())
}
