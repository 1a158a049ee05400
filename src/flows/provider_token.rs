//! The promise to backends: the provider's token, as it was received. Refreshing an expired one comes with the token
//! vault; until then an expired token is an honest refusal, never a dead token.

use crate::context::Ctx;
use crate::crypto::Secret;
use crate::model::id::{ExternalAccountId, UserId};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::time::Timestamp;
use crate::store::provider_tokens::{self, Held};
use sqlx::postgres::types::PgInterval;

/// How long before its end a token counts as stale.
const LEEWAY: PgInterval = PgInterval { months: 0, days: 0, microseconds: 60_000_000 };

/// A token that a backend may use.
pub struct Usable {
    /// The account.
    pub external_account_id: ExternalAccountId,
    /// The provider's id.
    pub provider_user_id: String,
    /// Slug.
    pub provider: String,
    /// The access token.
    pub token: Secret,
    /// The newest ID token, if the provider gives such.
    pub id_token: Option<Secret>,
    /// End of the access token; `None` = never or unknown.
    pub expires_at: Option<Timestamp>,
    /// The account's metadata.
    pub public_metadata: serde_json::Value,
    /// The operator's word for the account.
    pub label: Option<String>,
    /// Scopes granted, sorted.
    pub scopes: Vec<String>,
}

/// The usable tokens of `user` at `provider` (with or without `oauth_`), newest connection first. Empty if the user has
/// no account there.
///
/// # Errors
/// `oauth_unsupported_provider`, `oauth_token_provider_not_enabled`, `resource_not_found`; if no account's token is
/// usable, the newest one's refusal.
pub async fn get(ctx: &Ctx, user: &UserId, provider: &str) -> Result<Vec<Usable>> {
    let named = ctx.app.catalogue.by_name(provider).ok_or(code::OAUTH_UNSUPPORTED_PROVIDER)?;
    let slug = named.slug();
    let (instance, db) = (ctx.instance_id(), &ctx.app.db);
    let held = provider_tokens::held(db, instance, user, slug, LEEWAY, ctx.offset()).await?;
    let Some(held) = held else { return Err(code::RESOURCE_NOT_FOUND.into()) };
    if !held.is_enabled {
        return Err(code::OAUTH_TOKEN_PROVIDER_NOT_ENABLED.into());
    }
    let mut refusal = None;
    let mut usable = Vec::with_capacity(held.accounts.len());
    for account in held.accounts {
        match open(ctx, slug, account)? {
            Ok(token) => usable.push(token),
            Err(refused) => refusal = refusal.or(Some(refused)),
        }
    }
    match refusal {
        Some(refused) if usable.is_empty() => Err(refused.into()),
        _ => Ok(usable),
    }
}

/// Opens an account's token, or says why there is none to use.
fn open(ctx: &Ctx, provider: &str, held: Held) -> Result<Result<Usable, Problem>> {
    let Some(sealed) = &held.access_token_sealed else { return Ok(Err(code::OAUTH_MISSING_ACCESS_TOKEN.into())) };
    if held.is_expired {
        let code =
            if held.has_refresh_token { code::OAUTH_TOKEN_RETRIEVAL_ERROR } else { code::OAUTH_MISSING_REFRESH_TOKEN };
        return Ok(Err(code.into()));
    }
    let open = |column, sealed: &[u8]| {
        let at = provider_tokens::sealed_at(ctx.instance_id(), &held.external_account_id, column);
        ctx.app.ring.open_text(&at, sealed).map_err(Error::internal)
    };
    let token = open("access_token_sealed", sealed)?;
    let id_token = held.id_token_sealed.as_ref().map(|sealed| open("id_token_sealed", sealed)).transpose()?;
    let mut scopes = held.scopes;
    scopes.sort();
    Ok(Ok(Usable {
        external_account_id: held.external_account_id,
        provider_user_id: held.provider_user_id,
        provider: provider.to_owned(),
        token,
        id_token,
        expires_at: held.expires_at,
        public_metadata: held.public_metadata,
        label: held.label,
        scopes,
    }))
}
