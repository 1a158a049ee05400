//! A refresh of a provider token: its lease is taken, its answer stored, its failure noted. Leases belong to processes,
//! so they count in real time; what people see counts on the instance's clock. Each statement says whether it happened.

use sqlx::postgres::types::PgInterval;

use crate::model::id::ExternalAccountId;
use crate::model::provider_token::{self as model, Refusal, Row, Verdict};
use crate::model::time::Timestamp;
use crate::store::InstanceConnection;
use crate::store::channel::Channel;

/// A lease that was taken.
#[derive(Clone, Debug)]
pub struct AcquiredLease {
    /// The refresh token to use, sealed.
    pub refresh_token_sealed: Option<Vec<u8>>,
    /// An earlier refresh with it was never answered.
    pub was_unanswered: bool,
}

/// Takes the lease of an account whose row was `seen`, for `life`, as `owner`. `None` if somebody has it, or had it
/// since then: newer tokens are stored, or a failure that is ours, too.
///
/// # Errors
/// Storage faults.
pub async fn take(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    seen: &Row,
    owner: &str,
    life: PgInterval,
) -> sqlx::Result<Option<AcquiredLease>> {
    sqlx::query_as!(
        AcquiredLease,
        r#"with before as (
               select refresh_lease_owner from provider_tokens
               where instance_id = $1 and external_account_id = $2 and generation = $3
                   and last_refresh_at is not distinct from $6 and (refresh_lease_until is null or refresh_lease_until <= now())
               for update)
           update provider_tokens t set refresh_lease_owner = $4, refresh_lease_until = now() + $5
           from before where t.instance_id = $1 and t.external_account_id = $2
           returning t.refresh_token_sealed, before.refresh_lease_owner is not null as "was_unanswered!""#,
        db.instance().as_str(),
        account.as_str(),
        seen.generation,
        owner,
        life,
        seen.last_refresh_at,
    )
    .fetch_optional(db)
    .await
}

/// A provider's answer to a refresh, sealed. What it does not name stays.
#[derive(Clone, Copy, Debug)]
pub struct NewTokens<'a> {
    /// The access token.
    pub access_token: &'a [u8],
    /// The refresh token, if there is a new one.
    pub refresh_token: Option<&'a [u8]>,
    /// The ID token, if there is a new one.
    pub id_token: Option<&'a [u8]>,
    /// As the provider spelled it.
    pub token_type: Option<&'a str>,
    /// Scopes granted, if the answer names them.
    pub scopes: Option<&'a [String]>,
    /// Seconds from now until the access token ends; `None` = never or unknown.
    pub expires_in: Option<f64>,
}

/// What was stored.
#[derive(Clone, Debug)]
pub struct StoredToken {
    /// The state until now.
    pub before: model::TokenState,
    /// The generation from now on.
    pub generation: i64,
    /// The ID token that is stored now, sealed.
    pub id_token_sealed: Option<Vec<u8>>,
    /// The scopes that are stored now.
    pub scopes: Vec<String>,
    /// End of the access token.
    pub expires_at: Option<Timestamp>,
    /// When it was stored, on the instance's clock.
    pub obtained_at: Timestamp,
}

/// Keeps an answer, if the stored tokens are still those of `generation`: whoever holds the lease by now, an older
/// answer never replaces a newer one. Clears the account's error, ends the lease and tells those who wait. `None` if
/// newer tokens are stored, or the account is gone. The account is locked before its tokens, as by a callback that
/// brings new ones: neither is ended for the other's sake, and an answer that the provider gives once is not lost.
///
/// # Errors
/// Storage faults.
pub async fn keep(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    generation: i64,
    new: NewTokens<'_>,
) -> sqlx::Result<Option<StoredToken>> {
    let row = sqlx::query!(
        r#"with account_first as materialized (
               select id from external_accounts where instance_id = $1 and id = $2 for no key update),
           before as (
               select t.state from account_first f
               join provider_tokens t on t.instance_id = $1 and t.external_account_id = f.id
               where t.generation = $3 for update of t),
           stored as (
               update provider_tokens t set generation = t.generation + 1, access_token_sealed = $4,
                   refresh_token_sealed = coalesce($5, t.refresh_token_sealed),
                   id_token_sealed = coalesce($6, t.id_token_sealed), token_type = coalesce($7, t.token_type),
                   scopes = coalesce($8, t.scopes), expires_at = now() + $10 + $9 * interval '1 s',
                   obtained_at = now() + $10, state = 'ok', reason = null,
                   state_since_at = case when t.state = 'ok' then t.state_since_at else now() + $10 end,
                   last_refresh_at = now() + $10, refresh_lease_owner = null, refresh_lease_until = null,
                   updated_at = now() + $10
               from before where t.instance_id = $1 and t.external_account_id = $2
               returning before.state as before, t.generation, t.id_token_sealed, t.scopes, t.expires_at, t.obtained_at),
           account as (
               update external_accounts a set error = null, approved_scopes = coalesce($8, a.approved_scopes),
                   updated_at = now() + $10
               from stored where a.instance_id = $1 and a.id = $2
                   and (a.error is not null or a.approved_scopes <> coalesce($8, a.approved_scopes)))
           select before as "before: model::TokenState", generation, id_token_sealed, scopes, expires_at, obtained_at,
               pg_notify($11, $2) as "notified!: ()" from stored"#,
        db.instance().as_str(),
        account.as_str(),
        generation,
        new.access_token,
        new.refresh_token,
        new.id_token,
        new.token_type,
        new.scopes,
        new.expires_in,
        db.offset(),
        Channel::ProviderToken.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| StoredToken {
        before: row.before,
        generation: row.generation,
        id_token_sealed: row.id_token_sealed,
        scopes: row.scopes,
        expires_at: row.expires_at,
        obtained_at: row.obtained_at,
    }))
}

