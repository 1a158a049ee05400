//! The newest tokens of an external account, sealed. `generation` grows with every stored answer, so that an older one
//! never replaces a newer one.

pub mod forget;
mod refresh;

pub use refresh::{AcquiredLease, Failed, LeaseEnd, NewTokens, StoredToken, fail, keep, miss, release_lease, take};

use sqlx::postgres::types::PgInterval;

use crate::crypto::SealedAt;
use crate::model::id::{ExternalAccountId, IdentificationId, InstanceId, UserId};
use crate::model::provider_token::{self as model, Lease, Refusal, Row, TokenLife};
use crate::model::time::Timestamp;
use crate::store::InstanceConnection;

/// Where a token of this account is sealed to: a value moved elsewhere does not open.
pub fn sealed_at<'a>(instance: &'a InstanceId, account: &'a ExternalAccountId, column: &'static str) -> SealedAt<'a> {
    SealedAt { table: "provider_tokens", column, row: account.as_str(), instance: instance.as_str() }
}

/// A provider's answer, sealed.
pub struct Stored<'a> {
    /// The access token.
    pub access_token: Option<&'a [u8]>,
    /// The refresh token.
    pub refresh_token: Option<&'a [u8]>,
    /// The ID token.
    pub id_token: Option<&'a [u8]>,
    /// As the provider spelled it.
    pub token_type: Option<&'a str>,
    /// Scopes granted.
    pub scopes: &'a [String],
    /// Seconds until the access token ends; `None` = never or unknown.
    pub expires_in: Option<i64>,
    /// What to do with the stored refresh token when the answer has none.
    pub missing_refresh_token: MissingRefreshToken,
}

/// What an answer without refresh token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingRefreshToken {
    /// The provider sends it only at first consent: the stored one is still good.
    Keep,
    /// The provider would have sent one: the stored one is gone.
    Drop,
}

/// What a callback mended.
#[derive(Clone, Debug)]
pub struct RecoveredTokens {
    /// The state until now.
    pub before: model::TokenState,
    /// Whose account it is.
    pub user: UserId,
}

/// Stores the tokens of a callback. Returns what it mended: `None` if the account had no tokens or was well.
///
/// # Errors
/// Storage faults.
pub async fn store(
    db: &mut InstanceConnection<'_>,
    account: &ExternalAccountId,
    new: &Stored<'_>,
) -> sqlx::Result<Option<RecoveredTokens>> {
    let row = sqlx::query!(
        r#"with before as (
               select state from provider_tokens where instance_id = $1 and external_account_id = $2)
           insert into provider_tokens as t (instance_id, external_account_id, access_token_sealed,
               refresh_token_sealed, id_token_sealed, token_type, scopes, expires_at, obtained_at, state_since_at,
               updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, now() + $9 + $8 * interval '1 s', now() + $9, now() + $9, now() + $9)
           on conflict (instance_id, external_account_id) do update set
               generation = t.generation + 1, access_token_sealed = excluded.access_token_sealed,
               refresh_token_sealed = coalesce(excluded.refresh_token_sealed,
                   case when $10 then t.refresh_token_sealed end),
               id_token_sealed = coalesce(excluded.id_token_sealed, t.id_token_sealed),
               token_type = excluded.token_type, scopes = excluded.scopes, expires_at = excluded.expires_at,
               obtained_at = excluded.obtained_at, state = 'ok', reason = null,
               state_since_at = case when t.state = 'ok' then t.state_since_at else excluded.state_since_at end,
               refresh_lease_owner = null, refresh_lease_until = null, updated_at = excluded.updated_at
           returning (select state from before) as "before: model::TokenState",
               (select user_id from external_accounts a where a.instance_id = $1 and a.id = $2) as "user: UserId""#,
        db.instance().as_str(),
        account.as_str(),
        new.access_token,
        new.refresh_token,
        new.id_token,
        new.token_type,
        new.scopes,
        new.expires_in.map(|seconds| f64::from(i32::try_from(seconds).unwrap_or(i32::MAX))),
        db.offset(),
        new.missing_refresh_token == MissingRefreshToken::Keep,
    )
    .fetch_one(db)
    .await?;
    let before = row.before.filter(|state| *state != model::TokenState::Good);
    Ok(before.zip(row.user).map(|(before, user)| RecoveredTokens { before, user }))
}

/// An account's tokens as a backend may have them, still sealed.
#[derive(Clone, Debug)]
pub struct SealedTokens {
    /// The account.
    pub external_account_id: ExternalAccountId,
    /// Slug.
    pub provider: String,
    /// The provider's id.
    pub provider_user_id: String,
    /// The account's metadata.
    pub public_metadata: serde_json::Value,
    /// The operator's label for the account.
    pub label: Option<String>,
    /// The account shows an error, which a good refresh clears.
    pub has_error: bool,
    /// Scopes granted.
    pub scopes: Vec<String>,
    /// The access token, sealed.
    pub access_token_sealed: Option<Vec<u8>>,
    /// The ID token, sealed.
    pub id_token_sealed: Option<Vec<u8>>,
    /// When the access token was stored.
    pub obtained_at: Option<Timestamp>,
    /// End of the access token.
    pub expires_at: Option<Timestamp>,
    /// Since when the stored state is what it is.
    pub state_since_at: Option<Timestamp>,
    /// What decisions are made of.
    pub row: Row,
}

