//! Accounts on their way to a signed-in user: pending ones, their outcome, and the end of connected ones.

use serde_json::Value;

use super::InstanceConnection;
use crate::model::connecting::{Address, Identity, Known};
use crate::model::id::{ClientId, ExternalAccountId, IdentificationId, SessionId, UserId, VerificationId};
use crate::model::profile::Profile;
use crate::model::search;
use crate::model::strategy::{AddressStrategy, ProviderSlug};
use crate::model::user::ExternalAccountStatus;

/// Locks a user until the transaction ends; false if there is none. Whatever gives or takes a way to sign in does it
/// one after the other, so that two removals at once never take the last two.
///
/// # Errors
/// Storage faults.
pub async fn lock_user(db: &mut InstanceConnection<'_>, user: &UserId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select id from users where instance_id = $1 and id = $2 for no key update",
        db.instance().as_str(),
        user.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// True while the session is active on this client and its user may use it.
///
/// # Errors
/// Storage faults.
pub async fn is_session_active(
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    session: &SessionId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions s
               join users u on u.instance_id = $1 and u.id = s.user_id and u.banned_at is null
               where s.instance_id = $1 and s.id = $3 and s.client_id = $2 and s.status = 'active'
                   and s.expire_at > now() + $4) as "is_active!""#,
        db.instance().as_str(),
        client.as_str(),
        session.as_str(),
        db.offset(),
    )
    .fetch_one(db)
    .await
}

/// An account about to be connected.
pub struct NewPending<'a> {
    /// Names it.
    pub id: &'a ExternalAccountId,
    /// The identification behind it.
    pub identification: &'a IdentificationId,
    /// Whose it will be.
    pub user: &'a UserId,
    /// Slug.
    pub provider: &'a str,
}

/// Stores a pending account for ten minutes, in place of earlier ones of this user and provider that nobody came back
/// to. It knows no identity before it is verified.
///
/// # Errors
/// Storage faults.
pub async fn create_pending(db: &mut InstanceConnection<'_>, new: &NewPending<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with earlier as (
               delete from external_accounts where instance_id = $1 and user_id = $4 and provider = $5
                   and status = 'pending' and provider_user_id is null
           )
           insert into external_accounts (instance_id, id, identification_id, user_id, provider, status, expires_at,
               created_at, updated_at)
           values ($1, $2, $3, $4, $5, 'pending', now() + $6 + interval '10 min', now() + $6, now() + $6)"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.identification.as_str(),
        new.user.as_str(),
        new.provider,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a pending account that was refused another ten minutes; a verified one stays as it is.
