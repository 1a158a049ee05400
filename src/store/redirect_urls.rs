//! The list of addresses of native applications that may receive a sign-in.

use super::InstanceConnection;

use super::violates;
use crate::model::id::RedirectUrlId;
use crate::model::native_url::NativeUrl;
use crate::model::time::Timestamp;

/// A listed address.
#[derive(Clone, Debug)]
pub struct RedirectUrl {
    /// Names it.
    pub id: RedirectUrlId,
    /// As it was given.
    pub url: String,
    /// Creation.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

/// What became of a new entry.
pub enum Added {
    /// It is on the list.
    Listed(RedirectUrl),
    /// It was there already.
    Exists,
    /// The list is full.
    Full,
}

/// Lists an address, unless it is there or the list is full. The instance is locked, so that two at once count each other.
///
/// # Errors
/// Storage faults.
pub async fn add(
    db: &mut InstanceConnection<'_>,
    id: &RedirectUrlId,
    url: &NativeUrl,
    most: i64,
) -> sqlx::Result<Added> {
    sqlx::query!("select id from instances where id = $1 for no key update", db.instance().as_str())
        .fetch_one(&mut *db)
        .await?;
    let added = sqlx::query_as!(
        RedirectUrl,
        r#"insert into redirect_urls (instance_id, id, url, url_key, created_at, updated_at)
           select $1, $2, $3, $4, now() + $6, now() + $6
           where (select count(*) from redirect_urls where instance_id = $1) < $5
               or exists (select from redirect_urls where instance_id = $1 and url_key = $4)
           returning id as "id: RedirectUrlId", url, created_at, updated_at"#,
        db.instance().as_str(),
        id.as_str(),
        url.as_str(),
        url.key(),
        most,
        db.offset(),
    )
    .fetch_optional(db)
    .await;
    match added {
        Ok(Some(listed)) => Ok(Added::Listed(listed)),
        Ok(None) => Ok(Added::Full),
        Err(error) if violates(&error, "redirect_urls_url_key_key") => Ok(Added::Exists),
        Err(error) => Err(error),
    }
}

/// The list, newest first.
///
/// # Errors
/// Storage faults.
pub async fn list(db: &mut InstanceConnection<'_>) -> sqlx::Result<Vec<RedirectUrl>> {
    sqlx::query_as!(
        RedirectUrl,
        r#"select id as "id: RedirectUrlId", url, created_at, updated_at from redirect_urls
           where instance_id = $1 order by created_at desc, id desc"#,
        db.instance().as_str(),
    )
    .fetch_all(db)
    .await
}

/// One entry.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut InstanceConnection<'_>, id: &RedirectUrlId) -> sqlx::Result<Option<RedirectUrl>> {
    sqlx::query_as!(
        RedirectUrl,
        r#"select id as "id: RedirectUrlId", url, created_at, updated_at from redirect_urls
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// Takes an entry off the list.
///
/// # Errors
/// Storage faults.
pub async fn remove(db: &mut InstanceConnection<'_>, id: &RedirectUrlId) -> sqlx::Result<Option<RedirectUrl>> {
    sqlx::query_as!(
        RedirectUrl,
        r#"delete from redirect_urls where instance_id = $1 and id = $2
           returning id as "id: RedirectUrlId", url, created_at, updated_at"#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// True if the list has this address; `key` has scheme and host folded.
///
/// # Errors
/// Storage faults.
pub async fn is_listed(db: &mut InstanceConnection<'_>, key: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from redirect_urls where instance_id = $1 and url_key = $2) as "is_listed!""#,
        db.instance().as_str(),
        key,
    )
    .fetch_one(db)
    .await
}
