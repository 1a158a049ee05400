//! A sign-in attempt on its way: read with what its rules need, given its user, finished.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use super::InstanceConnection;
use super::attempts::CompletedBy;
use crate::model::client::SignIn;
use crate::model::id::{ClientId, FlowId, IdentificationId, ProviderAuthorizationId, SessionId, SignInId, UserId};
use crate::model::sign_in::Status;
use crate::model::strategy::ProviderSlug;
use crate::model::time::Timestamp;
use crate::model::user::IdentificationStatus;

/// An account that somebody claimed at a provider by naming an address that has an owner. It waits with the sign-in
/// until the address is verified, and is nothing of the owner's before: whoever claims in vain leaves no trace with the
/// user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingAccount {
    /// Where it is.
    pub provider: ProviderSlug,
    /// Whose account it is there.
    pub provider_user_id: String,
    /// What brought it: the profile and the sealed tokens lie there.
    #[serde(rename = "authorization_id")]
    pub authorization: ProviderAuthorizationId,
}

/// A sign-in as its rules see it.
pub struct Row {
    /// Where it stands.
    pub status: Status,
    /// A newer one took its place.
    pub is_replaced: bool,
    /// A day has passed.
    pub is_abandoned: bool,
    /// Who it is for; `None` before anybody is identified.
    pub user: Option<UserId>,
    /// The address by which the user was identified.
    pub identification: Option<IdentificationId>,
    /// The account that waits for the verification of that address.
    pub pending: Option<Json<PendingAccount>>,
    /// How far the address in question is the user's; `None` if it is not theirs at all.
    pub address_status: Option<IdentificationStatus>,
    /// The address in question, canonical.
    pub address: Option<String>,
    /// The user has another address that is verified or reserved for them.
    pub is_somebody_else: bool,
    /// The user has a password.
    pub has_password: bool,
}

/// Reads a sign-in together with what is known of its user and of `address`, one of the user's. The caller holds the
/// client's lock.
///
/// # Errors
/// Storage faults.
pub async fn row(
    db: &mut InstanceConnection<'_>,
    id: &str,
    address: Option<&IdentificationId>,
) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"select s.status as "status: Status", s.replaced_at is not null as "is_replaced!", s.abandon_at <= now() + $4 as "is_abandoned!",
               s.user_id as "user: UserId", s.identification_id as "identification: IdentificationId",
               s.pending_account as "pending: Json<PendingAccount>",
               i.status as "address_status?: IdentificationStatus", i.value_key as "address?",
               exists (select from identifications o where o.instance_id = $1 and o.user_id = s.user_id
                   and o.kind = 'email_address' and o.id <> i.id and o.status in ('verified', 'reserved'))
                   as "is_somebody_else!",
               exists (select from user_passwords p where p.instance_id = $1 and p.user_id = s.user_id)
                   as "has_password!"
           from sign_ins s
           left join identifications i on i.instance_id = $1 and i.id = $3 and i.user_id = s.user_id
           where s.instance_id = $1 and s.id = $2"#,
        db.instance().as_str(),
        id,
        address.map(IdentificationId::as_str),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Says who a sign-in is for.
pub struct Identified<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The address that led to them.
    pub address: Option<&'a IdentificationId>,
    /// The account that waits for the verification of that address.
    pub pending: Option<&'a PendingAccount>,
    /// `needs_first_factor`, or as it was.
    pub status: Status,
}

