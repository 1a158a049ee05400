//! How an account's token is doing, in the terms that API, page, command line and events share.

use super::open;
use crate::context::Ctx;
use crate::crypto::Secret;
use crate::model::id::{ExternalAccountId, IdentificationId, UserId};
use crate::model::problem::{Result, code};
use crate::model::provider_token::{Health, Refusal, TokenState, health};
use crate::model::time::Timestamp;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::provider_tokens::{self, AccountFilter, AccountOwner, SealedTokens};

/// A token's state. Never the token.
#[derive(Clone, Debug)]
pub struct Checkup {
    /// The account.
    pub external_account_id: ExternalAccountId,
    /// Slug.
    pub provider: String,
    /// How usable the token is.
    pub state: Health,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// Why it is not fresh, where there is more to say than that its time is over.
    pub reason: Option<Refusal>,
    /// End of the access token; `None` = never or unknown.
    pub expires_at: Option<Timestamp>,
    /// When it was refreshed last, well or badly.
    pub last_refresh_at: Option<Timestamp>,
}

/// The state of the token of `account` (its id or its identification's), which is `user`'s if that is said.
///
/// # Errors
/// `resource_not_found`, storage faults.
pub async fn checkup(ctx: &Ctx, user: Option<&UserId>, account: &str) -> Result<Checkup> {
    let named = find(ctx, user, account).await?;
    Ok(Checkup::of(&read_account(ctx, &named).await?))
}

/// The states of the tokens of all of a user's accounts, in one statement; empty for nobody.
///
/// # Errors
/// Storage faults.
pub async fn checkups(ctx: &Ctx, user: &UserId) -> Result<Vec<Checkup>> {
    let which = AccountFilter { user, provider: None, account: None };
    let held = super::read_tokens(ctx, which).await?;
    Ok(held.map(|held| held.accounts.iter().map(Checkup::of).collect()).unwrap_or_default())
}

impl Checkup {
    fn of(held: &SealedTokens) -> Self {
        let (state, reason) = health(&held.row);
        let since = match state {
            Health::Fresh => held.obtained_at,
            Health::Stale => held.expires_at,
            Health::Refused => held.state_since_at,
            Health::NeedsReconnect if held.row.state == TokenState::NeedsReconnect => held.state_since_at,
            Health::NeedsReconnect => held.expires_at,
        };
        Self {
            external_account_id: held.external_account_id.clone(),
            provider: held.provider.clone(),
            state,
            since,
            reason,
            expires_at: held.expires_at,
            last_refresh_at: held.row.last_refresh_at,
        }
    }
}

/// The stored token as it is, for an operator; audited before it is shown.
///
/// # Errors
/// `resource_not_found`, `oauth_missing_access_token`, storage faults.
pub async fn reveal(ctx: &Ctx, account: &str, actor: Actor) -> Result<Secret> {
    let named = find(ctx, None, account).await?;
    let held = read_account(ctx, &named).await?;
    if !held.row.has_access_token {
        return Err(code::OAUTH_MISSING_ACCESS_TOKEN.into());
    }
    let token = open(ctx, &named.provider, &held)?.token;
    let mut entry = AuditEvent::new(ctx.instance_id().as_str(), "provider_token.revealed", actor, ctx.app.clock.now());
    entry.user = Some(&named.user);
    entry.target = Some(("external_account", named.id.as_str()));
    audit::append(&mut ctx.db(), ctx.rng(), entry).await?;
    Ok(token)
}

/// The account that `text` names.
pub(super) async fn find(ctx: &Ctx, user: Option<&UserId>, text: &str) -> Result<AccountOwner> {
    let (id, identification) = (ExternalAccountId::parse(text), IdentificationId::parse(text));
    let named = provider_tokens::find_owner(&mut ctx.db(), id.as_ref(), identification.as_ref()).await?;
    let named = named.filter(|named| user.is_none_or(|user| *user == named.user));
    Ok(named.ok_or(code::RESOURCE_NOT_FOUND)?)
}

async fn read_account(ctx: &Ctx, named: &AccountOwner) -> Result<SealedTokens> {
    let which = AccountFilter { user: &named.user, provider: Some(&named.provider), account: Some(&named.id) };
    let held = super::read_tokens(ctx, which).await?;
    Ok(held.and_then(|held| held.accounts.into_iter().next()).ok_or(code::RESOURCE_NOT_FOUND)?)
}
