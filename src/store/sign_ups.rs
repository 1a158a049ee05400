//! A sign-up attempt on its way: filled, read with what its rules need, finished.

use serde_json::Value;
use sqlx::types::Json;

use super::InstanceConnection;
use super::attempts::CompletedBy;
use crate::model::client::SignUp;
use crate::model::id::{ClientId, SessionId, UserId, VerificationId};
use crate::model::sign_up::Status;
use crate::model::strategy::MailStrategy;
use crate::model::time::Timestamp;

/// What a provider's profile can fill in.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProfileFields<'a> {
    /// The address, canonical.
    pub email: Option<&'a str>,
    /// A username, well-formed; dropped if somebody has it.
    pub username: Option<&'a str>,
    /// Given name.
    pub first_name: Option<&'a str>,
    /// Family name.
    pub last_name: Option<&'a str>,
}

/// Fills a sign-up from the provider's profile; what the app sent wins. Returns the address that it has then.
///
/// # Errors
/// Storage faults.
pub async fn fill(
    db: &mut InstanceConnection<'_>,
    id: &str,
    filling: ProfileFields<'_>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"update sign_ups set email_address = coalesce(email_address, $3),
               email_address_key = coalesce(email_address_key, $3), first_name = coalesce(first_name, $4),
               last_name = coalesce(last_name, $5), updated_at = now() + $6,
               username = coalesce(username, case when not exists (select from users u where u.instance_id = $1
                   and u.username_key = lower($7)) then $7 end)
           where instance_id = $1 and id = $2 returning email_address_key"#,
        db.instance().as_str(),
        id,
        filling.email,
        filling.first_name,
        filling.last_name,
        db.offset(),
        filling.username,
    )
    .fetch_one(db)
    .await
}

