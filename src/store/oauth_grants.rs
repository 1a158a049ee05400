//! Grants: redeeming a code, rotating a refresh token. What may happen once is one statement here, and the grant's row is
//! the lock of its family; what else happens to a family is in [`super::oauth_families`].

use sqlx::postgres::types::PgInterval;

use super::InstanceConnection;
use super::oauth_applications::SecretHashes;
use crate::crypto::LookupHash;
use crate::model::id::{FlowId, GrantId, UserId};
use crate::model::oauth::application::IdTokenClaims;
use crate::model::oauth::claims::Subject;
use crate::model::oauth::scope::Scopes;
use crate::model::time::Timestamp;

/// An access token to be stored with what it comes from.
pub struct NewAccessToken<'a> {
    /// The row's id (`oat_` and 32 hex digits), not the token.
    pub id: &'a str,
    /// The day the token names.
    pub day: i32,
    /// The token's hash.
    pub hash: LookupHash,
    /// For how long it lives.
    pub lifetime: PgInterval,
}

/// A refresh token to be stored with what it comes from.
pub struct NewRefreshToken<'a> {
    /// The day the token names.
    pub day: i32,
    /// The token's hash.
    pub hash: LookupHash,
    /// For how long it lives, unless its family ends earlier.
    pub lifetime: PgInterval,
    /// The key of the ring it was derived with; none for a random one.
    pub key_id: Option<&'a str>,
}

/// A client and the code it presents.
pub struct Redemption<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The hashes of its secret.
    pub secrets: &'a SecretHashes,
    /// The day the code names.
    pub day: i32,
    /// The code's hash.
    pub hash: LookupHash,
    /// The redirect URI, if it was sent.
    pub redirect_uri: Option<&'a str>,
    /// The challenge that the verifier answers; none if no verifier was sent.
    pub challenge: Option<&'a str>,
    /// The resources to narrow to; empty means all.
    pub resources: &'a [String],
    /// For how long the family lives, if it ends.
    pub family_lifetime: Option<PgInterval>,
}

/// What tokens were issued for.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The grant.
    pub grant_id: GrantId,
    /// The flow it comes from.
    pub flow_id: Option<FlowId>,
    /// The grant's scopes.
    pub scopes: Scopes,
    /// The nonce of the authorization request; none on refresh.
    pub nonce: Option<String>,
    /// `auth_time`
    pub authenticated_at: Timestamp,
    /// `amr`
    pub amr: Vec<String>,
    /// Which claims the application's id_tokens hold.
    pub id_token_claims: IdTokenClaims,
    /// The user.
    pub subject: Subject,
}

/// The flat form of [`Issued`].
pub(super) struct Row {
    pub(super) grant_id: GrantId,
    pub(super) flow_id: Option<FlowId>,
    pub(super) scopes: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) authenticated_at: Timestamp,
    pub(super) amr: Vec<String>,
    pub(super) id_token_claims: IdTokenClaims,
    pub(super) user_id: UserId,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) username: Option<String>,
    pub(super) image_url: Option<String>,
    pub(super) updated_at: Timestamp,
    pub(super) email: Option<String>,
    pub(super) email_is_verified: Option<bool>,
}

impl From<Row> for Issued {
    fn from(row: Row) -> Self {
        Self {
            grant_id: row.grant_id,
            flow_id: row.flow_id,
            scopes: Scopes::stored(row.scopes),
            nonce: row.nonce,
            authenticated_at: row.authenticated_at,
            amr: row.amr,
            id_token_claims: row.id_token_claims,
            subject: Subject {
                user_id: row.user_id,
                first_name: row.first_name,
                last_name: row.last_name,
                username: row.username,
                picture: row.image_url,
                email: row.email.zip(row.email_is_verified),
                updated_at: row.updated_at,
            },
        }
    }
}

