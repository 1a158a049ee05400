//! Instances with their hosts and origins. Read through [`directory`](super::directory); written by the command line
//! and the backend API.

use serde_json::Value;
use sqlx::PgExecutor;

use super::InstanceConnection;
use super::channel::Channel;
use super::pool::PgPool;
use crate::model::id::{AppId, InstanceId};
use crate::model::instance::{Environment, KeyForm};
use crate::model::text_enum::text_enum;
use crate::model::time::Timestamp;

/// An instance to store.
#[derive(Clone, Debug)]
pub struct NewInstance<'a> {
    /// Its id.
    pub id: &'a InstanceId,
    /// The application it belongs to.
    pub application_id: &'a AppId,
    /// The operator's name for it.
    pub name: &'a str,
    /// What it is for.
    pub environment: Environment,
    /// The letters of its keys.
    pub key_form: KeyForm,
    /// Its publishable key.
    pub publishable_key: &'a str,
    /// The frontend API's origin.
    pub origin: &'a str,
    /// Settings that differ from the defaults.
    pub settings: &'a Value,
    /// When it was made.
    pub at: Timestamp,
}

/// Stores a new instance.
///
/// # Errors
/// Storage faults; `instances_name_key`, `instances_publishable_key_key` if taken.
pub async fn insert(db: impl PgExecutor<'_>, new: &NewInstance<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into instances (id, application_id, name, environment_type, key_form, publishable_key,
               frontend_api_origin, settings, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"#,
        new.id.as_str(),
        new.application_id.as_str(),
        new.name,
        new.environment as Environment,
        new.key_form as KeyForm,
        new.publishable_key,
        new.origin,
        new.settings,
        new.at
    )
    .execute(db)
    .await?;
    Ok(())
}

text_enum! {
    /// What a host name is to its instance.
    pub enum HostKind {
        /// The frontend API.
        FrontendApi = "frontend_api",
        /// The `accounts.` sibling.
        Accounts = "accounts",
    }
}

/// Gives a host name (lower case, punycode, no port) to an instance.
///
/// # Errors
/// Storage faults; `instance_hosts_pkey` if it belongs to another one.
pub async fn add_host(db: &mut InstanceConnection<'_>, host: &str, kind: HostKind) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into instance_hosts (host, instance_id, kind) values ($1, $2, $3)",
        host,
        db.instance().as_str(),
        kind as HostKind
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lists the app's home origin.
///
/// # Errors
/// Storage faults.
pub async fn add_home_origin(db: &mut InstanceConnection<'_>, origin: &str, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into instance_origins (instance_id, origin, kind, created_at) values ($1, $2, 'home', $3)
           on conflict (instance_id, origin) do update set kind = 'home'"#,
        db.instance().as_str(),
        origin,
        at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lists one more origin; false if it is listed already.
///
/// # Errors
/// Storage faults.
pub async fn allow_origin(db: &mut InstanceConnection<'_>, origin: &str, at: Timestamp) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        r#"insert into instance_origins (instance_id, origin, kind, created_at) values ($1, $2, 'allowed', $3)
           on conflict (instance_id, origin) do nothing"#,
        db.instance().as_str(),
        origin,
        at
    )
    .execute(db)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// How many origins are listed.
///
/// # Errors
/// Storage faults.
pub async fn origins(db: &mut InstanceConnection<'_>) -> sqlx::Result<usize> {
    let found = sqlx::query_scalar!(
        r#"select count(*) as "count!" from instance_origins where instance_id = $1"#,
        db.instance().as_str()
    );
    Ok(usize::try_from(found.fetch_one(db).await?).unwrap_or(usize::MAX))
}

/// Takes an origin off the list that was added to it; false if it was not. The home origin goes with the home address.
///
/// # Errors
/// Storage faults.
pub async fn drop_origin(db: &mut InstanceConnection<'_>, origin: &str) -> sqlx::Result<bool> {
    let dropped = sqlx::query!(
        "delete from instance_origins where instance_id = $1 and origin = $2 and kind = 'allowed'",
        db.instance().as_str(),
        origin
    )
    .execute(db)
    .await?;
    Ok(dropped.rows_affected() == 1)
}

/// Tells every replica, on commit, to forget what it knows of instances, keys and providers.
///
/// # Errors
/// Storage faults.
pub async fn announce(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(r#"select pg_notify($1, '') as "notified!: ()""#, Channel::Directory.as_str()).fetch_one(db).await?;
    Ok(())
}

/// Moves a development instance's clock by this many microseconds against the true time, and tells every replica.
///
/// # Errors
/// Storage faults; `instances_clock_offset_check` for a production instance.
pub async fn set_clock_offset(db: &mut InstanceConnection<'_>, microseconds: i64) -> sqlx::Result<()> {
    let offset = super::interval::microseconds(microseconds);
    sqlx::query!(
        "update instances set clock_offset = $2, updated_at = now() where id = $1",
        db.instance().as_str(),
        offset
    )
    .execute(&mut *db)
    .await?;
    announce(db).await
}

/// One line of `vestibule instance list`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// What it is for.
    pub environment_type: Environment,
    /// Its publishable key.
    pub publishable_key: String,
    /// The frontend API's origin.
    pub frontend_api: String,
}

/// Every living instance, the oldest first.
///
/// # Errors
/// Storage faults.
pub async fn list(db: &PgPool) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as!(
        Listed,
        r#"select id, name, environment_type as "environment_type: Environment", publishable_key,
               frontend_api_origin as frontend_api
           from instances where deleted_at is null order by created_at, id"#
    )
    .fetch_all(db)
    .await
}

/// Gives an instance another address and publishable key.
///
/// # Errors
/// Storage faults; `instances_publishable_key_key` if the key is another instance's.
pub async fn change_address(db: &mut InstanceConnection<'_>, origin: &str, publishable_key: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update instances set frontend_api_origin = $2, publishable_key = $3, updated_at = now() where id = $1"#,
        db.instance().as_str(),
        origin,
        publishable_key
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The settings as they are stored, locked until the transaction ends.
///
/// # Errors
/// Storage faults.
pub async fn lock_settings(db: &mut InstanceConnection<'_>) -> sqlx::Result<Value> {
    sqlx::query_scalar!("select settings from instances where id = $1 for update", db.instance().as_str())
        .fetch_one(db)
        .await
}

/// Stores other settings.
///
/// # Errors
/// Storage faults.
pub async fn set_settings(db: &mut InstanceConnection<'_>, settings: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        "update instances set settings = $2, updated_at = now() where id = $1",
        db.instance().as_str(),
        settings
    )
    .execute(db)
    .await?;
    Ok(())
}
