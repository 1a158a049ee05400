//! Refresh families: what happens to one beside the ordinary rotation. A repetition of a lost answer, theft, and the
//! end of a grant.

use super::InstanceConnection;

use super::oauth_grants::{Issued, NewAccessToken, Row};
use crate::crypto::LookupHash;
use crate::model::id::{FlowId, GrantId, UserId};
use crate::model::oauth::application::IdTokenClaims;
use crate::model::oauth::scope::Scopes;
use crate::model::text_enum::text_enum;
use crate::model::time::Timestamp;

/// A family under lock.
#[derive(Clone, Debug)]
pub struct Family {
    /// What its grant allows.
    pub issued: Issued,
    /// It belongs to the client that asks.
    pub is_own: bool,
    /// It was revoked.
    pub is_revoked: bool,
    /// Its end, if it has one.
    pub expires_at: Option<Timestamp>,
    /// Which generation the presented token is.
    pub generation: i32,
    /// The end of the presented token.
    pub token_expires_at: Timestamp,
    /// Which generation is live.
    pub live_generation: i32,
    /// Since when.
    pub live_since: Timestamp,
    /// The day the live token names.
    pub live_day: i32,
    /// The key of the ring that the live token was derived with.
    pub live_key_id: Option<String>,
    /// The user exists and is not banned.
    pub user_is_active: bool,
    /// The resources of the grant.
    pub resources: Vec<String>,
    /// The moment of the read.
    pub now: Timestamp,
}

/// The flat form of [`Family`].
struct FamilyRow {
    now: Timestamp,
    generation: i32,
    token_expires_at: Timestamp,
    is_own: bool,
    id_token_claims: IdTokenClaims,
    grant_id: GrantId,
    flow_id: Option<FlowId>,
    scopes: Vec<String>,
    resources: Vec<String>,
    authenticated_at: Timestamp,
    amr: Vec<String>,
    is_revoked: bool,
    family_expires_at: Option<Timestamp>,
    refresh_generation: i32,
    refresh_issued_at: Timestamp,
    refresh_expires_day: i32,
    refresh_key_id: Option<String>,
    user_is_active: bool,
    user_id: UserId,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
    image_url: Option<String>,
    updated_at: Timestamp,
    email: Option<String>,
    email_is_verified: Option<bool>,
}

impl From<FamilyRow> for Family {
    fn from(row: FamilyRow) -> Self {
        Self {
            issued: Issued::from(Row {
                grant_id: row.grant_id,
                flow_id: row.flow_id,
                scopes: row.scopes,
                nonce: None,
                authenticated_at: row.authenticated_at,
                amr: row.amr,
                id_token_claims: row.id_token_claims,
                user_id: row.user_id,
                first_name: row.first_name,
                last_name: row.last_name,
                username: row.username,
                image_url: row.image_url,
                updated_at: row.updated_at,
                email: row.email,
                email_is_verified: row.email_is_verified,
            }),
            is_own: row.is_own,
            is_revoked: row.is_revoked,
            expires_at: row.family_expires_at,
            generation: row.generation,
            token_expires_at: row.token_expires_at,
            live_generation: row.refresh_generation,
            live_since: row.refresh_issued_at,
            live_day: row.refresh_expires_day,
            live_key_id: row.refresh_key_id,
            user_is_active: row.user_is_active,
            resources: row.resources,
            now: row.now,
        }
    }
}

/// Locks the family of a refresh token until the transaction ends. Only after the client has authenticated itself.
///
/// # Errors
/// Storage faults.
pub async fn lock(
    db: &mut InstanceConnection<'_>,
    client_id: &str,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Option<Family>> {
    let row = sqlx::query_as!(
        FamilyRow,
        r#"select now() + $5 as "now!", t.generation, t.expires_at as token_expires_at, (a.client_id = $2) as "is_own!",
               a.id_token_claims as "id_token_claims: IdTokenClaims", g.id as "grant_id: GrantId", g.flow_id as "flow_id: FlowId", g.scopes, g.resources, g.authenticated_at, g.amr,
               g.revoked_at is not null as "is_revoked!", g.family_expires_at, g.refresh_generation,
               g.refresh_issued_at, g.refresh_expires_day, g.refresh_key_id, u.banned_at is null as "user_is_active!",
               u.id as "user_id: UserId", u.first_name, u.last_name, u.username, u.image_url, u.updated_at,
               (select e.value from identifications e where e.instance_id = $1 and e.user_id = u.id
                  and e.kind = 'email_address' and e.is_primary) as email,
               (select e.status = 'verified' from identifications e where e.instance_id = $1 and e.user_id = u.id
                  and e.kind = 'email_address' and e.is_primary) as email_is_verified
           from oauth_refresh_tokens t
           join oauth_grants g on g.instance_id = $1 and g.id = t.grant_id
           join oauth_applications a on a.instance_id = $1 and a.id = g.application_id
           join users u on u.instance_id = $1 and u.id = g.user_id
           where t.instance_id = $1 and t.expires_day = $3 and t.hash = $4
           for update of g"#,
        db.instance().as_str(),
        client_id,
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Family::from))
}

/// Issues another access token of a grant whose family is locked.
///
/// # Errors
/// Storage faults.
pub async fn insert_access_token(
    db: &mut InstanceConnection<'_>,
    grant_id: &GrantId,
    access: &NewAccessToken<'_>,
    scopes: &Scopes,
    audience: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into oauth_access_tokens (instance_id, expires_day, hash, id, grant_id, format, scopes, audience,
               expires_at, created_at)
           values ($1, $2, $3, $4, $5, 'opaque', $6, $7, now() + $9 + $8, now() + $9)"#,
        db.instance().as_str(),
        access.day,
        access.hash.as_bytes().as_slice(),
        access.id,
        grant_id.as_str(),
        scopes.as_slice(),
        audience,
        access.lifetime,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

text_enum! {
    /// What ended a grant.
    pub enum RevokedReason {
        /// Its code was redeemed twice.
        CodeReplay = "code_replay",
        /// One of its refresh tokens was used twice.
        RefreshReuse = "refresh_reuse",
    }
}

/// Ends a grant: its refresh family and its access tokens die with it. True if it was alive.
///
/// # Errors
/// Storage faults.
pub async fn revoke(db: &mut InstanceConnection<'_>, grant_id: &GrantId, reason: RevokedReason) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update oauth_grants set revoked_at = now() + $4, revoked_reason = $3
           where instance_id = $1 and id = $2 and revoked_at is null"#,
        db.instance().as_str(),
        grant_id.as_str(),
        reason as RevokedReason,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