/// Consumes a code and makes its grant, access token and first refresh token: one statement, so that of any number of
/// simultaneous redemptions one wins. `None` is a refusal; [`super::oauth_codes::state`] finds out why.
///
/// The client is authenticated, the redirect URI and the challenge are compared inside. Locks keep, until the statement
/// is over, that the application is not deleted and the user not banned.
///
/// # Errors
/// Storage faults.
pub async fn redeem(
    db: &mut InstanceConnection<'_>,
    redemption: &Redemption<'_>,
    access: &NewAccessToken<'_>,
    refresh: &NewRefreshToken<'_>,
) -> sqlx::Result<Option<Issued>> {
    let row = sqlx::query_as!(
        Row,
        r#"with app as (
               select id, redirect_uris, id_token_claims from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null
                 and case when is_public then cardinality($3::bytea[]) = 0 else client_secret_hash = any($3) end
               for key share),
           live_user as (
               select u.* from oauth_codes c
               join users u on u.instance_id = $1 and u.id = c.user_id and u.banned_at is null
               where c.instance_id = $1 and c.expires_day = $4 and c.hash = $5
               for share of u),
           code as (
               update oauth_codes c set consumed_at = now() + $9 from app, live_user u
               where c.instance_id = $1 and c.expires_day = $4 and c.hash = $5
                 and c.application_id = app.id and c.user_id = u.id
                 and c.consumed_at is null and c.failures < 5 and c.expires_at > now() + $9
                 and (c.redirect_uri = $6 or ($6::text is null and c.code_challenge is not null))
                 and c.registered_redirect_uri = any(app.redirect_uris)
                 and c.code_challenge is not distinct from $7
                 and $8::text[] <@ c.resources
               returning c.*, app.id_token_claims, u.first_name, u.last_name, u.username, u.image_url,
                   u.updated_at as user_updated_at),
           granted as (
               insert into oauth_grants (instance_id, id, application_id, user_id, session_id, organization_id, scopes,
                   resources, authenticated_at, amr, acr, dpop_jkt, refresh_issued_at, refresh_expires_at,
                   refresh_expires_day, refresh_key_id, family_expires_at, flow_id, created_at)
               select $1, grant_id, application_id, user_id, session_id, organization_id, scopes, resources,
                   authenticated_at, amr, acr, dpop_jkt, now() + $9, now() + $9 + least($10, $12::interval), $11,
                   $18::text, now() + $9 + $12, flow_id, now() + $9
               from code),
           access as (
               insert into oauth_access_tokens (instance_id, expires_day, hash, id, grant_id, format, scopes, audience,
                   expires_at, created_at)
               select $1, $13, $14, $15, grant_id, 'opaque', scopes,
                   case when cardinality($8::text[]) = 0 then resources else $8 end, now() + $9 + $16, now() + $9
               from code),
           refresh as (
               insert into oauth_refresh_tokens (instance_id, expires_day, hash, grant_id, generation, expires_at,
                   created_at)
               select $1, $11, $17, grant_id, 1, now() + $9 + least($10, $12::interval), now() + $9 from code)
           select code.grant_id as "grant_id: GrantId", code.flow_id as "flow_id?: FlowId", code.scopes, code.nonce, code.authenticated_at, code.amr,
               code.id_token_claims as "id_token_claims: IdTokenClaims", code.user_id as "user_id: UserId", code.first_name, code.last_name, code.username,
               code.image_url, code.user_updated_at as updated_at, e.value as "email?",
               (e.status = 'verified') as "email_is_verified?"
           from code
           left join identifications e on e.instance_id = $1 and e.user_id = code.user_id
               and e.kind = 'email_address' and e.is_primary"#,
        db.instance().as_str(),
        redemption.client_id,
        redemption.secrets.as_slice(),
        redemption.day,
        redemption.hash.as_bytes().as_slice(),
        redemption.redirect_uri,
        redemption.challenge,
        redemption.resources,
        db.offset(),
        refresh.lifetime,
        refresh.day,
        redemption.family_lifetime,
        access.day,
        access.hash.as_bytes().as_slice(),
        access.id,
        access.lifetime,
        refresh.hash.as_bytes().as_slice(),
        refresh.key_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Issued::from))
}

