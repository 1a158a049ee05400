//! External accounts: accounts of users at providers, and who an identity belongs to.

use super::InstanceConnection;
use crate::model::id::{ClientId, ExternalAccountId, IdentificationId, SessionId, UserId};
use crate::model::linking::{AddressOwner, Known, KnownAccount, UserStatus};
use crate::model::profile::Profile;
use crate::model::user::IdentificationStatus;

/// What we know about an identity: the account with this (provider, id), that user's session on this client, and who
/// has the address. One statement.
///
/// # Errors
/// Storage faults.
pub async fn known(
    db: &mut InstanceConnection<'_>,
    provider: &str,
    provider_user_id: &str,
    email: Option<&str>,
    client: &ClientId,
) -> sqlx::Result<Known> {
    let row = sqlx::query!(
        r#"select a.id as "account?: ExternalAccountId", a.user_id as "user?: UserId",
               u.banned_at is not null as "banned!", coalesce(u.locked_at is not null
                   and (u.locked_until is null or u.locked_until > now() + $6), false)
                   and not (u.lock_reason is not distinct from 'attempts' and exists (select from known_clients f
                       where f.instance_id = $1 and f.user_id = u.id and f.client_id = $5
                           and (f.locked_until is null or f.locked_until <= now() + $6))) as "locked!",
               (select s.id from sessions s where s.instance_id = $1 and s.client_id = $5 and s.user_id = a.user_id
                   and s.status = 'active' and s.expire_at > now() + $6 limit 1) as "session?: SessionId",
               o.user_id as "owner?: UserId", o.id as "address?: IdentificationId", o.status as "owner_status?: IdentificationStatus",
               o.is_somebody_else as "is_somebody_else?",
               (select s.id from sessions s where s.instance_id = $1 and s.client_id = $5 and s.user_id = o.user_id
                   and s.status = 'active' and s.expire_at > now() + $6 limit 1) as "owner_session?: SessionId",
               w.banned_at is not null as "owner_banned!", coalesce(w.locked_at is not null
                   and (w.locked_until is null or w.locked_until > now() + $6), false)
                   and not (w.lock_reason is not distinct from 'attempts' and exists (select from known_clients f
                       where f.instance_id = $1 and f.user_id = w.id and f.client_id = $5
                           and (f.locked_until is null or f.locked_until <= now() + $6))) as "owner_locked!"
           from (select 1) one
           left join external_accounts a on a.instance_id = $1 and a.provider = $2 and a.provider_user_id = $3
               and a.status = 'verified'
           left join users u on u.instance_id = $1 and u.id = a.user_id
           left join lateral (
               select i.user_id, i.id, i.status, exists (select from identifications x where x.instance_id = $1
                       and x.user_id = i.user_id and x.kind = 'email_address' and x.id <> i.id
                       and x.status in ('verified', 'reserved')) as is_somebody_else
               from identifications i join users k on k.instance_id = $1 and k.id = i.user_id
               where i.instance_id = $1 and i.kind = 'email_address' and i.value_key = $4
               order by i.status = 'unverified', is_somebody_else, k.banned_at is not null or coalesce(
                   k.locked_at is not null and (k.locked_until is null or k.locked_until > now() + $6), false),
                   i.created_at, i.id limit 1) o on true
           left join users w on w.instance_id = $1 and w.id = o.user_id"#,
        db.instance().as_str(),
        provider,
        provider_user_id,
        email,
        client.as_str(),
        db.offset(),
    )
    .fetch_one(db)
    .await?;
    let account = row.account.zip(row.user).map(|(account, user)| KnownAccount {
        account,
        user,
        user_status: UserStatus::of(row.banned, row.locked),
        session: row.session,
    });
    let owner = row.owner.zip(row.address).zip(row.owner_status).map(|((user, identification), status)| AddressOwner {
        user,
        identification,
        is_somebody_else: row.is_somebody_else.unwrap_or(false),
        session: row.owner_session,
        status,
        user_status: UserStatus::of(row.owner_banned, row.owner_locked),
    });
    Ok(Known { account, owner })
}

/// An account of a user.
pub struct NewAccount<'a> {
    /// Names it.
    pub id: &'a ExternalAccountId,
    /// The identification behind it.
    pub identification: &'a IdentificationId,
    /// Its user.
    pub user: &'a UserId,
    /// Slug.
    pub provider: &'a str,
    /// Who the provider says it is.
    pub profile: &'a Profile,
    /// The user's address that it vouches for.
    pub address: Option<&'a IdentificationId>,
    /// Scopes granted.
    pub scopes: &'a [String],
}

/// Stores an account that is verified to be the user's. What is only claimed is no account: it waits with its sign-in.
///
/// # Errors
/// Storage faults; a violation of `external_accounts_identity_key` when somebody else was first.
pub async fn create(db: &mut InstanceConnection<'_>, new: &NewAccount<'_>) -> sqlx::Result<()> {
    let profile = new.profile;
    sqlx::query!(
        r#"insert into external_accounts (instance_id, id, identification_id, user_id, provider, provider_user_id,
               status, verified_at, email_address, email_verified, email_identification_id, first_name, last_name,
               username, avatar_url, phone_number, approved_scopes, public_metadata, created_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, 'verified', now() + $17, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
               now() + $17, now() + $17)"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.identification.as_str(),
        new.user.as_str(),
        new.provider,
        profile.provider_user_id,
        profile.email,
        profile.email.as_ref().map(|_| profile.email_trust.counts_as_verified()),
        new.address.map(IdentificationId::as_str),
        profile.first_name,
        profile.last_name,
        profile.username,
        profile.avatar_url,
        profile.phone,
        new.scopes,
        serde_json::Value::Object(profile.public_metadata.clone()),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Brings an account up to date with what the provider says now, at every successful callback. False if it is gone. The
/// caller holds the user's lock.
///
/// # Errors
/// Storage faults.
pub async fn refresh(
    db: &mut InstanceConnection<'_>,
    id: &ExternalAccountId,
    profile: &Profile,
    scopes: &[String],
) -> sqlx::Result<bool> {
    let refreshed = sqlx::query!(
        r#"update external_accounts set email_address = $3, email_verified = $4, first_name = $5, last_name = $6,
               username = $7, avatar_url = $8, phone_number = $9, approved_scopes = $10, error = null,
               updated_at = now() + $11
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
        profile.email,
        profile.email.as_ref().map(|_| profile.email_trust.counts_as_verified()),
        profile.first_name,
        profile.last_name,
        profile.username,
        profile.avatar_url,
        profile.phone,
        scopes,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(refreshed.rows_affected() == 1)
}

/// True if the identity is an account of some user.
///
/// # Errors
/// Storage faults.
pub async fn is_connected(
    db: &mut InstanceConnection<'_>,
    provider: &str,
    provider_user_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from external_accounts where instance_id = $1 and provider = $2
               and provider_user_id = $3 and status = 'verified') as "is_connected!""#,
        db.instance().as_str(),
        provider,
        provider_user_id,
    )
    .fetch_one(db)
    .await
}