/// What a user's accounts at one provider hold.
#[derive(Clone, Debug)]
pub struct UserTokens {
    /// The provider's configuration, if it is enabled in this instance: its version.
    pub enabled_version: Option<i64>,
    /// The verified accounts, newest connection first.
    pub accounts: Vec<SealedTokens>,
}

/// Which accounts to look at.
#[derive(Clone, Copy, Debug)]
pub struct AccountFilter<'a> {
    /// Their user.
    pub user: &'a UserId,
    /// Slug; `None` for all.
    pub provider: Option<&'a str>,
    /// Only this one.
    pub account: Option<&'a ExternalAccountId>,
}

/// What a user's accounts at one provider hold, in one statement; `None` if there is no such user. `leeway` before its
/// end a token counts as ending; `offset` is the instance's clock.
///
/// # Errors
/// Storage faults.
pub async fn read_tokens(
    db: &mut InstanceConnection<'_>,
    which: AccountFilter<'_>,
    leeway: PgInterval,
) -> sqlx::Result<Option<UserTokens>> {
    let rows = sqlx::query!(
        r#"select a.id as "id?: ExternalAccountId", a.provider as "provider?", a.provider_user_id,
               a.public_metadata as "public_metadata?", a.label,
               a.error is not null as "has_error!", coalesce(t.scopes, a.approved_scopes) as scopes,
               t.access_token_sealed, t.id_token_sealed, t.refresh_token_sealed is not null as "has_refresh_token!",
               t.generation as "generation?", t.obtained_at as "obtained_at?", t.expires_at, t.state as "state?: model::TokenState",
               t.reason as "reason: Refusal", t.state_since_at as "state_since_at?", t.last_refresh_at,
               coalesce(t.expires_at <= now() + $5 + $4, false) as "is_ending!",
               coalesce(t.expires_at <= now() + $5, false) as "is_over!", t.refresh_lease_owner is not null as "has_lease!",
               coalesce(t.refresh_lease_until > now(), false) as "is_leased!",
               case when p.enabled then p.version end as enabled_version
           from users u
           left join external_accounts a on a.instance_id = $1 and a.user_id = u.id and a.provider = coalesce($3, a.provider)
               and a.status = 'verified' and ($6::text is null or a.id = $6)
           left join provider_tokens t on t.instance_id = $1 and t.external_account_id = a.id
           left join provider_configs p on p.instance_id = $1 and p.provider = coalesce($3, a.provider)
           where u.instance_id = $1 and u.id = $2 order by a.created_at desc, a.id desc"#,
        db.instance().as_str(),
        which.user.as_str(),
        which.provider,
        leeway,
        db.offset(),
        which.account.map(ExternalAccountId::as_str),
    )
    .fetch_all(db)
    .await?;
    let Some(enabled_version) = rows.first().map(|row| row.enabled_version) else { return Ok(None) };
    let accounts = rows.into_iter().filter_map(|row| {
        Some(SealedTokens {
            external_account_id: row.id?,
            provider: row.provider.unwrap_or_default(),
            provider_user_id: row.provider_user_id.unwrap_or_default(),
            public_metadata: row.public_metadata.unwrap_or_default(),
            label: row.label,
            has_error: row.has_error,
            scopes: row.scopes.unwrap_or_default(),
            row: Row {
                generation: row.generation.unwrap_or_default(),
                has_access_token: row.access_token_sealed.is_some(),
                has_refresh_token: row.has_refresh_token,
                // The caller knows the providers.
                exchanges_long_lived: false,
                life: life(row.is_ending, row.is_over),
                state: row.state.unwrap_or(model::TokenState::Good),
                refusal: row.reason,
                last_refresh_at: row.last_refresh_at,
                lease: lease(row.has_lease, row.is_leased),
            },
            access_token_sealed: row.access_token_sealed,
            id_token_sealed: row.id_token_sealed,
            obtained_at: row.obtained_at,
            expires_at: row.expires_at,
            state_since_at: row.state_since_at,
        })
    });
    Ok(Some(UserTokens { enabled_version, accounts: accounts.collect() }))
}

fn life(is_ending: bool, is_over: bool) -> TokenLife {
    match (is_ending, is_over) {
        (_, true) => TokenLife::Over,
        (true, false) => TokenLife::Ending,
        (false, false) => TokenLife::Good,
    }
}

fn lease(has_owner: bool, is_running: bool) -> Lease {
    match (has_owner, is_running) {
        (_, true) => Lease::Held,
        (true, false) => Lease::Left,
        (false, false) => Lease::Free,
    }
}

/// An external account as somebody names it.
#[derive(Clone, Debug)]
pub struct AccountOwner {
    /// The account.
    pub id: ExternalAccountId,
    /// Its user.
    pub user: UserId,
    /// Slug.
    pub provider: String,
}

/// The verified account with this id or this identification's id.
///
/// # Errors
/// Storage faults.
pub async fn find_owner(
    db: &mut InstanceConnection<'_>,
    id: Option<&ExternalAccountId>,
    identification: Option<&IdentificationId>,
) -> sqlx::Result<Option<AccountOwner>> {
    sqlx::query_as!(
        AccountOwner,
        r#"select id as "id: ExternalAccountId", user_id as "user: UserId", provider from external_accounts
           where instance_id = $1 and (id = $2 or identification_id = $3) and status = 'verified'"#,
        db.instance().as_str(),
        id.map(ExternalAccountId::as_str),
        identification.map(IdentificationId::as_str),
    )
    .fetch_optional(db)
    .await
}