/// Takes the username away from a sign-up: somebody has it.
///
/// # Errors
/// Storage faults.
pub async fn drop_username(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update sign_ups set username = null, updated_at = now() + $3 where instance_id = $1 and id = $2",
        db.instance().as_str(),
        id,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A sign-up as its rules see it.
pub struct Row {
    /// Where it stands.
    pub status: Status,
    /// A newer one took its place.
    pub is_replaced: bool,
    /// A day has passed.
    pub is_abandoned: bool,
    /// The address, canonical.
    pub email: Option<String>,
    /// How the address was verified by code or link.
    pub proven_by: Option<MailStrategy>,
    /// The provider's verification, where it stands.
    pub external_account: Option<VerificationId>,
    /// Username.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The password, as a PHC string.
    pub password_digest: Option<String>,
    /// The user's own metadata.
    pub unsafe_metadata: Value,
    /// BCP 47.
    pub locale: Option<String>,
    /// When terms were accepted.
    pub legal_accepted_at: Option<Timestamp>,
}

/// Reads a sign-up with what is verified of it. The caller holds the client's lock.
///
/// # Errors
/// Storage faults.
pub async fn row(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"select s.status as "status: Status", s.replaced_at is not null as "is_replaced!", s.abandon_at <= now() + $3 as "is_abandoned!",
               s.email_address_key as email, e.strategy as "proven_by?: MailStrategy",
               x.id as "external_account?: VerificationId", s.username, s.first_name, s.last_name, s.password_digest,
               s.unsafe_metadata, s.locale, s.legal_accepted_at
           from sign_ups s
           left join verifications e on e.instance_id = $1 and e.owner_id = s.id and e.role = 'email_address'
               and e.superseded_at is null and e.status = 'verified' and e.value_key = s.email_address_key
           left join verifications x on x.instance_id = $1 and x.owner_id = s.id and x.role = 'external_account'
               and x.superseded_at is null and x.status = 'verified'
           where s.instance_id = $1 and s.id = $2"#,
        db.instance().as_str(),
        id,
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Finishes a sign-up.
///
/// # Errors
/// Storage faults.
pub async fn complete(
    db: &mut InstanceConnection<'_>,
    id: &str,
    user: &UserId,
    session: &SessionId,
    by: CompletedBy,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update sign_ups set status = 'complete', created_user_id = $3, created_session_id = $4,
               completed_at = now() + $6, updated_at = now() + $6, replaced_at = case when $5 then now() + $6 end
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
        user.as_str(),
        session.as_str(),
        by == CompletedBy::Call,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A client's attempt, current or not.
pub struct Found {
    /// The attempt.
    pub attempt: SignUp,
    /// A newer one took its place.
    pub is_replaced: bool,
    /// A day has passed.
    pub is_abandoned: bool,
}

/// The attempt `id` of `client`.
///
/// # Errors
/// Storage faults.
pub async fn of_client(db: &mut InstanceConnection<'_>, client: &ClientId, id: &str) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select tree as "tree!: Json<SignUp>", replaced_at is not null as "is_replaced!",
               abandon_at <= now() + $4 as "is_abandoned!"
           from sign_up_trees where instance_id = $1 and client_id = $2 and id = $3"#,
        db.instance().as_str(),
        client.as_str(),
        id,
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    let found = |tree: Json<SignUp>, is_replaced, is_abandoned| Found { attempt: tree.0, is_replaced, is_abandoned };
    Ok(row.map(|row| found(row.tree, row.is_replaced, row.is_abandoned)))
}

/// What a person changes of a sign-up; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The address, canonical.
    pub email: Option<&'a str>,
    /// The username, well-formed.
    pub username: Option<&'a str>,
    /// Given name.
    pub first_name: Option<&'a str>,
    /// Family name.
    pub last_name: Option<&'a str>,
    /// BCP 47.
    pub locale: Option<&'a str>,
    /// The user's own metadata.
    pub unsafe_metadata: Option<&'a Value>,
    /// Consent to the terms, or its withdrawal.
    pub legal_accepted: Option<bool>,
    /// The password, as a PHC string.
    pub password_digest: Option<&'a str>,
}

/// Changes a sign-up. A verification of another address than it has now counts for nothing any more.
///
/// # Errors
/// Storage faults.
pub async fn change(db: &mut InstanceConnection<'_>, id: &str, change: &Change<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with outdated as (
               update verifications set superseded_at = now() + $10
               where instance_id = $1 and owner_id = $2 and role = 'email_address' and superseded_at is null
                   and $3::text is not null and value_key is distinct from $3
           )
           update sign_ups set email_address = coalesce($3, email_address),
               email_address_key = coalesce($3, email_address_key), username = coalesce($4, username),
               first_name = coalesce($5, first_name), last_name = coalesce($6, last_name),
               locale = coalesce($7, locale), unsafe_metadata = coalesce($8, unsafe_metadata),
               legal_accepted_at = case when $9 then coalesce(legal_accepted_at, now() + $10)
                   when not $9 then null else legal_accepted_at end,
               password_digest = coalesce($11, password_digest), updated_at = now() + $10
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
        change.email,
        change.username,
        change.first_name,
        change.last_name,
        change.locale,
        change.unsafe_metadata,
        change.legal_accepted,
        db.offset(),
        change.password_digest,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The address that the client's present sign-up has verified by code or link, and how.
///
/// # Errors
/// Storage faults.
pub async fn verified_address(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
) -> sqlx::Result<Option<(String, MailStrategy)>> {
    let row = sqlx::query!(
        r#"select e.value_key as "address!", e.strategy as "strategy: MailStrategy" from sign_ups s
           join verifications e on e.instance_id = $1 and e.owner_id = s.id and e.role = 'email_address'
               and e.superseded_at is null and e.status = 'verified' and e.value_key = s.email_address_key
           where s.instance_id = $1 and s.client_id = $2 and s.replaced_at is null"#,
        db.instance().as_str(),
        client.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.address, row.strategy)))
}
