//! Connecting an account of a provider to the signed-in user, or having one approved once more with more scopes: the
//! person leaves for the provider, and `connected` tells what came of it.

use crate::actions::client::{self, ClientUpdate};
use crate::actions::configured::{self, Configured};
use crate::actions::flow_steps;
use crate::actions::session::active;
use crate::actions::session::reverify::require_recent_verification;
use crate::actions::start_provider_auth::{self, AuthorizationStart, Ready, Request};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flow_log::Kind;
use crate::model::client::Session;
use crate::model::id::{ClientId, ExternalAccountId, IdentificationId};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::provider_authorization::Intent;
use crate::model::reason::Reason;
use crate::model::strategy::Strategy;
use crate::model::user::{ExternalAccount, ExternalAccountStatus};
use crate::model::verification::Role;
use crate::store::InstanceConnection;
use crate::store::connections::{self, NewPending, OwnedAccount};
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{clients, provider_configs, verifications};

/// The most scopes of one request, and the longest they may be together.
const SCOPES: (usize, usize) = (50, 2048);

/// An authorization that has begun.
pub struct ConnectionStart {
    /// The account as it is now.
    pub account: ExternalAccount,
    /// The provider's address.
    pub url: String,
    /// The client.
    pub updated: ClientUpdate,
}

/// What was asked for, checked.
struct CheckedRequest<'a> {
    ready: Ready<'a>,
    multiple_accounts: bool,
}

/// Reads `additional_scope`: repeated, or separated by spaces or commas; each once.
///
/// # Errors
/// `form_param_format_invalid` for what is no scope (RFC 6749 section 3.3), more than 50, or more than 2 048
/// characters.
pub fn scopes(raw: &[&str]) -> Result<Vec<String>, Problem> {
    let is_scope = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let mut scopes: Vec<String> = Vec::new();
    for word in raw.iter().flat_map(|text| text.split([' ', ','])).filter(|word| !word.is_empty()) {
        if !word.bytes().all(is_scope) {
            return Err(Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("additional_scope"));
        }
        if !scopes.iter().any(|known| known == word) {
            scopes.push(word.to_owned());
        }
    }
    let length: usize = raw.iter().map(|text| text.chars().count()).sum();
    if scopes.len() > SCOPES.0 || length > SCOPES.1 {
        return Err(Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("additional_scope"));
    }
    Ok(scopes)
}

/// Begins to connect an account of the provider that the request names.
///
/// # Errors
/// No active session; `sessionreverification_required`; the code of what is wrong with the request;
/// `oauth_account_already_connected` where one is there and nothing more is asked of it.
pub async fn connect(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    request: Request<'_>,
) -> Result<ConnectionStart> {
    flow_steps::log_start(ctx, Kind::Connect, &request.strategy.sent, request.redirect_url, request.complete_url);
    flow_steps::record_refusal(ctx, start_connection(ctx, token, session, request).await)
}

async fn start_connection(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    request: Request<'_>,
) -> Result<ConnectionStart> {
    let session = active::session(ctx, token, session).await?;
    flow_steps::set_user(ctx, &session.user.id);
    require_recent_verification(ctx, &session).await?;
    let configured = configured::to_connect(ctx, &request.strategy).await?;
    flow_steps::log_configuration(ctx, &configured.config);
    let wanted = check_request(ctx, request, configured).await?;
    let slug = &wanted.ready.configured.config.provider;
    let (session, wanted) = (&session, &wanted);
    let (id, url) = transact(ctx.db(), "connection.begin", |tx| {
        async move {
            let client = lock(tx, token, session).await?;
            let there = connections::healthy(tx, &session.user.id, slug).await?;
            let asks_for_more = |own: &OwnedAccount| {
                let approved = approved(&wanted.ready.configured, own);
                wanted.ready.request.additional_scopes.iter().any(|scope| !approved.contains(scope))
            };
            if !wanted.multiple_accounts && there.iter().any(|own| !asks_for_more(own)) {
                return Err(code::OAUTH_ACCOUNT_ALREADY_CONNECTED
                    .because(Reason::AccountConnectedAlready, "second")
                    .into());
            }
            let id = ExternalAccountId::new(ctx.now, ctx.rng());
            let identification = IdentificationId::new(ctx.now, ctx.rng());
            let new = NewPending { id: &id, identification: &identification, user: &session.user.id, provider: slug };
            connections::create_pending(tx, &new).await?;
            let approved = there.iter().flat_map(|own| approved(&wanted.ready.configured, own));
            let more: Vec<String> = approved.chain(wanted.ready.request.additional_scopes.iter().cloned()).collect();
            let authorization_start = authorization_start(Intent::Connect, &id, &client, session, &more);
            let url = start_provider_auth::start_authorization(ctx, tx, &authorization_start, &wanted.ready).await?;
            Ok(Committed::Done((id, url)))
        }
        .scope_boxed()
    })
    .await?;
    read_start(ctx, token, session, &id, url).await
}

/// Begins to have the account `id` approved once more; its scopes never shrink.
///
/// # Errors
/// As [`connect`]; `external_account_not_found` for another user's account, and one that nobody has come back to.
pub async fn reauthorize(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    id: &str,
    request: Request<'_>,
) -> Result<ConnectionStart> {
    flow_steps::log_start(ctx, Kind::Reauthorize, "", request.redirect_url, request.complete_url);
    flow_steps::record_refusal(ctx, start_reauthorization(ctx, token, session, id, request).await)
}