/// Says who a sign-in is for; its identifier becomes the address that led to them.
///
/// # Errors
/// Storage faults.
pub async fn identify(db: &mut InstanceConnection<'_>, id: &str, who: &Identified<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update sign_ins set user_id = $3, identification_id = $4, pending_account = $5, status = $6,
               identifier = (select value from identifications where instance_id = $1 and id = $4),
               updated_at = now() + $7
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
        who.user.as_str(),
        who.address.map(IdentificationId::as_str),
        who.pending.map(Json) as Option<Json<&PendingAccount>>,
        who.status as Status,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A sign-in that waited for a first factor is for nobody any more.
///
/// # Errors
/// Storage faults.
pub async fn forget_user(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update sign_ins set status = 'needs_identifier', user_id = null, identification_id = null,
               pending_account = null, identifier = null, sign_up_if_missing = false,
               updated_at = now() + $3
           where instance_id = $1 and id = $2 and status = 'needs_first_factor'"#,
        db.instance().as_str(),
        id,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Moves a sign-in that goes on to `status`; nothing waits for a verification any more. `false` if it was replaced
/// meanwhile.
///
/// # Errors
/// Storage faults.
pub async fn set_status(db: &mut InstanceConnection<'_>, id: &str, status: Status) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update sign_ins set status = $3, pending_account = null, updated_at = now() + $4
           where instance_id = $1 and id = $2 and replaced_at is null"#,
        db.instance().as_str(),
        id,
        status as Status,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces the user's open sign-ins other than `pending`, on every client: what was verified in them counts no more.
/// The caller holds the user's lock.
///
/// # Errors
/// Storage faults.
pub async fn replace_others(db: &mut InstanceConnection<'_>, user: &UserId, pending: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update sign_ins set replaced_at = now() + $4, pending_account = null
           where instance_id = $1 and user_id = $2 and id <> $3 and replaced_at is null and status <> 'complete'"#,
        db.instance().as_str(),
        user.as_str(),
        pending,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finishes a sign-in; its identifier becomes the user's primary address, where there is one. `false` if it was
/// replaced meanwhile.
///
/// # Errors
/// Storage faults.
pub async fn complete(
    db: &mut InstanceConnection<'_>,
    id: &str,
    user: &UserId,
    session: &SessionId,
    by: CompletedBy,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update sign_ins set status = 'complete', user_id = $3, created_session_id = $4, completed_at = now() + $6,
               pending_account = null,
               updated_at = now() + $6, replaced_at = case when $5 then now() + $6 end,
               identifier = (select i.value from identifications i where i.instance_id = $1 and i.user_id = $3
                   and i.kind = 'email_address' and i.is_primary)
           where instance_id = $1 and id = $2 and replaced_at is null"#,
        db.instance().as_str(),
        id,
        user.as_str(),
        session.as_str(),
        by == CompletedBy::Call,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A client's attempt, current or not.
pub struct Found {
    /// The attempt.
    pub attempt: SignIn,
    /// A newer one took its place.
    pub is_replaced: bool,
    /// A day has passed.
    pub is_abandoned: bool,
    /// When it came as far as it has.
    pub updated_at: Timestamp,
}

/// The attempt `id` of `client`.
///
/// # Errors
/// Storage faults.
pub async fn of_client(db: &mut InstanceConnection<'_>, client: &ClientId, id: &str) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select t.tree as "tree!: Json<SignIn>", s.replaced_at is not null as "is_replaced!",
               s.abandon_at <= now() + $4 as "is_abandoned!", s.updated_at
           from sign_ins s join sign_in_trees t on t.instance_id = $1 and t.id = s.id
           where s.instance_id = $1 and s.client_id = $2 and s.id = $3"#,
        db.instance().as_str(),
        client.as_str(),
        id,
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Found {
        attempt: row.tree.0,
        is_replaced: row.is_replaced,
        is_abandoned: row.is_abandoned,
        updated_at: row.updated_at,
    }))
}

/// Whose an e-mail address is: of whoever has verified it or has it reserved; where claims count, else of whoever
/// claimed it first.
///
/// # Errors
/// Storage faults.
pub async fn owner_of_address(
    db: &mut InstanceConnection<'_>,
    address: &str,
    claims_count: bool,
) -> sqlx::Result<Option<(UserId, IdentificationId)>> {
    let row = sqlx::query!(
        r#"select user_id as "user_id: UserId", id as "id: IdentificationId" from identifications
           where instance_id = $1 and kind = 'email_address' and value_key = $2
               and (status in ('verified', 'reserved') or (status = 'unverified' and $3))
           order by status = 'unverified', created_at limit 1"#,
        db.instance().as_str(),
        address,
        claims_count,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.user_id, row.id)))
}

/// A sign-in for whoever has what somebody typed.
pub struct NewSignIn<'a> {
    /// Names it.
    pub id: &'a SignInId,
    /// The client; the caller holds its lock.
    pub client: &'a ClientId,
    /// The recorded flow.
    pub flow: Option<&'a FlowId>,
    /// What was typed, as it is looked up.
    pub identifier: Identifier<'a>,
    /// A claim of an address counts, where nobody has verified it.
    pub claims_count: bool,
    /// It begins also if nobody has that: nobody may learn so.
    pub admits_nobody: bool,
    /// Whoever has no account may sign up after the verification.
    pub sign_up_if_missing: bool,
    /// A client with an open session begins none.
    pub is_single_session: bool,
}

