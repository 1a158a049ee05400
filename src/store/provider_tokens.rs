//! The newest tokens of an external account, sealed. `generation` grows with every stored answer, so that an older one
//! never replaces a newer one.

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;

use crate::crypto::SealedAt;
use crate::model::id::{ExternalAccountId, InstanceId, UserId};
use crate::model::time::Timestamp;

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

/// Stores the tokens of a callback.
///
/// # Errors
/// Storage faults.
pub async fn store(
    db: &mut PgConnection,
    instance: &InstanceId,
    account: &ExternalAccountId,
    new: &Stored<'_>,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into provider_tokens as t (instance_id, external_account_id, access_token_sealed,
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
               refresh_lease_owner = null, refresh_lease_until = null, updated_at = excluded.updated_at"#,
        instance.as_str(),
        account.as_str(),
        new.access_token,
        new.refresh_token,
        new.id_token,
        new.token_type,
        new.scopes,
        new.expires_in.map(|seconds| f64::from(i32::try_from(seconds).unwrap_or(i32::MAX))),
        offset,
        new.missing_refresh_token == MissingRefreshToken::Keep,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An account's tokens as a backend may have them, still sealed.
#[derive(Clone, Debug)]
pub struct Held {
    /// The account.
    pub external_account_id: ExternalAccountId,
    /// The provider's id.
    pub provider_user_id: String,
    /// The account's metadata.
    pub public_metadata: serde_json::Value,
    /// The operator's word for the account.
    pub label: Option<String>,
    /// Scopes granted.
    pub scopes: Vec<String>,
    /// The access token, sealed.
    pub access_token_sealed: Option<Vec<u8>>,
    /// The ID token, sealed.
    pub id_token_sealed: Option<Vec<u8>>,
    /// A refresh token is stored.
    pub has_refresh_token: bool,
    /// End of the access token.
    pub expires_at: Option<Timestamp>,
    /// It ends within the leeway, or has ended.
    pub is_stale: bool,
    /// It has ended.
    pub is_expired: bool,
}

/// What a user's accounts at one provider hold.
#[derive(Clone, Debug)]
pub struct HeldAccounts {
    /// The provider is enabled in this instance.
    pub is_enabled: bool,
    /// The verified accounts, newest connection first.
    pub accounts: Vec<Held>,
}

/// What a user's accounts at one provider hold, in one statement; `None` if there is no such user.
///
/// # Errors
/// Storage faults.
pub async fn held(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    user: &UserId,
    provider: &str,
    leeway: PgInterval,
    offset: PgInterval,
) -> sqlx::Result<Option<HeldAccounts>> {
    let rows = sqlx::query!(
        r#"select a.id as "id?: ExternalAccountId", a.provider_user_id, a.public_metadata as "public_metadata?",
               a.label, t.scopes as "scopes?", a.approved_scopes as "approved_scopes?", t.access_token_sealed, t.id_token_sealed,
               t.refresh_token_sealed is not null as "has_refresh_token!", t.expires_at,
               coalesce(t.expires_at <= now() + $5 + $4, false) as "is_stale!",
               coalesce(t.expires_at <= now() + $5, false) as "is_expired!", coalesce(p.enabled, false) as "is_enabled!"
           from users u
           left join external_accounts a on a.instance_id = $1 and a.user_id = u.id and a.provider = $3
               and a.status = 'verified'
           left join provider_tokens t on t.instance_id = $1 and t.external_account_id = a.id
           left join provider_configs p on p.instance_id = $1 and p.provider = $3
           where u.instance_id = $1 and u.id = $2
           order by a.created_at desc, a.id desc"#,
        instance.as_str(),
        user.as_str(),
        provider,
        leeway,
        offset,
    )
    .fetch_all(db)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let is_enabled = first.is_enabled;
    let accounts = rows.into_iter().filter_map(|row| {
        Some(Held {
            external_account_id: row.id?,
            provider_user_id: row.provider_user_id.unwrap_or_default(),
            public_metadata: row.public_metadata.unwrap_or_default(),
            label: row.label,
            scopes: row.scopes.or(row.approved_scopes).unwrap_or_default(),
            access_token_sealed: row.access_token_sealed,
            id_token_sealed: row.id_token_sealed,
            has_refresh_token: row.has_refresh_token,
            expires_at: row.expires_at,
            is_stale: row.is_stale,
            is_expired: row.is_expired,
        })
    });
    Ok(Some(HeldAccounts { is_enabled, accounts: accounts.collect() }))
}