/// A client and the refresh token it presents.
pub struct Rotation<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The hashes of its secret.
    pub secrets: &'a SecretHashes,
    /// The day the token names.
    pub day: i32,
    /// The token's hash.
    pub hash: LookupHash,
    /// The scopes to narrow to; none means those of the grant.
    pub scopes: Option<&'a Scopes>,
    /// The resources to narrow to; empty means those of the grant.
    pub resources: &'a [String],
}

/// Makes the next generation of a family live and issues an access token: one statement whose only update is the
/// family's row. `None` is a refusal; [`super::oauth_families::lock`] and the family's verdict find out why.
///
/// # Errors
/// Storage faults.
pub async fn rotate(
    db: &mut InstanceConnection<'_>,
    rotation: &Rotation<'_>,
    access: &NewAccessToken<'_>,
    refresh: &NewRefreshToken<'_>,
) -> sqlx::Result<Option<Issued>> {
    let row = sqlx::query_as!(
        Row,
        r#"with app as materialized (
               select id, id_token_claims from oauth_applications
               where instance_id = $1 and client_id = $2 and blocked_at is null
                 and case when is_public then cardinality($3::bytea[]) = 0 else client_secret_hash = any($3) end),
           presented as materialized (
               select grant_id, generation from oauth_refresh_tokens
               where instance_id = $1 and expires_day = $4 and hash = $5 and expires_at > now() + $8),
           family as (
               update oauth_grants g
               set refresh_generation = g.refresh_generation + 1, refresh_issued_at = now() + $8,
                   refresh_expires_at = least(now() + $8 + $9, g.family_expires_at), refresh_expires_day = $10, refresh_key_id = $11
               from presented t, app
               where g.instance_id = $1 and g.id = t.grant_id and g.application_id = app.id
                 and g.refresh_generation = t.generation and g.revoked_at is null
                 and (g.family_expires_at is null or g.family_expires_at > now() + $8)
                 and ($6::text[] is null or $6 <@ g.scopes) and $7::text[] <@ g.resources
                 and exists (select from users u where u.instance_id = $1 and u.id = g.user_id and u.banned_at is null)
               returning g.*, app.id_token_claims),
           access as (
               insert into oauth_access_tokens (instance_id, expires_day, hash, id, grant_id, format, scopes, audience,
                   expires_at, created_at)
               select $1, $12, $13, $14, id, 'opaque', coalesce($6, scopes),
                   case when cardinality($7::text[]) = 0 then resources else $7 end, now() + $8 + $15, now() + $8
               from family),
           refresh as (
               insert into oauth_refresh_tokens (instance_id, expires_day, hash, grant_id, generation, expires_at,
                   created_at)
               select $1, $10, $16, id, refresh_generation, refresh_expires_at, now() + $8 from family)
           select f.id as "grant_id: GrantId", f.flow_id as "flow_id?: FlowId", f.scopes, null::text as nonce, f.authenticated_at, f.amr,
               f.id_token_claims as "id_token_claims: IdTokenClaims", f.user_id as "user_id: UserId", u.first_name, u.last_name, u.username, u.image_url,
               u.updated_at, e.value as "email?", (e.status = 'verified') as "email_is_verified?"
           from family f
           join users u on u.instance_id = $1 and u.id = f.user_id
           left join identifications e on e.instance_id = $1 and e.user_id = f.user_id
               and e.kind = 'email_address' and e.is_primary"#,
        db.instance().as_str(),
        rotation.client_id,
        rotation.secrets.as_slice(),
        rotation.day,
        rotation.hash.as_bytes().as_slice(),
        rotation.scopes.map(Scopes::as_slice),
        rotation.resources,
        db.offset(),
        refresh.lifetime,
        refresh.day,
        refresh.key_id,
        access.day,
        access.hash.as_bytes().as_slice(),
        access.id,
        access.lifetime,
        refresh.hash.as_bytes().as_slice(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Issued::from))
}
