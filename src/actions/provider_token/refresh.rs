//! Under the lease: ask the provider once, keep what it answers, note why it did not.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::lease::{Lease, SEND_WITHIN, SharedRefresh};
use super::record_access::{self, TokenChange};
use super::timeout_refusal;
use crate::actions::configured;
use crate::app::single_flight::RefreshOutcome;
use crate::crypto::{ExposeSecret, Secret};
use crate::model::problem::{Error, FaultKind, Result, code};
use crate::model::provider_token::{Lease as Leased, Refusal, Row, TokenLife, TokenState, judge};
use crate::model::reason::Reason;
use crate::store::provider_tokens::{self, Failed, LeaseEnd, NewTokens, SealedTokens};
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::upstream::descriptor::Exchange;
use crate::upstream::error::UpstreamError;
use crate::upstream::provider::Provider;
use crate::upstream::token::{self, TokenAnswer};

/// An exchange takes at most 10 s; whatever else happens, nobody waits longer than this for it.
const EXCHANGE: Duration = Duration::from_secs(11);
/// How long an answer is tried to be stored while the database is away. Longer than the lease: what a rotating provider
/// gave is lost otherwise, and an older answer never replaces a newer one.
const KEEP_TRYING: Duration = Duration::from_secs(40);
/// How long to wait before the next try, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Whether a provider can be asked, as it is configured now.
pub(super) enum Prepared {
    /// It can.
    Usable(Box<Provider>),
    /// Its configuration does not do, for this reason.
    Unusable(Refusal),
}

/// Looks the provider up before the lease is taken: an issuer's metadata may have to be fetched.
pub(super) async fn prepare(refresh: &SharedRefresh) -> Result<Prepared> {
    let (ctx, slug) = (&refresh.ctx, refresh.provider.as_str());
    let configs = &ctx.app.provider_configs;
    let config = configs.of_version(&mut ctx.db(), slug, refresh.version).await?;
    let config = config.ok_or(code::OAUTH_TOKEN_PROVIDER_NOT_ENABLED)?;
    match configured::configured(ctx, (*config).clone()).await {
        Ok(configured) => Ok(Prepared::Usable(Box::new(configured.provider))),
        Err(Error::Problem(problem)) => {
            let detail = if problem.code() == code::OAUTH_CONFIG_MISSING { "missing" } else { "malformed" };
            Ok(Prepared::Unusable(Refusal::new(Reason::CredentialsUnusable, detail)))
        }
        Err(fault) => Err(fault),
    }
}

/// Refreshes under `lease`. `None` if newer tokens were stored or the lease was lost meanwhile: look again.
pub(super) async fn run(refresh: &SharedRefresh, lease: Lease, prepared: Prepared) -> Result<Option<RefreshOutcome>> {
    let ctx = &refresh.ctx;
    let provider = match prepared {
        Prepared::Usable(provider) => provider,
        Prepared::Unusable(refusal) => return note(refresh, &lease, refusal).await,
    };
    let credential = match open(refresh, &lease, &provider) {
        Ok(credential) => credential,
        Err(refusal) => return note(refresh, &lease, refusal).await,
    };
    // Whoever sends late may send after the next one: a single-use token sent twice looks like theft.
    if lease.since.elapsed() > SEND_WITHIN {
        let left = if lease.taken.was_unanswered { LeaseEnd::Unanswered } else { LeaseEnd::Nothing };
        let (id, owner) = (&lease.account.external_account_id, lease.owner.as_str());
        provider_tokens::release_lease(&mut ctx.db(), id, owner, left).await?;
        return Ok(Some(RefreshOutcome::Late));
    }
    match timeout_at(lease.since + EXCHANGE, request_tokens(refresh, &provider, &credential)).await {
        Ok(Ok(answer)) => keep(refresh, lease, &answer).await,
        Ok(Err(error)) => {
            tracing::info!(%error, account = %lease.account.external_account_id, "a refresh failed");
            note(refresh, &lease, Refusal::new(error.reason, error.detail)).await
        }
        Err(_) => note(refresh, &lease, timeout_refusal()).await,
    }
}

/// What the provider gives newer tokens for.
enum GrantCredential<'a> {
    RefreshToken(Secret),
    /// The access token itself, while it lives.
    AccessToken(&'a Exchange, Secret),
}

async fn request_tokens(
    refresh: &SharedRefresh,
    provider: &Provider,
    credential: &GrantCredential<'_>,
) -> Result<TokenAnswer, UpstreamError> {
    let outbound = &refresh.ctx.app.upstream.outbound;
    match credential {
        GrantCredential::RefreshToken(token) => token::refresh(outbound, provider, token).await,
        GrantCredential::AccessToken(exchange, token) => {
            token::exchange_long_lived(outbound, provider, exchange, token).await
        }
    }
}

fn open<'a>(refresh: &SharedRefresh, lease: &Lease, provider: &'a Provider) -> Result<GrantCredential<'a>, Refusal> {
    let (ctx, id) = (&refresh.ctx, &lease.account.external_account_id);
    let open = |column, sealed: &[u8]| {
        let at = provider_tokens::sealed_at(ctx.instance_id(), id, column);
        ctx.app.ring.open_text(&at, sealed).map_err(|error| {
            tracing::error!(%error, account = %id, column, "a stored token does not open");
            Refusal::new(Reason::Internal, "storage")
        })
    };
    if let Some(sealed) = &lease.taken.refresh_token_sealed {
        return open("refresh_token_sealed", sealed).map(GrantCredential::RefreshToken);
    }
    match (&provider.descriptor.refresh.exchange, &lease.account.access_token_sealed) {
        (Some(exchange), Some(sealed)) => {
            Ok(GrantCredential::AccessToken(exchange, open("access_token_sealed", sealed)?))
        }
        _ => Err(Refusal::new(Reason::TokenMissing, "refresh")),
    }
}

