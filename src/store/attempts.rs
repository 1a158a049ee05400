//! Sign-in and sign-up attempts and their verifications. One attempt of each kind is current on a client; beginning one
//! replaces both.

use serde_json::Value;
use sqlx::types::Json;

use super::InstanceConnection;
use crate::model::client::{SignIn, SignUp};
use crate::model::id::{ClientId, FlowId, ProviderAuthorizationId, SignInId, SignUpId, VerificationId};
use crate::model::linking::AttemptKind;
use crate::model::strategy::Strategy;
use crate::model::verification::{Role, Status};

/// Replaces the client's attempts: a stale one would win in the SDK. What was claimed in a sign-in goes with it, and so
/// do the tokens that came with the claim.
///
/// # Errors
/// Storage faults.
pub async fn replace_all(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with claimed as (
               select id from sign_ins
               where instance_id = $1 and client_id = $2 and replaced_at is null and pending_account is not null
           ),
           emptied as (
               update provider_authorizations f set tokens_sealed = null, profile = null, provider_user_id = null from claimed
               where f.instance_id = $1 and f.target_id = claimed.id and f.tokens_sealed is not null
           ),
           sign_in as (
               update sign_ins set replaced_at = now() + $3, updated_at = now() + $3, pending_account = null
               where instance_id = $1 and client_id = $2 and replaced_at is null
           )
           update sign_ups set replaced_at = now() + $3, updated_at = now() + $3
           where instance_id = $1 and client_id = $2 and replaced_at is null"#,
        db.instance().as_str(),
        client.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The recorded flow of the attempt that is current on `client`.
///
/// # Errors
/// Storage faults.
pub async fn newest_flow(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<Option<FlowId>> {
    sqlx::query_scalar!(
        r#"select flow_id as "flow!: FlowId" from (
               select flow_id, created_at from sign_ins
               where instance_id = $1 and client_id = $2 and replaced_at is null
               union all
               select flow_id, created_at from sign_ups
               where instance_id = $1 and client_id = $2 and replaced_at is null) attempt
           where flow_id is not null order by created_at desc limit 1"#,
        db.instance().as_str(),
        client.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// A new sign-in attempt on `client`, abandoned after a day.
///
/// # Errors
/// Storage faults.
pub async fn create_sign_in(
    db: &mut InstanceConnection<'_>,
    id: &SignInId,
    client: &ClientId,
    flow: Option<&FlowId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into sign_ins (instance_id, id, client_id, status, flow_id, abandon_at, created_at, updated_at)
           values ($1, $2, $3, 'needs_identifier', $5, now() + $4 + interval '24 h', now() + $4, now() + $4)"#,
        db.instance().as_str(),
        id.as_str(),
        client.as_str(),
        db.offset(),
        flow.map(FlowId::as_str),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What an app sends along with a sign-up.
#[derive(Clone, Debug, Default)]
pub struct SignUpFields {
    /// The user's own metadata.
    pub unsafe_metadata: Option<Value>,
    /// Given name; wins over the provider's.
    pub first_name: Option<String>,
    /// Family name; wins over the provider's.
    pub last_name: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// The terms are accepted.
    pub legal_accepted: bool,
}

/// A new sign-up attempt on `client`, abandoned after a day.
///
/// # Errors
/// Storage faults.
pub async fn create_sign_up(
    db: &mut InstanceConnection<'_>,
    id: &SignUpId,
    client: &ClientId,
    fields: &SignUpFields,
    flow: Option<&FlowId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into sign_ups (instance_id, id, client_id, status, first_name, last_name, locale, unsafe_metadata,
               legal_accepted_at, flow_id, abandon_at, created_at, updated_at)
           values ($1, $2, $3, 'missing_requirements', $4, $5, $6, coalesce($7, '{}'::jsonb),
               case when $9 then now() + $8 end, $10, now() + $8 + interval '24 h', now() + $8, now() + $8)"#,
        db.instance().as_str(),
        id.as_str(),
        client.as_str(),
        fields.first_name,
        fields.last_name,
        fields.locale,
        fields.unsafe_metadata,
        db.offset(),
        fields.legal_accepted,
        flow.map(FlowId::as_str),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A verification to be stored with an attempt.
pub struct NewProviderVerification<'a> {
    /// Names it.
    pub id: &'a VerificationId,
    /// The attempt's id.
    pub owner: &'a str,
    /// What it verifies to the attempt or account.
    pub role: Role,
    /// The client that asked.
    pub client: &'a ClientId,
    /// The provider's.
    pub strategy: &'a Strategy,
    /// The provider's authorization URL, sealed.
    pub external_url_sealed: Option<&'a [u8]>,
}

/// A new, unanswered verification; lives ten minutes.
///
/// # Errors
/// Storage faults.
pub async fn create_verification(
    db: &mut InstanceConnection<'_>,
    new: &NewProviderVerification<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into verifications (instance_id, id, owner_id, role, client_id, strategy, status,
               external_url_sealed, expires_at, created_at)
           values ($1, $2, $3, $4, $5, $6, 'unverified', $7, now() + $8 + interval '10 min', now() + $8)"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.owner,
        new.role as Role,
        new.client.as_str(),
        new.strategy as &Strategy,
        new.external_url_sealed,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Answers a verification. A transferable one stays so for ten minutes.
///
/// # Errors
/// Storage faults.
pub async fn answer_verification(
    db: &mut InstanceConnection<'_>,
    id: &VerificationId,
    status: Status,
    error: Option<&Value>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update verifications set status = $3, error = $4, attempts = 1,
               verified_at = case when $3 = 'verified' then now() + $5 end,
               transferable_until = case when $3 = 'transferable' then now() + $5 + interval '10 min' end
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
        status as Status,
        error,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses up the transferable verification of the client's current sign-in or sign-up, once. Returns the
/// authorization to the provider that it stands for.
///
/// # Errors
/// Storage faults.
pub async fn take_transfer(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    source: AttemptKind,
) -> sqlx::Result<Option<ProviderAuthorizationId>> {
    sqlx::query_scalar!(
        r#"with source as (
               select id from sign_ins where instance_id = $1 and client_id = $2 and replaced_at is null
               union all
               select id from sign_ups where instance_id = $1 and client_id = $2 and replaced_at is null
           ),
           taken as (
               update verifications v set transferred_at = now() + $4
               from source s
               where v.instance_id = $1 and v.owner_id = s.id and v.role = $3 and v.superseded_at is null
                   and v.status = 'transferable' and v.transferred_at is null and v.transferable_until > now() + $4
               returning v.id
           )
           select f.id as "id: ProviderAuthorizationId" from taken t
           join provider_authorizations f on f.instance_id = $1 and f.verification_id = t.id"#,
        db.instance().as_str(),
        client.as_str(),
        Role::of_provider(source) as Role,
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Whether `client` had something to transfer that is used up or too old by now.
///
/// # Errors
/// Storage faults.
pub async fn had_transfer(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    source: AttemptKind,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from verifications v join (
                   select id from sign_ins where instance_id = $1 and client_id = $2
                   union all
                   select id from sign_ups where instance_id = $1 and client_id = $2) s on v.owner_id = s.id
               where v.instance_id = $1 and v.role = $3 and v.status = 'transferable') as "had!""#,
        db.instance().as_str(),
        client.as_str(),
        Role::of_provider(source) as Role,
    )
    .fetch_one(db)
    .await
}

/// Where a finished attempt stays visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletedBy {
    /// The provider's callback: the attempt stays on the client for a while, because the app reads it there.
    Callback,
    /// An API call: the answer shows it, and it is gone from the client.
    Call,
}

/// Takes finished attempts off the client: what they made is over.
///
/// # Errors
/// Storage faults.
pub async fn forget_completed(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with sign_in as (
               update sign_ins set replaced_at = now() + $3
               where instance_id = $1 and client_id = $2 and replaced_at is null and status = 'complete'
           )
           update sign_ups set replaced_at = now() + $3
           where instance_id = $1 and client_id = $2 and replaced_at is null and status = 'complete'"#,
        db.instance().as_str(),
        client.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A sign-in attempt, current or not.
///
/// # Errors
/// Storage faults.
pub async fn sign_in(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<Option<SignIn>> {
    let tree = sqlx::query_scalar!(
        r#"select tree as "tree!: Json<SignIn>" from sign_in_trees where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(tree.map(|tree| tree.0))
}

/// A sign-up attempt, current or not.
///
/// # Errors
/// Storage faults.
pub async fn sign_up(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<Option<SignUp>> {
    let tree = sqlx::query_scalar!(
        r#"select tree as "tree!: Json<SignUp>" from sign_up_trees where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(tree.map(|tree| tree.0))
}

/// The recorded flow of an attempt, of either kind; `None` for what is no attempt's.
///
/// # Errors
/// Storage faults.
pub async fn flow_of(db: &mut InstanceConnection<'_>, attempt: &str) -> sqlx::Result<Option<FlowId>> {
    let found = sqlx::query_scalar!(
        r#"select flow_id as "flow_id: FlowId" from sign_ins where instance_id = $1 and id = $2
           union all select flow_id from sign_ups where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        attempt,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.flatten())
}