/// A failed refresh.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// The generation of the tokens it was about.
    pub generation: i64,
    /// Who held the lease.
    pub owner: &'a str,
    /// What to leave behind.
    pub verdict: &'a Verdict,
    /// What the account shows from now on; `None` leaves it.
    pub error: Option<&'a serde_json::Value>,
}

/// Notes a failed refresh, ends the lease and tells those who wait. Returns the state until now; `None` if the lease
/// went to somebody else or newer tokens are stored.
///
/// # Errors
/// Storage faults.
pub async fn fail(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    failed: &Failed<'_>,
) -> sqlx::Result<Option<model::TokenState>> {
    let verdict = failed.verdict;
    let row = sqlx::query!(
        r#"with account_first as materialized (
               select id from external_accounts where instance_id = $1 and id = $2 for no key update),
           before as (
               select t.state from account_first f
               join provider_tokens t on t.instance_id = $1 and t.external_account_id = f.id
               where t.generation = $3 and t.refresh_lease_owner = $4 for update of t),
           noted as (
               update provider_tokens t set state = $5, reason = $6,
                   state_since_at = case when t.state = $5 then t.state_since_at else now() + $10 end,
                   last_refresh_at = now() + $10,
                   refresh_token_sealed = case when $7 then null else t.refresh_token_sealed end,
                   refresh_lease_owner = case when $8 then t.refresh_lease_owner end,
                   refresh_lease_until = case when $8 then now() end, updated_at = now() + $10
               from before where t.instance_id = $1 and t.external_account_id = $2
               returning before.state as before),
           account as (
               update external_accounts a set error = $9, updated_at = now() + $10
               from noted where a.instance_id = $1 and a.id = $2 and a.error is distinct from $9 and $9 is not null)
           select noted.before as "before: model::TokenState", pg_notify($11, $2) as "notified!: ()" from noted"#,
        db.instance().as_str(),
        account.as_str(),
        failed.generation,
        failed.owner,
        verdict.state as model::TokenState,
        verdict.refusal.to_string(),
        verdict.drops_refresh_token,
        verdict.is_unanswered,
        failed.error,
        db.offset(),
        Channel::ProviderToken.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.before))
}

/// What a lease that ends without an outcome leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    /// The provider was never asked.
    Nothing,
    /// It was asked, now or earlier, and its answer is not known.
    Unanswered,
}

/// Ends a lease whose holder will not store an answer any more, so that the next one need not wait.
///
/// # Errors
/// Storage faults.
pub async fn release_lease(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    owner: &str,
    left: LeaseEnd,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with left_behind as (
               update provider_tokens set refresh_lease_owner = case when $5 then refresh_lease_owner end,
                   refresh_lease_until = case when $5 then now() end
               where instance_id = $1 and external_account_id = $2 and refresh_lease_owner = $3
                   and refresh_lease_until > now()
               returning 1)
           select pg_notify($4, $2) as "notified!: ()" from left_behind"#,
        db.instance().as_str(),
        account.as_str(),
        owner,
        Channel::ProviderToken.as_str(),
        left == LeaseEnd::Unanswered,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Notes that an account has no token to give and none to refresh with, and shows `error` on it. Returns whether that
/// was news.
///
/// # Errors
/// Storage faults.
pub async fn miss(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    generation: i64,
    why: (&Refusal, &serde_json::Value),
) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        r#"with account_first as materialized (
               select id from external_accounts where instance_id = $1 and id = $2 for no key update),
           noted as (
               update provider_tokens t set state = 'needs_reconnect', reason = $4, state_since_at = now() + $6,
                   updated_at = now() + $6
               from account_first f
               where t.instance_id = $1 and t.external_account_id = f.id and t.generation = $3
                   and t.state <> 'needs_reconnect'
                   and (t.refresh_token_sealed is null or t.access_token_sealed is null)
                   and (t.refresh_lease_until is null or t.refresh_lease_until <= now())
               returning 1),
           account as (
               update external_accounts a set error = $5, updated_at = now() + $6
               from account_first f
               where a.instance_id = $1 and a.id = f.id and a.error is null
                   and not exists (select from provider_tokens t where t.instance_id = $1 and t.external_account_id = $2
                       and t.generation > $3)
               returning 1)
           select exists (select from noted) or exists (select from account) as "is_news!""#,
        db.instance().as_str(),
        account.as_str(),
        generation,
        why.0.to_string(),
        why.1,
        db.offset(),
    )
    .fetch_one(db)
    .await?;
    Ok(row.is_news)
}