/// An answer, sealed for its account.
struct Sealed {
    access: Vec<u8>,
    refresh: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

impl Sealed {
    fn new(refresh: &SharedRefresh, account: &SealedTokens, answer: &TokenAnswer) -> Result<Self> {
        let ctx = &refresh.ctx;
        let seal = |column, token: &Secret| {
            let at = provider_tokens::sealed_at(ctx.instance_id(), &account.external_account_id, column);
            ctx.app.ring.seal(ctx.rng(), &at, token.expose_secret().as_bytes()).map_err(Error::internal)
        };
        Ok(Self {
            access: seal("access_token_sealed", &answer.access_token)?,
            refresh: answer.refresh_token.as_ref().map(|token| seal("refresh_token_sealed", token)).transpose()?,
            id: answer.id_token.as_ref().map(|token| seal("id_token_sealed", token)).transpose()?,
        })
    }
}

/// Keeps an answer; nobody sees it before it is durable.
async fn keep(refresh: &SharedRefresh, lease: Lease, answer: &TokenAnswer) -> Result<Option<RefreshOutcome>> {
    let (received, sealed) = (Instant::now(), Sealed::new(refresh, &lease.account, answer)?);
    let mut pause = PAUSE.0;
    let stored = loop {
        match try_to_keep(refresh, &lease, answer, &sealed, received).await {
            Err(Error::Fault(fault)) if fault.kind == FaultKind::Unavailable && received.elapsed() < KEEP_TRYING => {
                tracing::warn!(error = %fault.source, "a provider's answer waits to be stored");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            Err(error) => {
                // The next refresh finds the lease left behind, and says so if the provider has forgotten the old
                // token.
                let account = &lease.account.external_account_id;
                tracing::error!(%error, %account, "a provider's answer was lost: it could not be stored");
                return Err(error);
            }
            Ok(stored) => break stored,
        }
    };
    Ok(stored.map(|stored| RefreshOutcome::Token(std::sync::Arc::new(after(lease.account, sealed, stored)))))
}

async fn try_to_keep(
    refresh: &SharedRefresh,
    lease: &Lease,
    answer: &TokenAnswer,
    sealed: &Sealed,
    received: Instant,
) -> Result<Option<provider_tokens::StoredToken>> {
    let (ctx, account) = (&refresh.ctx, &lease.account);
    #[expect(clippy::cast_precision_loss, reason = "at most ten years of seconds")]
    let expires_in = answer.expires_in.map(|seconds| seconds as f64 - received.elapsed().as_secs_f64());
    let new = NewTokens {
        access_token: &sealed.access,
        refresh_token: sealed.refresh.as_deref(),
        id_token: sealed.id.as_deref(),
        token_type: answer.token_type.as_deref(),
        scopes: answer.scopes.as_deref(),
        expires_in,
    };
    let (id, generation) = (&account.external_account_id, account.row.generation);
    transact(ctx.db(), "provider_token.store", |tx| {
        async move {
            let stored = provider_tokens::keep(tx, id, generation, new).await?;
            if let Some(before) =
                stored.as_ref().map(|stored| stored.before).filter(|before| *before != TokenState::Good)
            {
                let change = TokenChange { before, after: TokenState::Good, refusal: None };
                record_access::changed(ctx, tx, &refresh.user, id, &change).await?;
            }
            Ok(Committed::Done(stored))
        }
        .scope_boxed()
    })
    .await
}

/// The account with the tokens just stored.
fn after(account: SealedTokens, sealed: Sealed, stored: provider_tokens::StoredToken) -> SealedTokens {
    let (had_refresh_token, exchanges_long_lived) = (account.row.has_refresh_token, account.row.exchanges_long_lived);
    SealedTokens {
        has_error: false,
        scopes: stored.scopes,
        access_token_sealed: Some(sealed.access),
        id_token_sealed: stored.id_token_sealed,
        obtained_at: Some(stored.obtained_at),
        expires_at: stored.expires_at,
        row: Row {
            generation: stored.generation,
            has_access_token: true,
            has_refresh_token: had_refresh_token || sealed.refresh.is_some(),
            exchanges_long_lived,
            life: TokenLife::Good,
            state: TokenState::Good,
            refusal: None,
            last_refresh_at: Some(stored.obtained_at),
            lease: Leased::Free,
        },
        ..account
    }
}

/// Notes a failed refresh.
async fn note(refresh: &SharedRefresh, lease: &Lease, failed: Refusal) -> Result<Option<RefreshOutcome>> {
    let (ctx, account) = (&refresh.ctx, &lease.account);
    // An exchange of the access token uses nothing up, so nothing was lost by one that was never answered.
    let was_unanswered = lease.taken.was_unanswered && lease.taken.refresh_token_sealed.is_some();
    let verdict = judge(failed, was_unanswered);
    let error = verdict.refusal.needs_person().then(record_access::reconnect_error);
    let failed =
        Failed { generation: account.row.generation, owner: &lease.owner, verdict: &verdict, error: error.as_ref() };
    let id = &account.external_account_id;
    let (failed, verdict) = (&failed, &verdict);
    transact(ctx.db(), "provider_token.note_failure", |tx| {
        async move {
            let before = provider_tokens::fail(tx, id, failed).await?;
            if let Some(before) = before.filter(|before| *before != verdict.state) {
                let change = TokenChange { before, after: verdict.state, refusal: Some(&verdict.refusal) };
                record_access::changed(ctx, tx, &refresh.user, id, &change).await?;
            }
            Ok(Committed::Done(before.map(|_| RefreshOutcome::Refused(verdict.refusal.clone()))))
        }
        .scope_boxed()
    })
    .await
}