/// What somebody says who they are with.
#[derive(Clone, Copy, Debug)]
pub enum Identifier<'a> {
    /// An address, canonical.
    Address(&'a str),
    /// A username, in any case.
    Username(&'a str),
}

/// What became of a sign-in that was to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInStart {
    /// It waits for a first factor.
    SignInStart,
    /// Nobody has the identifier.
    Nobody,
    /// The client has this session.
    HasSession(SessionId),
}

/// Begins a sign-in that waits for a first factor, in place of the client's attempts of both kinds: a stale one would
/// win in the SDK. The same statement finds out who has the identifier, and whether a session is in the way.
///
/// # Errors
/// Storage faults.
pub async fn begin(db: &mut InstanceConnection<'_>, new: &NewSignIn<'_>) -> sqlx::Result<SignInStart> {
    let (address, username) = match new.identifier {
        Identifier::Address(address) => (Some(address), None),
        Identifier::Username(username) => (None, Some(username)),
    };
    let row = sqlx::query!(
        r#"with owner as materialized (
               (select user_id, id as identification_id from identifications
                where instance_id = $1 and kind = 'email_address' and value_key = $5
                    and (status in ('verified', 'reserved') or (status = 'unverified' and $7))
                order by status = 'unverified', created_at limit 1)
               union all
               select id, null from users where instance_id = $1 and username_key = lower($6)
           ),
           open_session as materialized (
               select id from sessions
               where $8 and instance_id = $1 and client_id = $3 and status in ('pending', 'active')
                   and expire_at > now() + $11
               order by id desc limit 1
           ),
           admitted as materialized (
               select o.user_id, o.identification_id from (select) one left join owner o on true
               where ($9 or o.user_id is not null) and not exists (select from open_session)
           ),
           -- What was claimed in the old one goes with it, and so do the tokens that came with the claim.
           emptied as (
               update provider_authorizations f set tokens_sealed = null, profile = null, provider_user_id = null
               from admitted cross join sign_ins s
               where s.instance_id = $1 and s.client_id = $3 and s.replaced_at is null and s.pending_account is not null
                   and f.instance_id = $1 and f.target_id = s.id and f.tokens_sealed is not null
           ),
           sign_in as (
               update sign_ins s set replaced_at = now() + $11, updated_at = now() + $11, pending_account = null
               from admitted
               where s.instance_id = $1 and s.client_id = $3 and s.replaced_at is null
               returning s.id
           ),
           sign_up as (
               update sign_ups s set replaced_at = now() + $11, updated_at = now() + $11 from admitted
               where s.instance_id = $1 and s.client_id = $3 and s.replaced_at is null
           ),
           -- After the old one is replaced: a client has one at a time.
           begun as (
               insert into sign_ins (instance_id, id, client_id, status, identifier, user_id, identification_id,
                   sign_up_if_missing, flow_id, abandon_at, created_at, updated_at)
               select $1, $2, $3, 'needs_first_factor', coalesce($5, $6), a.user_id, a.identification_id, $10, $4,
                   now() + $11 + interval '24 h', now() + $11, now() + $11
               from admitted a cross join (select count(*) from sign_in) replaced
               returning id
           )
           select exists (select from begun) as "is_begun!", (select id from open_session) as "session: SessionId""#,
        db.instance().as_str(),
        new.id.as_str(),
        new.client.as_str(),
        new.flow.map(FlowId::as_str),
        address,
        username,
        new.claims_count,
        new.is_single_session,
        new.admits_nobody,
        new.sign_up_if_missing,
        db.offset(),
    )
    .fetch_one(db)
    .await?;
    Ok(match row.session {
        Some(session) => SignInStart::HasSession(session),
        None if row.is_begun => SignInStart::SignInStart,
        None => SignInStart::Nobody,
    })
}