async fn start_reauthorization(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    id: &str,
    request: Request<'_>,
) -> Result<ConnectionStart> {
    let session = active::session(ctx, token, session).await?;
    flow_steps::set_user(ctx, &session.user.id);
    let user = &session.user.id;
    let own = connections::own(&mut ctx.db(), user, id).await?;
    let own = own
        .filter(|own| own.status == ExternalAccountStatus::Verified || own.has_error)
        .ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    require_recent_verification(ctx, &session).await?;
    let request = Request { strategy: Strategy::OAuth(own.provider.clone()).into(), ..request };
    let configured = configured::to_connect(ctx, &request.strategy).await?;
    flow_steps::log_configuration(ctx, &configured.config);
    let wanted = check_request(ctx, request, configured).await?;
    let (session, own, wanted) = (&session, &own, &wanted);
    let url = transact(ctx.db(), "connection.reauthorize", |tx| {
        async move {
            let client = lock(tx, token, session).await?;
            verifications::supersede_provider_verification(tx, own.id.as_str()).await?;
            connections::renew_pending(tx, &own.id).await?;
            let mut more = approved(&wanted.ready.configured, own);
            more.extend(wanted.ready.request.additional_scopes.iter().cloned());
            let authorization_start = authorization_start(Intent::Reauthorize, &own.id, &client, session, &more);
            let url = start_provider_auth::start_authorization(ctx, tx, &authorization_start, &wanted.ready).await?;
            Ok(Committed::Done(url))
        }
        .scope_boxed()
    })
    .await?;
    read_start(ctx, token, session, &own.id, url).await
}

/// The scopes that an account has, by the names under which they are asked for.
fn approved(configured: &Configured, own: &OwnedAccount) -> Vec<String> {
    own.approved_scopes.iter().map(|scope| configured.provider.requested_name(scope).to_owned()).collect()
}

/// Checks addresses, hints and scopes before anything is written.
async fn check_request<'a>(ctx: &Ctx, request: Request<'a>, configured: Configured) -> Result<CheckedRequest<'a>> {
    let targets = start_provider_auth::targets(ctx, &request).await?;
    start_provider_auth::check_hints(&request)?;
    let rules = provider_configs::connecting(&mut ctx.db(), &configured.config.provider).await?;
    let rules = rules.ok_or(code::OAUTH_PROVIDER_NOT_ENABLED)?;
    let allowed = rules.allowed_additional_scopes;
    if allowed.is_some_and(|allowed| request.additional_scopes.iter().any(|scope| !allowed.contains(scope))) {
        let words = "This scope is not one that applications may ask for here.";
        let refused = Problem::new(code::FORM_PARAM_VALUE_INVALID).param("additional_scope").explain(words);
        return Err(refused.into());
    }
    let ready = Ready { request, targets, configured };
    Ok(CheckedRequest { ready, multiple_accounts: rules.multiple_accounts })
}

/// Locks the client, on which the session must still be active, and the user.
async fn lock(db: &mut InstanceConnection<'_>, token: Option<&LookupHash>, session: &Session) -> Result<ClientId> {
    let token = token.ok_or(code::AUTHENTICATION_INVALID)?;
    let client = clients::lock_by_token(db, token).await?.ok_or(code::RESOURCE_LOCKED)?;
    let is_active = connections::is_session_active(db, &client, &session.id).await?;
    if !is_active || !connections::lock_user(db, &session.user.id).await? {
        return Err(code::AUTHENTICATION_INVALID.into());
    }
    Ok(client)
}

fn authorization_start<'a>(
    intent: Intent,
    target: &'a ExternalAccountId,
    client: &'a ClientId,
    session: &'a Session,
    more_scopes: &'a [String],
) -> AuthorizationStart<'a> {
    let session = Some((&session.user.id, &session.id));
    AuthorizationStart { intent, role: Role::ExternalAccount, target: target.as_str(), client, session, more_scopes }
}

/// The account as the client shows it now.
async fn read_start(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: &Session,
    id: &ExternalAccountId,
    url: String,
) -> Result<ConnectionStart> {
    let updated = client::read_updated(ctx, token, None).await?;
    let now = updated.client.sessions.iter().find(|open| open.id == session.id);
    let account = now.and_then(|open| open.user.external_accounts.iter().find(|account| account.id == *id));
    let account = account.cloned().ok_or_else(|| Error::from(code::RESOURCE_LOCKED))?;
    Ok(ConnectionStart { account, url, updated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_in_any_spelling_and_once_each() {
        assert_eq!(
            scopes(&["repo gist", "gist,user:email", ""]),
            Ok(["repo", "gist", "user:email"].map(str::to_owned).into())
        );
        assert_eq!(scopes(&[]), Ok(Vec::new()));
        for wrong in ["a\"b", "a\\b", "ä", "a\tb"] {
            assert!(scopes(&[wrong]).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..51).map(|number| format!("s{number}")).collect();
        assert!(scopes(&[&many.join(" ")]).is_err());
        assert!(scopes(&[&"a".repeat(2049)]).is_err());
    }
}
