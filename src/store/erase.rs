//! Removing an instance with everything that belongs to it: scratch instances of the self-test.

use super::InstanceConnection;

/// Removes every row of an instance. Users, clients and configuration take what hangs below them along.
///
/// # Errors
/// Storage faults.
pub async fn instance(db: &mut InstanceConnection<'_>) -> sqlx::Result<()> {
    let id = db.instance().as_str();
    sqlx::query!("delete from oauth_codes where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from oauth_refresh_tokens where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from oauth_access_tokens where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from external_accounts where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from users where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from clients where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from verifications where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from provider_authorizations where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from handshakes where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from rate_limits where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from counters where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from outbox where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from audit_events where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from simulator_providers where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from simulator_people where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from simulator_tokens where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from flow_steps where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from flows where instance_id = $1", id).execute(&mut *db).await?;
    sqlx::query!("delete from instances where id = $1", id).execute(&mut *db).await?;
    Ok(())
}
