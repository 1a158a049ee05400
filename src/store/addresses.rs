//! Whose an address is: verified by one user at most, claimed by any number; and what goes when an unverified claim
//! turns out to be somebody else's.

use super::InstanceConnection;

use super::bans;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::sign_in::Reassignment;
use crate::model::strategy::AddressStrategy;

/// Makes an e-mail address its user's: verified now, by `strategy`. False if it is gone, or another user has verified
/// it or has it reserved.
///
/// # Errors
/// Storage faults; a violation of `identifications_claimed_key` when somebody else was first just now.
pub async fn verify(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    address: &IdentificationId,
    strategy: &AddressStrategy,
) -> sqlx::Result<bool> {
    let verified = sqlx::query!(
        r#"update identifications i set status = 'verified', verified_at = now() + $5, verification_strategy = $4,
               updated_at = now() + $5
           where i.instance_id = $1 and i.user_id = $2 and i.id = $3 and i.status <> 'verified'
               and not exists (select from identifications o where o.instance_id = $1 and o.kind = i.kind
                   and o.value_key = i.value_key and o.status in ('verified', 'reserved') and o.user_id <> $2)"#,
        db.instance().as_str(),
        user.as_str(),
        address.as_str(),
        strategy as &AddressStrategy,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(verified.rows_affected() == 1)
}

/// Takes an e-mail address that `owner` has verified away from everybody who only claims it. Returns who lost it; one
/// of their other addresses becomes the primary one.
///
/// # Errors
/// Storage faults.
pub async fn drop_claims(db: &mut InstanceConnection<'_>, owner: &UserId, address: &str) -> sqlx::Result<Vec<UserId>> {
    let losers: Vec<UserId> = sqlx::query_scalar!(
        r#"with claim as (
               select id, user_id from identifications
               where instance_id = $1 and kind = 'email_address' and value_key = $3 and status = 'unverified'
                   and user_id <> $2
           ),
           unlinked as (
               update external_accounts set email_identification_id = null, updated_at = now() + $4
               where instance_id = $1 and email_identification_id in (select id from claim)
           )
           delete from identifications i using claim where i.instance_id = $1 and i.id = claim.id
           returning i.user_id as "user_id: UserId""#,
        db.instance().as_str(),
        owner.as_str(),
        address,
        db.offset(),
    )
    .fetch_all(&mut *db)
    .await?;
    for loser in &losers {
        choose_primary(&mut *db, loser).await?;
    }
    Ok(losers)
}

/// Makes a user's best remaining e-mail address the primary one, if none is.
async fn choose_primary(db: &mut InstanceConnection<'_>, user: &UserId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update identifications set is_primary = true, updated_at = now() + $3
           where instance_id = $1 and id = (
               select id from identifications o
               where o.instance_id = $1 and o.user_id = $2 and o.kind = 'email_address'
                   and not exists (select from identifications p where p.instance_id = $1 and p.user_id = $2
                       and p.kind = 'email_address' and p.is_primary)
               order by o.status = 'unverified', o.created_at limit 1)"#,
        db.instance().as_str(),
        user.as_str(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What stays with the person who takes an account over.
pub struct RetainedAddress<'a> {
    /// The address that was verified.
    pub address: &'a IdentificationId,
    /// The browser that verified it: strangers' failures may have locked everybody else out.
    pub client: &'a ClientId,
}

/// Removes what an earlier claimant left in an account, their other unverified addresses always. The
/// caller holds the user's lock.
///
/// # Errors
/// Storage faults.
pub async fn reassign_address(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    retained: &RetainedAddress<'_>,
    goes: Reassignment,
) -> sqlx::Result<()> {
    if goes.sessions || goes.grants {
        bans::end_access(&mut *db, user, "taken_over", Some(retained.client)).await?;
    }
    if goes.accounts {
        let (instance, user) = (db.instance().as_str(), user.as_str());
        sqlx::query!("delete from external_accounts where instance_id = $1 and user_id = $2", instance, user)
            .execute(&mut *db)
            .await?;
    }
    drop_other_claims(&mut *db, user, retained.address).await?;
    if goes.password {
        let (instance, user) = (db.instance().as_str(), user.as_str());
        sqlx::query!("delete from user_passwords where instance_id = $1 and user_id = $2", instance, user)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Drops a user's other addresses that nobody has verified; the stored one becomes the primary one of its kind.
async fn drop_other_claims(
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    retained: &IdentificationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with claim as (
               select id from identifications
               where instance_id = $1 and user_id = $2 and id <> $3 and status = 'unverified'
           ),
           unlinked as (
               update external_accounts set email_identification_id = null, updated_at = now() + $4
               where instance_id = $1 and email_identification_id in (select id from claim)
           )
           delete from identifications i using claim where i.instance_id = $1 and i.id = claim.id"#,
        db.instance().as_str(),
        user.as_str(),
        retained.as_str(),
        db.offset(),
    )
    .execute(&mut *db)
    .await?;
    choose_primary(db, user).await
}