///
/// # Errors
/// Storage faults.
pub async fn renew_pending(db: &mut InstanceConnection<'_>, id: &ExternalAccountId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update external_accounts set error = null, expires_at = now() + $3 + interval '10 min',
               updated_at = now() + $3
           where instance_id = $1 and id = $2 and status = 'pending'"#,
        db.instance().as_str(),
        id.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The authorization's account, locked, while the authorization's verification is still the one that is asked for;
/// `None` if it was removed or a newer authorization began.
///
/// # Errors
/// Storage faults.
pub async fn lock_target(
    db: &mut InstanceConnection<'_>,
    account: &str,
    verification: &VerificationId,
) -> sqlx::Result<Option<ExternalAccountStatus>> {
    sqlx::query_scalar!(
        r#"select e.status as "status: ExternalAccountStatus" from external_accounts e
           join verifications v on v.instance_id = $1 and v.id = $3 and v.owner_id = e.id and v.superseded_at is null
           where e.instance_id = $1 and e.id = $2 for no key update of e"#,
        db.instance().as_str(),
        account,
        verification.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// What we know about an identity that came back to `user`: who has it, who has the address, and whether the user has
/// another account there.
///
/// # Errors
/// Storage faults.
pub async fn known(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    provider: &str,
    provider_user_id: &str,
    email: Option<&str>,
) -> sqlx::Result<Known> {
    let row = sqlx::query!(
        r#"select a.id as "account?: ExternalAccountId", a.user_id as "holder?: UserId",
               (select i.id from identifications i where i.instance_id = $1 and i.user_id = $2
                   and i.kind = 'email_address' and i.value_key = $5) as "own?: IdentificationId",
               exists (select from identifications i where i.instance_id = $1 and i.kind = 'email_address'
                   and i.value_key = $5 and i.status in ('verified', 'reserved') and i.user_id <> $2) as "is_taken!",
               exists (select from external_accounts e where e.instance_id = $1 and e.user_id = $2
                   and e.provider = $3 and e.status = 'verified' and e.error is null) as "has_another!"
           from (select 1) one
           left join external_accounts a on a.instance_id = $1 and a.provider = $3 and a.provider_user_id = $4
               and a.status = 'verified'"#,
        db.instance().as_str(),
        user.as_str(),
        provider,
        provider_user_id,
        email,
    )
    .fetch_one(db)
    .await?;
    let identity = match (row.account, row.holder) {
        (Some(account), Some(holder)) if holder == *user => Identity::Own(account),
        (Some(_), _) => Identity::Others,
        (None, _) => Identity::Unknown,
    };
    let address = match (email, row.own, row.is_taken) {
        (None, _, _) => Address::Absent,
        (_, _, true) => Address::Others,
        (_, Some(own), false) => Address::Own(own),
        (_, None, false) => Address::Free,
    };
    Ok(Known { identity, address, has_another: row.has_another })
}

/// Makes a pending account the user's: verified, with what the provider says.
///
/// # Errors
/// Storage faults; a violation of `external_accounts_identity_key` when somebody else was first.
pub async fn verify_pending(
    db: &mut InstanceConnection<'_>,
    id: &ExternalAccountId,
    profile: &Profile,
    address: Option<&IdentificationId>,
    scopes: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update external_accounts set status = 'verified', verified_at = now() + $14, provider_user_id = $3,
               error = null, expires_at = null, email_address = $4, email_verified = $5, email_identification_id = $6,
               first_name = $7, last_name = $8, username = $9, avatar_url = $10, phone_number = $11,
               approved_scopes = $12, public_metadata = $13, updated_at = now() + $14
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
        profile.provider_user_id,
        profile.email,
        profile.email.as_ref().map(|_| profile.email_trust.counts_as_verified()),
        address.map(IdentificationId::as_str),
        profile.first_name,
        profile.last_name,
        profile.username,
        profile.avatar_url,
        profile.phone,
        scopes,
        serde_json::Value::Object(profile.public_metadata.clone()),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An address that comes with an account.
pub struct BroughtAddress<'a> {
    /// Names it.
    pub id: &'a IdentificationId,
    /// Canonical form.
    pub value: &'a str,
    /// Verified already?
    pub is_verified: bool,
    /// What vouches for it.
    pub strategy: &'a AddressStrategy,
}

/// Adds an address to a user; it is the primary one where there is none.
///
/// # Errors
/// Storage faults; a violation of `identifications_claimed_key` when somebody else was first.
pub async fn add_address(db: &mut InstanceConnection<'_>, user: &UserId, new: &BroughtAddress<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into identifications (instance_id, id, user_id, kind, value, value_key, status, is_primary,
               verification_strategy, verified_at, created_at, updated_at, search_terms)
           values ($1, $2, $3, 'email_address', $4, $4, case when $5 then 'verified' else 'unverified' end,
               not exists (select from identifications where instance_id = $1 and user_id = $3
                   and kind = 'email_address' and is_primary),
               $6, case when $5 then now() + $7 end, now() + $7, now() + $7, $8)"#,
        db.instance().as_str(),
        new.id.as_str(),
        user.as_str(),
        new.value,
        new.is_verified,
        new.strategy as &AddressStrategy,
        db.offset(),
        &search::address_terms(db.instance(), new.value),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts an address of the user as verified, where it was not yet.
///
/// # Errors
/// Storage faults; a violation of `identifications_claimed_key` when somebody else was first.
pub async fn verify_address(
    db: &mut InstanceConnection<'_>,
    address: &IdentificationId,
    strategy: &AddressStrategy,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update identifications set status = 'verified', verified_at = now() + $4, verification_strategy = $3,
               updated_at = now() + $4
           where instance_id = $1 and id = $2 and status <> 'verified'"#,
        db.instance().as_str(),
        address.as_str(),
        strategy as &AddressStrategy,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Shows an error on a pending account; it stays for a day.
///
/// # Errors
/// Storage faults.
pub async fn refuse_pending(db: &mut InstanceConnection<'_>, id: &str, error: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update external_accounts set error = $3, updated_at = now() + $4
           where instance_id = $1 and id = $2 and status = 'pending'"#,
        db.instance().as_str(),
        id,
        error,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes an account with its tokens and the verifications that were asked of it. Addresses stay.
///
/// # Errors
/// Storage faults.
pub async fn remove(db: &mut InstanceConnection<'_>, id: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!(
        r#"with proofs as (delete from verifications where instance_id = $1 and owner_id = $2)
           delete from external_accounts where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id,
    )
    .execute(db)
    .await?;
    Ok(removed.rows_affected() > 0)
}

/// One of a user's accounts.
#[derive(Clone, Debug)]
pub struct OwnedAccount {
    /// Names it.
    pub id: ExternalAccountId,
    /// Where it is.
    pub provider: ProviderSlug,
    /// How far it is.
    pub status: ExternalAccountStatus,
    /// Something is wrong with it.
    pub has_error: bool,
    /// Scopes granted.
    pub approved_scopes: Vec<String>,
}

/// The accounts of a user at a provider that were verified and have no error.
///
/// # Errors
/// Storage faults.
pub async fn healthy(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    provider: &str,
) -> sqlx::Result<Vec<OwnedAccount>> {
    sqlx::query_as!(
        OwnedAccount,
        r#"select id as "id: ExternalAccountId", provider as "provider: ProviderSlug",
               status as "status: ExternalAccountStatus",
               false as "has_error!", approved_scopes
           from external_accounts
           where instance_id = $1 and user_id = $2 and provider = $3 and status = 'verified' and error is null"#,
        db.instance().as_str(),
        user.as_str(),
        provider,
    )
    .fetch_all(db)
    .await
}

/// The account of this user that `id` names: its own id, or that of the identification behind it. Locked for as long as
/// the caller's transaction lasts, before its tokens.
///
/// # Errors
/// Storage faults.
pub async fn own(db: &mut InstanceConnection<'_>, user: &UserId, id: &str) -> sqlx::Result<Option<OwnedAccount>> {
    sqlx::query_as!(
        OwnedAccount,
        r#"select id as "id: ExternalAccountId", provider as "provider: ProviderSlug",
               status as "status: ExternalAccountStatus",
               error is not null as "has_error!", approved_scopes
           from external_accounts where instance_id = $1 and user_id = $2 and (id = $3 or identification_id = $3)
           for update"#,
        db.instance().as_str(),
        user.as_str(),
        id,
    )
    .fetch_optional(db)
    .await
}

/// What would be left to a user without one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemainingSignInWays {
    /// Another way to sign in.
    pub has_way_in: bool,
    /// The account is the last of a provider that the instance demands.
    pub is_last_required: bool,
}

/// What would be left to `user` without `account`. `proves_addresses`: codes or links by mail are offered.
///
/// # Errors
/// Storage faults.
pub async fn remaining_without(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    account: &ExternalAccountId,
    proves_addresses: bool,
) -> sqlx::Result<RemainingSignInWays> {
    sqlx::query_as!(
        RemainingSignInWays,
        r#"select exists (select from user_passwords where instance_id = $1 and user_id = $2)
               or ($4 and exists (select from identifications i where i.instance_id = $1 and i.user_id = $2
                   and i.kind = 'email_address' and i.status = 'verified'))
               or exists (select from external_accounts e
                   join provider_configs p on p.instance_id = $1 and p.provider = e.provider
                       and p.enabled and p.authenticatable
                   where e.instance_id = $1 and e.user_id = $2 and e.id <> $3 and e.status = 'verified')
                   as "has_way_in!",
               exists (select from external_accounts e
                   join provider_configs p on p.instance_id = $1 and p.provider = e.provider
                       and p.enabled and p.is_required
                   where e.instance_id = $1 and e.id = $3 and e.status = 'verified'
                       and not exists (select from external_accounts o where o.instance_id = $1 and o.user_id = $2
                           and o.provider = e.provider and o.id <> $3 and o.status = 'verified'))
                   as "is_last_required!""#,
        db.instance().as_str(),
        user.as_str(),
        account.as_str(),
        proves_addresses,
    )
    .fetch_one(db)
    .await
}
