//! Beginning a sign-in or sign-up with a provider: the attempt is written down, and the browser learns where to go.

use crate::actions::attempt;
use crate::actions::client::{self, ClientUpdate};
use crate::actions::configured::{self, Configured};
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash, SealedAt};
use crate::model::id::{ClientId, ProviderAuthorizationId, SessionId, UserId, VerificationId};
use crate::model::linking::AttemptKind;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::provider_authorization::{Intent, Transport};
use crate::model::random;
use crate::model::reason::Reason;
use crate::model::redirect::{CheckedRedirect, RedirectPayload, RedirectTarget};
use crate::model::strategy::{RequestedStrategy, Strategy};
use crate::model::verification::Role;
use crate::store::InstanceConnection;
use crate::store::attempts::{self, NewProviderVerification, SignUpFields};
use crate::store::provider_authorizations::{self, NewAuthorization};
use crate::store::redirect_urls;
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::verifications;
use crate::upstream::request::{self, AuthorizationRequest, Verifier};

/// What an app asks for.
#[derive(Default)]
pub struct Request<'a> {
    /// The provider's strategy.
    pub strategy: RequestedStrategy<'a>,
    /// Where the browser goes when more is to be done.
    pub redirect_url: Option<&'a str>,
    /// Where it goes when all is done.
    pub complete_url: Option<&'a str>,
    /// Forwarded to providers that know it: words of `none login consent select_account`.
    pub prompt: Option<&'a str>,
    /// Forwarded to providers that know it.
    pub login_hint: Option<&'a str>,
    /// How the client token travels.
    pub transport: Transport,
    /// Scopes beyond the configured ones, for an account that is connected or approved once more.
    pub additional_scopes: Vec<String>,
}

/// The longest `login_hint` that is forwarded.
const LOGIN_HINT_LENGTH: usize = 320;

/// Where the browser goes afterwards, checked.
pub(super) struct Targets {
    redirect: RedirectTarget,
    complete: Option<RedirectTarget>,
}

/// An authorization to be written down.
pub struct AuthorizationStart<'a> {
    /// What it is for.
    pub intent: Intent,
    /// The role of the verification.
    pub role: Role,
    /// What the verification is for: an attempt or an account.
    pub target: &'a str,
    /// Who begins.
    pub client: &'a ClientId,
    /// Who connects, and in which session.
    pub session: Option<(&'a UserId, &'a SessionId)>,
    /// Scopes beyond the base and the configured ones.
    pub more_scopes: &'a [String],
}

/// Begins; replaces whatever the client had begun before.
///
/// # Errors
/// The code of what is wrong with the request, `session_exists`; nothing is written then.
pub async fn start(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    kind: AttemptKind,
    request: Request<'_>,
) -> Result<ClientUpdate> {
    let flow_kind = flow_steps::flow_kind(kind);
    flow_steps::log_start(ctx, flow_kind, &request.strategy.sent, request.redirect_url, request.complete_url);
    flow_steps::record_refusal(ctx, start_attempt(ctx, token, kind, request).await)
}

async fn start_attempt(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    kind: AttemptKind,
    request: Request<'_>,
) -> Result<ClientUpdate> {
    let ready = check(ctx, request).await?;
    let ready = &ready;
    let issued = transact(ctx.db(), "attempt.begin_with_provider", |tx| {
        async move {
            let (client, issued) = client::lock_or_create(ctx, tx, token).await?;
            attempt::refuse_second_session(ctx, tx, &client).await?;
            attempts::replace_all(tx, &client).await?;
            let target = attempt::create(ctx, tx, &client, kind, &SignUpFields::default()).await?;
            start_authorization(ctx, tx, &AuthorizationStart::of_attempt(kind, &target, &client), ready).await?;
            Ok(Committed::Done(issued))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, issued).await
}

/// An authorization that was checked and can begin.
pub struct Ready<'a> {
    /// What was asked for.
    pub(super) request: Request<'a>,
    /// Where it leads.
    pub(super) targets: Targets,
    /// What it is made with.
    pub(super) configured: Configured,
}

impl Ready<'_> {
    /// The strategy that names the provider.
    pub fn strategy(&self) -> Strategy {
        self.configured.strategy()
    }
}

/// Checks an authorization for an attempt that the client has already.
///
/// # Errors
/// Those of [`check`].
pub async fn prepare_for_attempt<'a>(ctx: &Ctx, token: Option<&LookupHash>, request: Request<'a>) -> Result<Ready<'a>> {
    flow_steps::log_requested_strategy(ctx, &request.strategy.sent, request.redirect_url, request.complete_url);
    let checked = check(ctx, request).await;
    if checked.is_err() {
        // The refusal stands in the flow of the client's attempt, which is read for that.
        client::read(ctx, token).await?;
    }
    flow_steps::record_refusal(ctx, checked)
}

