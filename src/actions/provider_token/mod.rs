//! The promise to backends: the provider's token, fresh whenever it is asked for, and never refreshed otherwise.
//!
//! A valid token costs one read. An expired one is refreshed by one caller for all, over all replicas: [`lease`] is how
//! they agree, [`refresh`] asks the provider and stores the answer, [`token_health`] says how an account is doing, and
//! what to do is decided by [`model::provider_token`](crate::model::provider_token). Nobody waits with a connection in
//! hand, and a refresh goes on when its caller has gone away: a token that the provider replaced must be stored.

mod lease;
mod record_access;
mod refresh;
mod shared_refresh;
mod token_health;

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::postgres::types::PgInterval;
use tokio::time::Instant;

pub use lease::release_all;
pub use record_access::{TokenChange, changed, write_token_accesses};
use shared_refresh::Refreshed;
pub use token_health::{Checkup, checkup, checkups, reveal};

use crate::app::token_access_log::TokenAccess;
use crate::context::Ctx;
use crate::crypto::Secret;
use crate::model::id::{ExternalAccountId, UserId};
use crate::model::problem::{Error, Result, code};
use crate::model::provider_token::{ArrivalState, Refusal, Step, TokenDemand, TokenLife, decide};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::store::audit::Actor;
use crate::store::interval;
use crate::store::provider_tokens::{self, AccountFilter, SealedTokens, UserTokens};

/// How long a call may take in all.
const CALL: Duration = Duration::from_secs(25);
/// How many accounts of one call are refreshed at a time.
const AT_A_TIME: usize = 4;

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
    /// The operator's label for the account.
    pub label: Option<String>,
    /// Scopes granted, sorted.
    pub scopes: Vec<String>,
}

/// Which of a user's accounts at a provider to look at, newest connection first.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// At most so many.
    pub limit: usize,
    /// After so many.
    pub offset: usize,
}

/// The usable tokens of a part of a user's accounts.
pub struct UsableTokens {
    /// Of the part.
    pub tokens: Vec<Usable>,
    /// Of all accounts, as far as is known: only those of the part were tried.
    pub total: usize,
}

/// What one account of a call came to.
enum AccountOutcome {
    /// A token that the backend may use.
    Usable(Box<Usable>),
    /// There is none, for this reason.
    Refused(Refusal),
}

/// What was found of an account's tokens, still sealed.
enum Resolved {
    /// The newest that are to be had.
    Newest(SealedTokens),
    /// There is nothing newer.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The stored tokens, if they still live.
        living: Option<SealedTokens>,
    },
}

/// What is asked for.
struct Call<'a> {
    ctx: &'a Ctx,
    user: &'a UserId,
    provider: &'a str,
    /// The provider's configuration.
    version: i64,
    asked: TokenDemand,
    deadline: Instant,
}

/// The usable tokens of `user` at `provider` (with or without `oauth_`), for `actor`. Empty if the user has no account
/// there. Accounts without a usable token are left out as long as there is another.
///
/// # Errors
/// `oauth_unsupported_provider`, `oauth_token_provider_not_enabled`, `resource_not_found`; if no account of the part
/// has a usable token, the newest one's refusal.
pub async fn get(ctx: &Ctx, user: &UserId, provider: &str, part: Part, actor: Actor) -> Result<UsableTokens> {
    let named = ctx.app.catalogue.by_name(provider).ok_or(code::OAUTH_UNSUPPORTED_PROVIDER)?;
    let provider = named.slug();
    let which = AccountFilter { user, provider: Some(provider), account: None };
    let held = read_tokens(ctx, which).await?;
    let held = held.ok_or(code::RESOURCE_NOT_FOUND)?;
    let version = held.enabled_version.ok_or(code::OAUTH_TOKEN_PROVIDER_NOT_ENABLED)?;
    let all = held.accounts.len();
    let deadline = Instant::now() + CALL;
    let call = Call { ctx, user, provider, version, asked: TokenDemand::Usable, deadline };
    let asked: Vec<_> = held
        .accounts
        .into_iter()
        .skip(part.offset)
        .take(part.limit)
        .map(|account| call.token(account, &actor))
        .collect();
    let (mut tokens, mut refusal, mut failed) = (Vec::with_capacity(asked.len()), None, 0);
    let mut outcomes = futures_util::stream::iter(asked).buffered(AT_A_TIME);
    while let Some(outcome) = outcomes.next().await {
        match outcome? {
            AccountOutcome::Usable(token) => tokens.push(*token),
            AccountOutcome::Refused(refused) => {
                failed += 1;
                refusal = refusal.or(Some(refused));
            }
        }
    }
    match refusal {
        Some(refused) if tokens.is_empty() => Err(refused.problem().into()),
        _ => Ok(UsableTokens { tokens, total: all - failed }),
    }
}

