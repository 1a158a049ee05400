//! Verifications by code and link: asked once per owner and role, counted before they are believed.

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::id::{ClientId, FlowId, SessionId, VerificationId};
use crate::model::strategy::{MailStrategy, Strategy};
use crate::model::time::Timestamp;
use crate::model::verification::{Role, Status};

/// A verification about to be asked for.
pub struct NewVerification<'a> {
    /// Names it.
    pub id: &'a VerificationId,
    /// The attempt, session or address that it is for.
    pub owner: &'a str,
    /// What it verifies to the owner.
    pub role: Role,
    /// The client that asked.
    pub client: &'a ClientId,
    /// The session that asked, where it is about one.
    pub session: Option<&'a SessionId>,
    /// By what.
    pub strategy: &'a Strategy,
    /// The address, canonical; none as long as no factor is chosen.
    pub address: Option<&'a str>,
    /// The address's id, where it belongs to a user.
    pub identification: Option<&'a str>,
    /// Of a code.
    pub code: Option<&'a LookupHash>,
    /// Of a link.
    pub link: Option<&'a LookupHash>,
    /// Where a link leads in the end.
    pub redirect_url: Option<&'a str>,
}

/// Asks for a verification; it lives ten minutes, and the one asked for before is dead. The caller holds the lock of
/// the client, so that two never ask at once.
///
/// # Errors
/// Storage faults.
pub async fn create(db: &mut InstanceConnection<'_>, new: &NewVerification<'_>) -> sqlx::Result<()> {
    supersede(&mut *db, new.owner, new.role).await?;
    sqlx::query!(
        r#"insert into verifications (instance_id, id, owner_id, role, client_id, session_id, strategy, status,
               identification_id, value_key, code_hash, link_hash, redirect_url, sent_at, expires_at, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, 'unverified', $8, $9, $10, $11, $12, now() + $13,
               now() + $13 + interval '10 min', now() + $13)"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.owner,
        new.role as Role,
        new.client.as_str(),
        new.session.map(SessionId::as_str),
        new.strategy as &Strategy,
        new.identification,
        new.address,
        new.code.map(|hash| hash.as_bytes().as_slice()),
        new.link.map(|hash| hash.as_bytes().as_slice()),
        new.redirect_url,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The authorization at a provider that an account waits for is over, so that another can begin.
///
/// # Errors
/// Storage faults.
pub async fn supersede_provider_verification(db: &mut InstanceConnection<'_>, owner: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update verifications set superseded_at = now() + $3
           where instance_id = $1 and owner_id = $2 and role in ('external_account', 'first_factor')
               and superseded_at is null"#,
        db.instance().as_str(),
        owner,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was asked of this owner is dead.
///
/// # Errors
/// Storage faults.
pub async fn supersede(db: &mut InstanceConnection<'_>, owner: &str, role: Role) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update verifications set superseded_at = now() + $4
           where instance_id = $1 and owner_id = $2 and role = $3 and superseded_at is null"#,
        db.instance().as_str(),
        owner,
        role as Role,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A verification that was asked for.
#[derive(Clone, Debug)]
pub struct PendingVerification {
    /// Names it.
    pub id: VerificationId,
    /// The attempt, session or address that it is for.
    pub owner: String,
    /// By what.
    pub strategy: Strategy,
    /// Where it stands; expiry is not in it.
    pub status: Status,
    /// Wrong guesses so far.
    pub attempts: i16,
    /// The client that asked.
    pub client: Option<ClientId>,
    /// The address's id, where it belongs to a user.
    pub identification: Option<String>,
    /// The address, canonical.
    pub address: Option<String>,
    /// Where a link leads in the end.
    pub redirect_url: Option<String>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When a newer one took its place.
    pub superseded_at: Option<Timestamp>,
}

/// What is asked of this owner now.
///
/// # Errors
/// Storage faults.
pub async fn current(
    db: &mut InstanceConnection<'_>,
    owner: &str,
    role: Role,
) -> sqlx::Result<Option<PendingVerification>> {
    sqlx::query_as!(
        PendingVerification,
        r#"select id as "id: VerificationId", owner_id as owner, strategy as "strategy: Strategy", status as "status: Status", attempts,
               client_id as "client: ClientId", identification_id as identification, value_key as address,
               redirect_url, sent_at, expires_at, superseded_at
           from verifications
           where instance_id = $1 and owner_id = $2 and role = $3 and superseded_at is null"#,
        db.instance().as_str(),
        owner,
        role as Role,
    )
    .fetch_optional(db)
    .await
}

/// The verification that a link stands for, live or not.
///
/// # Errors
/// Storage faults.
pub async fn by_link(db: &mut InstanceConnection<'_>, link: &LookupHash) -> sqlx::Result<Option<PendingVerification>> {
    sqlx::query_as!(
        PendingVerification,
        r#"select id as "id: VerificationId", owner_id as owner, strategy as "strategy: Strategy", status as "status: Status", attempts,
               client_id as "client: ClientId", identification_id as identification, value_key as address,
               redirect_url, sent_at, expires_at, superseded_at
           from verifications where instance_id = $1 and link_hash = $2"#,
        db.instance().as_str(),
        link.as_bytes(),
    )
    .fetch_optional(db)
    .await
}

/// A guess counts before it is believed: one statement counts it and says whether it was right. `None` if there is
/// nothing to guess any more: another client's, superseded, answered, expired, or dead after five wrong guesses.
///
/// # Errors
/// Storage faults.
pub async fn guess(
    db: &mut InstanceConnection<'_>,
    id: &VerificationId,
    client: &ClientId,
    hashes: &[Vec<u8>],
) -> sqlx::Result<Option<Status>> {
    sqlx::query_scalar!(
        r#"update verifications set attempts = attempts + 1,
               status = case when code_hash = any($4) then 'verified' when attempts = 4 then 'failed' else status end,
               verified_at = case when code_hash = any($4) then now() + $5 end
           where instance_id = $1 and id = $2 and client_id = $3 and status = 'unverified' and superseded_at is null
               and attempts < 5 and expires_at > now() + $5 and code_hash is not null
           returning status as "status: Status""#,
        db.instance().as_str(),
        id.as_str(),
        client.as_str(),
        hashes,
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Believes a link, once. `false` if it is superseded, used or expired.
///
/// # Errors
/// Storage faults.
pub async fn open_link(db: &mut InstanceConnection<'_>, id: &VerificationId, link: &LookupHash) -> sqlx::Result<bool> {
    let opened = sqlx::query!(
        r#"update verifications set attempts = attempts + 1, status = 'verified', verified_at = now() + $4
           where instance_id = $1 and id = $2 and link_hash = $3 and status = 'unverified' and superseded_at is null
               and expires_at > now() + $4"#,
        db.instance().as_str(),
        id.as_str(),
        link.as_bytes(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(opened.rows_affected() == 1)
}

/// The link of `owner` that was believed less than ten minutes ago, for an attempt that still waits for it.
///
/// # Errors
/// Storage faults.
pub async fn opened_link(db: &mut InstanceConnection<'_>, owner: &str) -> sqlx::Result<Option<PendingVerification>> {
    sqlx::query_as!(
        PendingVerification,
        r#"select id as "id: VerificationId", owner_id as owner, strategy as "strategy: Strategy", status as "status: Status", attempts,
               client_id as "client: ClientId", identification_id as identification, value_key as address,
               redirect_url, sent_at, expires_at, superseded_at
           from verifications
           where instance_id = $1 and owner_id = $2 and strategy = 'email_link' and status = 'verified'
               and superseded_at is null and verified_at > now() + $3 - interval '10 min'"#,
        db.instance().as_str(),
        owner,
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// An address that was verified in one attempt and belongs in another.
pub struct VerifiedAddress {
    /// By what.
    pub strategy: MailStrategy,
    /// The address, canonical.
    pub address: String,
    /// The recorded flow of the sign-in.
    pub flow_id: Option<FlowId>,
}

/// Uses up the verification of an address that the client's current sign-in found nobody for, once.
///
/// # Errors
/// Storage faults.
pub async fn take_address(db: &mut InstanceConnection<'_>, client: &ClientId) -> sqlx::Result<Option<VerifiedAddress>> {
    sqlx::query_as!(
        VerifiedAddress,
        r#"update verifications v set transferred_at = now() + $3
           from sign_ins s
           where s.instance_id = $1 and s.client_id = $2 and s.replaced_at is null
               and v.instance_id = $1 and v.owner_id = s.id and v.role = 'first_factor' and v.superseded_at is null
               and v.strategy in ('email_code', 'email_link') and v.status = 'transferable'
               and v.transferred_at is null and v.transferable_until > now() + $3
           returning v.strategy as "strategy: MailStrategy", v.value_key as "address!", s.flow_id as "flow_id: FlowId""#,
        db.instance().as_str(),
        client.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Writes down for the sign-up `owner` that its address was verified already.
///
/// # Errors
/// Storage faults.
pub async fn transfer(
    db: &mut InstanceConnection<'_>,
    id: &VerificationId,
    owner: &str,
    client: &ClientId,
    verified: &VerifiedAddress,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into verifications (instance_id, id, owner_id, role, client_id, strategy, status, value_key, attempts,
               sent_at, expires_at, verified_at, created_at)
           values ($1, $2, $3, 'email_address', $4, $5, 'verified', $6, 1, now() + $7, now() + $7 + interval '10 min',
               now() + $7, now() + $7)"#,
        db.instance().as_str(),
        id.as_str(),
        owner,
        client.as_str(),
        verified.strategy as MailStrategy,
        verified.address,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}
