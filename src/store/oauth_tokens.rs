//! Access and refresh tokens as their holders use them: userinfo, introspection, revocation. Every read joins the
//! grant, so a revoked grant has no live token, and the user, so a banned one has none either.

use super::InstanceConnection;

use super::oauth_applications::SecretHashes;
use crate::crypto::LookupHash;
use crate::model::id::UserId;
use crate::model::oauth::claims::{Metadata, Subject};
use crate::model::oauth::scope::Scopes;
use crate::model::time::Timestamp;

/// What a live access token opens.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The client it was given to.
    pub client_id: String,
    /// Its scopes.
    pub scopes: Scopes,
    /// The resources it is meant for; empty means the issuer.
    pub audience: Vec<String>,
    /// The user, fresh.
    pub subject: Subject,
    /// The user's metadata.
    pub metadata: Metadata,
}

/// The user behind a live access token.
///
/// # Errors
/// Storage faults.
pub async fn bearer(db: &mut InstanceConnection<'_>, day: i32, hash: &LookupHash) -> sqlx::Result<Option<Bearer>> {
    let row = sqlx::query!(
        r#"select a.client_id, t.scopes, t.audience, u.id as "user_id: UserId", u.first_name, u.last_name, u.username,
               u.image_url, u.public_metadata, u.private_metadata, u.unsafe_metadata, u.updated_at, e.value as "email?",
               (e.status = 'verified') as "email_is_verified?"
           from oauth_access_tokens t
           join oauth_grants g on g.instance_id = $1 and g.id = t.grant_id and g.revoked_at is null
           join oauth_applications a on a.instance_id = $1 and a.id = g.application_id and a.blocked_at is null
           join users u on u.instance_id = $1 and u.id = g.user_id and u.banned_at is null
           left join identifications e on e.instance_id = $1 and e.user_id = u.id and e.kind = 'email_address'
               and e.is_primary
           where t.instance_id = $1 and t.expires_day = $2 and t.hash = $3 and t.revoked_at is null
             and t.expires_at > now() + $4"#,
        db.instance().as_str(),
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Bearer {
        client_id: row.client_id,
        scopes: Scopes::stored(row.scopes),
        audience: row.audience,
        subject: Subject {
            user_id: row.user_id,
            first_name: row.first_name,
            last_name: row.last_name,
            username: row.username,
            picture: row.image_url,
            email: row.email.zip(row.email_is_verified),
            updated_at: row.updated_at,
        },
        metadata: Metadata { public: row.public_metadata, private: row.private_metadata, unsafe_: row.unsafe_metadata },
    }))
}

/// Who asks about or revokes a token.
#[derive(Clone, Copy)]
pub struct TokenOwner<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The hashes of its secret.
    pub secrets: &'a SecretHashes,
}