/// Checks where an authorization leads and what it is made with, before anything is written.
///
/// # Errors
/// The code of what is wrong with the request.
pub async fn check<'a>(ctx: &Ctx, request: Request<'a>) -> Result<Ready<'a>> {
    let targets = targets(ctx, &request).await?;
    check_hints(&request)?;
    let configured = configured::to_sign_in_with(ctx, &request.strategy).await?;
    flow_steps::log_configuration(ctx, &configured.config);
    Ok(Ready { request, targets, configured })
}

/// An attempt of the client turns to another way: its authorization that is under way leads nowhere any more, and what
/// an earlier one brought back is forgotten.
///
/// # Errors
/// Storage faults.
pub async fn cancel_authorization(db: &mut InstanceConnection<'_>, id: &str) -> Result<()> {
    verifications::supersede_provider_verification(&mut *db, id).await?;
    provider_authorizations::forget_waiting(&mut *db, id).await?;
    Ok(())
}

/// Begins an attempt that names nobody and nothing yet: how the SDK resets one.
///
/// # Errors
/// `session_exists`.
pub async fn create_attempt(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    kind: AttemptKind,
    fields: &SignUpFields,
) -> Result<ClientUpdate> {
    let issued = transact(ctx.db(), "attempt.begin_blank", |tx| {
        async move {
            let (client, issued) = client::lock_or_create(ctx, tx, token).await?;
            attempt::refuse_second_session(ctx, tx, &client).await?;
            attempts::replace_all(tx, &client).await?;
            attempt::create(ctx, tx, &client, kind, fields).await?;
            Ok(Committed::Done(issued))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, issued).await
}

impl<'a> AuthorizationStart<'a> {
    /// That of the attempt `target` of `client`, which the caller has locked: sign-in and sign-up ask for the configured
    /// scopes and no others.
    pub fn of_attempt(kind: AttemptKind, target: &'a str, client: &'a ClientId) -> Self {
        let (intent, role) = (kind.into(), Role::of_provider(kind));
        Self { intent, role, target, client, session: None, more_scopes: &[] }
    }
}

/// Resolves and checks both addresses: the first against the page that asked, the second against the first.
///
/// # Errors
/// The code of what is wrong with the request.
pub(super) async fn targets(ctx: &Ctx, request: &Request<'_>) -> Result<Targets> {
    let missing = || code::FORM_PARAM_MISSING.because(Reason::RedirectInvalid, "missing").param("redirect_url");
    let raw = request.redirect_url.ok_or_else(missing)?;
    let handed = if request.transport == Transport::Nonce { RedirectPayload::Nonce } else { RedirectPayload::Nothing };
    let redirect = target(ctx, raw, "redirect_url", ctx.from.origin.as_deref(), handed).await?;
    let complete = match request.complete_url {
        None => None,
        Some(raw) => Some(target(ctx, raw, "action_complete_redirect_url", Some(redirect.as_str()), handed).await?),
    };
    Ok(Targets { redirect, complete })
}

/// One address: by the rules, else by the instance's list.
async fn target(
    ctx: &Ctx,
    raw: &str,
    param: &str,
    base: Option<&str>,
    handed: RedirectPayload,
) -> Result<RedirectTarget> {
    let (target, key, otherwise) = match RedirectTarget::judge(&ctx.instance, raw, base, param, handed)? {
        CheckedRedirect::Allowed(target) => return Ok(target),
        CheckedRedirect::IfListed { target, key, otherwise } => (target, key, otherwise),
    };
    let is_free = !target.is_web() && ctx.instance.allows_unlisted_native_targets();
    match is_free || redirect_urls::is_listed(&mut ctx.db(), &key).await? {
        true => Ok(target),
        false => Err(otherwise.into()),
    }
}

/// Only plain hints reach a provider: what a caller sends is never passed on raw.
pub(super) fn check_hints(request: &Request<'_>) -> Result<(), Problem> {
    const PROMPTS: [&str; 4] = ["none", "login", "consent", "select_account"];
    let wrong = |param| Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param(param));
    if request.prompt.is_some_and(|prompt| prompt.split(' ').any(|word| !PROMPTS.contains(&word))) {
        return wrong("oidc_prompt");
    }
    let plain = |hint: &str| hint.chars().count() <= LOGIN_HINT_LENGTH && !hint.chars().any(char::is_control);
    if request.login_hint.is_some_and(|hint| !plain(hint)) {
        return wrong("oidc_login_hint");
    }
    Ok(())
}

/// Makes state, verifier and nonce, and writes down the verification and the authorization; returns the provider's
/// address. Only hashes and sealed values stay.
///
/// # Errors
/// Storage faults.
pub async fn start_authorization(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    authorization_start: &AuthorizationStart<'_>,
    ready: &Ready<'_>,
) -> Result<String> {
    let Ready { request, targets, configured } = ready;
    let ring = &ctx.app.ring;
    let prepared = prepare(ctx, configured, request, authorization_start.more_scopes)?;
    let (authorization, verification) =
        (ProviderAuthorizationId::new(ctx.now, ctx.rng()), VerificationId::new(ctx.now, ctx.rng()));
    let url = prepared.url.as_str().as_bytes();
    let url_sealed = ring.seal(ctx.rng(), &client::external_url_at(ctx, &verification), url);
    let url_sealed = url_sealed.map_err(Error::internal)?;
    let new = NewProviderVerification {
        id: &verification,
        owner: authorization_start.target,
        role: authorization_start.role,
        client: authorization_start.client,
        strategy: &configured.strategy(),
        external_url_sealed: Some(&url_sealed),
    };
    attempts::create_verification(db, &new).await?;
    let seal =
        |verifier: Verifier| ring.seal(ctx.rng(), &verifier_at(ctx, &authorization), verifier.expose().as_bytes());
    let verifier_sealed = prepared.verifier.map(seal).transpose().map_err(Error::internal)?;
    let flow = ctx.flow_log.flow();
    let new = NewAuthorization {
        id: &authorization,
        verification: &verification,
        intent: authorization_start.intent,
        target: authorization_start.target,
        client: authorization_start.client,
        session: authorization_start.session,
        transport: request.transport,
        origin: ctx.from.origin.as_deref(),
        provider: &configured.config.provider,
        provider_version: configured.config.version,
        state: &prepared.state,
        verifier_sealed: verifier_sealed.as_deref(),
        nonce: prepared.nonce.as_ref(),
        callback_url: &prepared.callback_url,
        redirect_url: targets.redirect.as_str(),
        complete_url: targets.complete.as_ref().map(RedirectTarget::as_str),
        scopes: &prepared.scopes,
        flow: flow.as_ref(),
    };
    flow_steps::log_redirect_to_provider(
        ctx,
        new.provider,
        authorization_start.client,
        &prepared.scopes,
        &prepared.url,
    );
    provider_authorizations::begin(db, &new).await?;
    Ok(prepared.url.into())
}

/// Where the browser is sent, and what must be known when it comes back.
struct Prepared {
    url: url::Url,
    state: LookupHash,
    nonce: Option<LookupHash>,
    verifier: Option<Verifier>,
    callback_url: String,
    scopes: Vec<String>,
}

/// Builds the provider's address with fresh secrets.
fn prepare(ctx: &Ctx, configured: &Configured, request: &Request<'_>, more_scopes: &[String]) -> Result<Prepared> {
    let provider = &configured.provider;
    let scopes = provider.scopes(more_scopes);
    let state = random::token(ctx.rng());
    let verifier = provider.sends_pkce().then(|| Verifier::new(ctx.rng()));
    let nonce = provider.uses_nonce(&scopes).then(|| random::token(ctx.rng()));
    let callback_url = ctx.instance.url("/v1/oauth_callback");
    let redirect_uri = url::Url::parse(&callback_url).map_err(Error::internal)?;
    let asked = AuthorizationRequest {
        state: &state,
        nonce: nonce.as_deref(),
        verifier: verifier.as_ref(),
        redirect_uri: &redirect_uri,
        scopes: &scopes,
        login_hint: request.login_hint,
        prompt: request.prompt,
    };
    let url = request::authorization_url(provider, &asked);
    let ring = &ctx.app.ring;
    let nonce = nonce.map(|nonce| ring.lookup_hash(Lookup::Nonce, &nonce));
    Ok(Prepared { url, state: ring.lookup_hash(Lookup::State, &state), nonce, verifier, callback_url, scopes })
}

/// Where a PKCE verifier is sealed to.
pub fn verifier_at<'a>(ctx: &'a Ctx, authorization: &'a ProviderAuthorizationId) -> SealedAt<'a> {
    SealedAt {
        table: "provider_authorizations",
        column: "pkce_verifier_sealed",
        row: authorization.as_str(),
        instance: ctx.instance_id().as_str(),
    }
}