/// Refreshes an account's token now, whatever is left of the stored one.
///
/// # Errors
/// `resource_not_found`, `oauth_token_provider_not_enabled`; why there is no newer token.
pub async fn refresh(ctx: &Ctx, account: &str) -> Result<()> {
    let named = token_health::find(ctx, None, account).await?;
    let which = AccountFilter { user: &named.user, provider: Some(&named.provider), account: Some(&named.id) };
    let held = read_tokens(ctx, which).await?;
    let held = held.ok_or(code::RESOURCE_NOT_FOUND)?;
    let version = held.enabled_version.ok_or(code::OAUTH_TOKEN_PROVIDER_NOT_ENABLED)?;
    let account = held.accounts.into_iter().next().ok_or(code::RESOURCE_NOT_FOUND)?;
    let (user, provider, deadline) = (&named.user, named.provider.as_str(), Instant::now() + CALL);
    let call = Call { ctx, user, provider, version, asked: TokenDemand::Newer, deadline };
    match call.resolve(account).await? {
        Resolved::Newest(_) => Ok(()),
        Resolved::Refused { refusal, .. } => Err(refusal.problem().into()),
    }
}

/// What a user's accounts hold, with what their providers are known for.
async fn read_tokens(ctx: &Ctx, which: AccountFilter<'_>) -> Result<Option<UserTokens>> {
    let mut held = provider_tokens::read_tokens(&mut ctx.db(), which, leeway(ctx)).await?;
    for account in held.iter_mut().flat_map(|held| &mut held.accounts) {
        let known = ctx.app.catalogue.get(&account.provider);
        account.row.exchanges_long_lived = known.is_some_and(|known| known.refresh.exchange.is_some());
    }
    Ok(held)
}

/// How long before its end a token is refreshed.
fn leeway(ctx: &Ctx) -> PgInterval {
    interval::seconds(i64::from(ctx.instance.settings.provider_tokens.leeway))
}

impl Call<'_> {
    /// An account's token to use now, or why there is none.
    async fn token(&self, account: SealedTokens, actor: &Actor) -> Result<AccountOutcome> {
        let id = account.external_account_id.clone();
        let outcome = match self.resolve(account).await? {
            // Inside the leeway the old token is as good as before.
            Resolved::Newest(held) | Resolved::Refused { living: Some(held), .. } => {
                AccountOutcome::Usable(Box::new(open(self.ctx, self.provider, &held)?))
            }
            Resolved::Refused { refusal, living: None } => AccountOutcome::Refused(refusal),
        };
        let refusal = match &outcome {
            AccountOutcome::Usable(_) => None,
            AccountOutcome::Refused(refusal) => Some(refusal.to_string()),
        };
        self.ctx.app.token_access_log.note(TokenAccess {
            instance: self.ctx.instance_id().clone(),
            user: self.user.clone(),
            account: id,
            actor: actor.clone(),
            refusal,
            from: self.ctx.from.clone(),
            at: self.ctx.app.clock.now(),
        });
        Ok(outcome)
    }

    /// Finds the newest token that is to be had.
    async fn resolve(&self, account: SealedTokens) -> Result<Resolved> {
        let refusal = match decide(&account.row, &ArrivalState::at(&account.row), self.asked) {
            Step::HandOut => return Ok(Resolved::Newest(account)),
            Step::Refuse(refusal) => {
                record_access::missing(self, &account, &refusal).await?;
                refusal
            }
            Step::Take | Step::Wait => match self.join_or_lead(&account).await? {
                Refreshed::Token(held) => return Ok(Resolved::Newest(*held)),
                Refreshed::Refused(refusal) => refusal,
            },
        };
        let lives = account.row.has_access_token
            && account.row.life != TokenLife::Over
            && account.expires_at.is_none_or(|end| end > self.ctx.moment());
        Ok(Resolved::Refused { refusal, living: lives.then_some(account) })
    }
}

/// Opens an account's tokens.
fn open(ctx: &Ctx, provider: &str, held: &SealedTokens) -> Result<Usable> {
    let open = |column, sealed: &[u8]| {
        let at = provider_tokens::sealed_at(ctx.instance_id(), &held.external_account_id, column);
        ctx.app.ring.open_text(&at, sealed).map_err(Error::internal)
    };
    let sealed = held.access_token_sealed.as_ref().ok_or_else(|| Error::internal("a usable token without a token"))?;
    let mut scopes = held.scopes.clone();
    scopes.sort();
    Ok(Usable {
        external_account_id: held.external_account_id.clone(),
        provider_user_id: held.provider_user_id.clone(),
        provider: provider.to_owned(),
        token: open("access_token_sealed", sealed)?,
        id_token: held.id_token_sealed.as_ref().map(|sealed| open("id_token_sealed", sealed)).transpose()?,
        expires_at: held.expires_at,
        public_metadata: held.public_metadata.clone(),
        label: held.label.clone(),
        scopes,
    })
}

/// Nobody answered in time.
fn timeout_refusal() -> Refusal {
    Refusal::new(Reason::ProviderTimeout, "")
}