/// A live token as introspection tells it (RFC 7662 section 2.2).
#[derive(Clone, Debug)]
pub struct LiveToken {
    /// The client it was issued to.
    pub client_id: String,
    /// Its user.
    pub user_id: UserId,
    /// Its user's name, if there is one.
    pub username: Option<String>,
    /// Its scopes.
    pub scopes: Scopes,
    /// The resources it is meant for; empty means the issuer.
    pub audience: Vec<String>,
    /// Its id; none for refresh tokens.
    pub jti: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What introspection found.
#[derive(Clone, Debug)]
pub enum Introspected {
    /// The asker is not a confidential client of this instance, or did not authenticate.
    UnknownAsker,
    /// Not a live token, or none of the asker's business.
    Inactive,
    /// A live token.
    Active(Box<LiveToken>),
}

/// The flat form of both introspections; every column of the token is null when it is not live.
struct Row {
    client_id: Option<String>,
    user_id: Option<UserId>,
    username: Option<String>,
    scopes: Option<Vec<String>>,
    audience: Option<Vec<String>>,
    jti: Option<String>,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl From<Option<Row>> for Introspected {
    fn from(row: Option<Row>) -> Self {
        let Some(row) = row else { return Self::UnknownAsker };
        let live = || {
            Some(LiveToken {
                client_id: row.client_id?,
                user_id: row.user_id?,
                username: row.username,
                scopes: Scopes::stored(row.scopes?),
                audience: row.audience?,
                jti: row.jti,
                issued_at: row.issued_at?,
                expires_at: row.expires_at?,
            })
        };
        live().map_or(Self::Inactive, |token| Self::Active(Box::new(token)))
    }
}

/// Looks at an access token for a confidential client; resource servers are clients of their own, so any may ask.
///
/// # Errors
/// Storage faults.
pub async fn introspect_access(
    db: &mut InstanceConnection<'_>,
    asker: TokenOwner<'_>,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Introspected> {
    let row = sqlx::query_as!(
        Row,
        r#"with app as materialized (
               select id from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null and client_secret_hash = any($3))
           select a.client_id as "client_id?", u.id as "user_id?: UserId", u.username, t.scopes as "scopes?",
               t.audience as "audience?", t.id as "jti?", t.created_at as "issued_at?", t.expires_at as "expires_at?"
           from app
           left join (oauth_access_tokens t
               join oauth_grants g on g.instance_id = $1 and g.id = t.grant_id and g.revoked_at is null
               join oauth_applications a on a.instance_id = $1 and a.id = g.application_id and a.blocked_at is null
               join users u on u.instance_id = $1 and u.id = g.user_id and u.banned_at is null)
             on t.instance_id = $1 and t.expires_day = $4 and t.hash = $5 and t.revoked_at is null
               and t.expires_at > now() + $6"#,
        db.instance().as_str(),
        asker.client_id,
        asker.secrets.as_slice(),
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(Introspected::from(row))
}

/// Looks at a refresh token for the client it was issued to.
///
/// # Errors
/// Storage faults.
pub async fn introspect_refresh(
    db: &mut InstanceConnection<'_>,
    asker: TokenOwner<'_>,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Introspected> {
    let row = sqlx::query_as!(
        Row,
        r#"with app as materialized (
               select id, client_id from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null and client_secret_hash = any($3))
           select case when g.id is not null then app.client_id end as client_id, u.id as "user_id?: UserId",
               u.username, g.scopes as "scopes?", g.resources as "audience?", null::text as jti,
               t.created_at as "issued_at?", t.expires_at as "expires_at?"
           from app
           left join (oauth_refresh_tokens t
               join oauth_grants g on g.instance_id = $1 and g.id = t.grant_id and g.revoked_at is null
                   and g.refresh_generation = t.generation
                   and (g.family_expires_at is null or g.family_expires_at > now() + $6)
               join users u on u.instance_id = $1 and u.id = g.user_id and u.banned_at is null)
             on t.instance_id = $1 and t.expires_day = $4 and t.hash = $5 and t.expires_at > now() + $6
               and g.application_id = app.id"#,
        db.instance().as_str(),
        asker.client_id,
        asker.secrets.as_slice(),
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(Introspected::from(row))
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The asker is not a client of this instance, or did not authenticate.
    UnknownAsker,
    /// There was nothing of the asker's to revoke.
    Nothing,
    /// It is dead now.
    Done,
}

fn revoked(row: Option<bool>) -> Revoked {
    match row {
        None => Revoked::UnknownAsker,
        Some(false) => Revoked::Nothing,
        Some(true) => Revoked::Done,
    }
}

/// Ends an access token of the asker; its grant too, where the application asks for that. A token of another client
/// stays alive (RFC 7009 section 2.1).
///
/// # Errors
/// Storage faults.
pub async fn revoke_access(
    db: &mut InstanceConnection<'_>,
    asker: TokenOwner<'_>,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Revoked> {
    let row = sqlx::query_scalar!(
        r#"with app as materialized (
               select id, revoke_grant_on_access_token from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null
                 and case when is_public then cardinality($3::bytea[]) = 0 else client_secret_hash = any($3) end),
           token as (
               update oauth_access_tokens t set revoked_at = now() + $6
               from oauth_grants g, app
               where t.instance_id = $1 and t.expires_day = $4 and t.hash = $5 and t.revoked_at is null
                 and g.instance_id = $1 and g.id = t.grant_id and g.application_id = app.id
               returning t.grant_id),
           ended as (
               update oauth_grants g set revoked_at = now() + $6, revoked_reason = 'revoked'
               from token, app
               where g.instance_id = $1 and g.id = token.grant_id and g.revoked_at is null
                 and app.revoke_grant_on_access_token)
           select exists (select from token) as "done!" from app"#,
        db.instance().as_str(),
        asker.client_id,
        asker.secrets.as_slice(),
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(revoked(row))
}

/// Ends the grant of a refresh token of the asker, whichever generation was presented.
///
/// # Errors
/// Storage faults.
pub async fn revoke_refresh(
    db: &mut InstanceConnection<'_>,
    asker: TokenOwner<'_>,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Revoked> {
    let row = sqlx::query_scalar!(
        r#"with app as materialized (
               select id from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null
                 and case when is_public then cardinality($3::bytea[]) = 0 else client_secret_hash = any($3) end),
           presented as materialized (
               select grant_id from oauth_refresh_tokens where instance_id = $1 and expires_day = $4 and hash = $5),
           ended as (
               update oauth_grants g set revoked_at = now() + $6, revoked_reason = 'revoked'
               from presented t, app
               where g.instance_id = $1 and g.id = t.grant_id and g.application_id = app.id and g.revoked_at is null
               returning g.id)
           select exists (select from ended) as "done!" from app"#,
        db.instance().as_str(),
        asker.client_id,
        asker.secrets.as_slice(),
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(revoked(row))
}
