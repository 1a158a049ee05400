//! OAuth applications: made and read. A secret's hash is written and compared here, and never read.

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::id::ApplicationId;
use crate::model::oauth::application::{Application, CheckedApplication, IdTokenClaims, Kind};
use crate::model::oauth::scope::Scopes;
use crate::model::time::Timestamp;

/// What identifies a new application.
pub struct Identity<'a> {
    /// Its id.
    pub id: &'a ApplicationId,
    /// Its client id.
    pub client_id: &'a str,
    /// Its secret's hash and the key that made it; none for a public one.
    pub secret: Option<(LookupHash, &'a str)>,
}

/// The columns of an application, as the statements of this file name them.
pub(super) struct Row {
    pub(super) id: ApplicationId,
    pub(super) client_id: String,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) is_public: bool,
    pub(super) pkce_required: bool,
    pub(super) consent_screen_enabled: bool,
    pub(super) redirect_uris: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) client_uri: Option<String>,
    pub(super) id_token_claims: IdTokenClaims,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl From<Row> for Application {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            client_id: row.client_id,
            kind: row.kind,
            name: row.name,
            is_public: row.is_public,
            pkce_required: row.pkce_required,
            consent_screen_enabled: row.consent_screen_enabled,
            redirect_uris: row.redirect_uris,
            scopes: Scopes::stored(row.scopes),
            client_uri: row.client_uri,
            id_token_claims: row.id_token_claims,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Stores a new application of an administrator.
///
/// # Errors
/// Storage faults.
pub async fn insert(
    db: &mut InstanceConnection<'_>,
    identity: &Identity<'_>,
    application: &CheckedApplication,
) -> sqlx::Result<Application> {
    let (hash, key_id) = identity.secret.unzip();
    let row = sqlx::query_as!(
        Row,
        r#"insert into oauth_applications (instance_id, id, client_id, kind, name, client_secret_hash, hash_key_id,
               is_public, pkce_required, consent_screen_enabled, redirect_uris, scopes, created_at, updated_at)
           values ($1, $2, $3, 'managed', $4, $5, $6, $7, $8, $9, $10, $11, now() + $12, now() + $12)
           returning id as "id: ApplicationId", client_id, kind as "kind: Kind", name, is_public, pkce_required,
               consent_screen_enabled, redirect_uris, scopes, client_uri,
               id_token_claims as "id_token_claims: IdTokenClaims", created_at, updated_at"#,
        db.instance().as_str(),
        identity.id.as_str(),
        identity.client_id,
        application.name,
        hash.as_ref().map(|hash| hash.as_bytes().as_slice()),
        key_id,
        application.is_public,
        application.pkce_required,
        application.consent_screen_enabled,
        &application.redirect_uris,
        application.scopes.as_slice(),
        db.offset(),
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// The application with this id.
///
/// # Errors
/// Storage faults.
pub async fn by_id(db: &mut InstanceConnection<'_>, id: &ApplicationId) -> sqlx::Result<Option<Application>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: ApplicationId", client_id, kind as "kind: Kind", name, is_public, pkce_required,
               consent_screen_enabled, redirect_uris, scopes, client_uri,
               id_token_claims as "id_token_claims: IdTokenClaims", created_at, updated_at
           from oauth_applications where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Application::from))
}

/// By what a list of applications is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// When they were made.
    CreatedAt,
    /// Their name.
    Name,
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest or oldest first.
    Ascending,
    /// Largest or newest first.
    Descending,
}

/// Which applications a list shows.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Part of the name (any case), or exactly a client id.
    pub query: Option<&'a str>,
    /// The order.
    pub order: (OrderBy, Direction),
    /// The most rows.
    pub limit: i64,
    /// Rows left out at the beginning.
    pub offset: i64,
}

/// One page of applications and how many there are in all.
///
/// # Errors
/// Storage faults.
pub async fn list(db: &mut InstanceConnection<'_>, listing: &Listing<'_>) -> sqlx::Result<(Vec<Application>, i64)> {
    let (by, direction) = listing.order;
    let rows = sqlx::query!(
        r#"with found as materialized (
               select * from oauth_applications
               where instance_id = $1
                 and ($2::text is null or client_id = $2 or strpos(lower(name), lower($2)) > 0)),
           page as (
               select * from found order by
                   case when $3 and $4 then name end, case when $3 and not $4 then name end desc,
                   case when not $3 and $4 then created_at end, case when not $3 and not $4 then created_at end desc,
                   case when $4 then id end, case when not $4 then id end desc
               limit $5 offset $6)
           select (select count(*) from found) as "total!", id as "id?: ApplicationId", client_id as "client_id?",
               kind as "kind?: Kind", name as "name?", is_public as "is_public?", pkce_required as "pkce_required?",
               consent_screen_enabled as "consent_screen_enabled?", redirect_uris as "redirect_uris?",
               scopes as "scopes?", client_uri as "client_uri?", id_token_claims as "id_token_claims?: IdTokenClaims",
               created_at as "created_at?", updated_at as "updated_at?"
           from (select 1) one left join page on true"#,
        db.instance().as_str(),
        listing.query,
        by == OrderBy::Name,
        direction == Direction::Ascending,
        listing.limit,
        listing.offset,
    )
    .fetch_all(db)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    let applications = rows.into_iter().filter_map(|row| {
        Some(Application::from(Row {
            id: row.id?,
            client_id: row.client_id?,
            kind: row.kind?,
            name: row.name?,
            is_public: row.is_public?,
            pkce_required: row.pkce_required?,
            consent_screen_enabled: row.consent_screen_enabled?,
            redirect_uris: row.redirect_uris?,
            scopes: row.scopes?,
            client_uri: row.client_uri,
            id_token_claims: row.id_token_claims?,
            created_at: row.created_at?,
            updated_at: row.updated_at?,
        }))
    });
    Ok((applications.collect(), total))
}

/// The hashes of a client's presented secret, under every key of the ring; none if it presented none.
pub struct SecretHashes(Vec<Vec<u8>>);

impl SecretHashes {
    /// The hashes as the statements take them.
    pub fn new(hashes: &[LookupHash]) -> Self {
        Self(hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect())
    }

    /// The hashes.
    pub fn as_slice(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// True if the client is one of ours and authenticated: with its secret, or, public, by presenting none.
///
/// # Errors
/// Storage faults.
pub async fn is_authentic(
    db: &mut InstanceConnection<'_>,
    client_id: &str,
    secrets: &SecretHashes,
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select id from oauth_applications
           where instance_id = $1 and client_id = $2 and blocked_at is null
             and case when is_public then cardinality($3::bytea[]) = 0 else client_secret_hash = any($3) end"#,
        db.instance().as_str(),
        client_id,
        secrets.as_slice(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Brings a client secret that was hashed under an older ring key under the one that writes. `older` and `newest` are
/// hashes of the same secret, which the caller has just verified.
///
/// # Errors
/// Storage faults.
pub async fn rehash_secret(
    db: &mut InstanceConnection<'_>,
    client_id: &str,
    older: &[LookupHash],
    newest: (&LookupHash, &str),
) -> sqlx::Result<()> {
    let older: Vec<&[u8]> = older.iter().map(|hash| hash.as_bytes().as_slice()).collect();
    sqlx::query!(
        r#"update oauth_applications set client_secret_hash = $4, hash_key_id = $5
           where instance_id = $1 and client_id = $2 and client_secret_hash = any($3)"#,
        db.instance().as_str(),
        client_id,
        older as Vec<&[u8]>,
        newest.0.as_bytes().as_slice(),
        newest.1,
    )
    .execute(db)
    .await?;
    Ok(())
}
