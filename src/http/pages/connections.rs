//! `/user/connections`: the accounts of the signed-in user at providers: what is connected, what can be, reconnecting
//! and removing. The same flows as those behind `/v1/me/external_accounts`, by forms.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Limit, Route, Rules, get, post};
use super::connections_view::{Connection, Connections, ConnectionsMessage, Done, Removal};
use super::outcome::page;
use super::redirect_page::{leads_to, send_to};
use super::reverify::{CONNECTIONS as PATH, REMOVE, ReverifyTarget};
use super::start_view::ProviderButton;
use super::user::{sign_in_first, signed_in};
use super::user_view::Moment;
use super::{csrf, reasons, token_health};
use crate::actions::configured::{self, EnabledProvider};
use crate::actions::provider_auth::connect::{self, ConnectionStart};
use crate::actions::provider_auth::disconnect;
use crate::actions::provider_token::{self, Checkup};
use crate::actions::session::reverify;
use crate::actions::start_provider_auth::Request;
use crate::context::Ctx;
use crate::http::pages::messages::{fill, text};
use crate::limits;
use crate::model::client::{Client, Session};
use crate::model::oauth::scope;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::provider_token::Health;
use crate::model::strategy::{ProviderSlug, RequestedStrategy};
use crate::model::user::ExternalAccount;

/// The form's name inside its forgery check.
const REMOVAL: &str = "connections-remove";
/// How long a connection counts as new on the page that it leads back to.
const FRESH: time::Duration = time::Duration::minutes(1);

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        get(PATH, Rules::PAGE, show),
        post(PATH, Rules::PAGE, start),
        get(REMOVE, Rules::PAGE, confirm),
        post(REMOVE, Rules::PAGE, remove),
    ]
}

/// `GET /user/connections`.
async fn show(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, render_list(&ctx, &browser, query).await)
}

/// `POST /user/connections`: connects, or connects again.
async fn start(ctx: Ctx, browser: Browser, headers: HeaderMap, body: Result<Body, Failure>) -> Response {
    page(&ctx, start_connection(&ctx, &browser, &headers, body).await)
}

/// `GET /user/connections/remove`: asks first.
async fn confirm(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show_removal(&ctx, &browser, query).await)
}

/// `POST /user/connections/remove`.
async fn remove(ctx: Ctx, browser: Browser, headers: HeaderMap, body: Result<Body, Failure>) -> Response {
    page(&ctx, removed(&ctx, &browser, &headers, body).await)
}

async fn render_list(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let Query(query) = query.map_err(|failure| failure.0)?;
    let Some((client, session)) = signed_in(ctx, browser).await? else { return Ok(sign_in_first(ctx, PATH)) };
    let is_fresh = |account: &ExternalAccount| account.is_verified && ctx.now - account.updated_at < FRESH;
    let done = query.text("done").and_then(Done::parse);
    let is_true = match done {
        Some(Done::Connected) => session.user.external_accounts.iter().any(is_fresh),
        Some(Done::Removed) => true,
        Some(Done::Confirmed) => reverify::require_recent_verification(ctx, &session).await.is_ok(),
        None => false,
    };
    let remark = done.filter(|_| is_true).map_or(ConnectionsMessage::None, ConnectionsMessage::Done);
    shown(ctx, &client, &session, remark).await
}

async fn shown(ctx: &Ctx, client: &Client, session: &Session, remark: ConnectionsMessage) -> Result<Response> {
    let offered = configured::enabled_providers(ctx).await?;
    let tokens = provider_token::checkups(ctx, &session.user.id).await?;
    let accounts = &session.user.external_accounts;
    let is_there = |offered: &EnabledProvider| {
        let healthy = |account: &&ExternalAccount| account.is_verified && account.error.is_none();
        accounts.iter().filter(healthy).any(|account| account.provider == offered.slug)
    };
    let button = |offered: &EnabledProvider| ProviderButton {
        key: offered.slug.to_string(),
        name: offered.name.clone(),
        was_last: false,
        leads_to: leads_to(offered),
    };
    let can_be = offered.iter().filter(|offered| !is_there(offered) && !offered.is_not_selectable);
    let connections = Connections {
        instance: &ctx.instance,
        accounts: accounts.iter().filter_map(|account| connection(ctx, account, &offered, &tokens)).collect(),
        offered: can_be.map(button).collect(),
        leads_to: offered.iter().filter(|offered| is_there(offered)).filter_map(leads_to).collect(),
        remark,
        csrf: csrf::field(ctx, &client.id, PATH),
    };
    Ok(connections.render())
}

/// An account as the page shows it; one that waits for somebody to come back is not shown.
fn connection(
    ctx: &Ctx,
    account: &ExternalAccount,
    offered: &[EnabledProvider],
    tokens: &[Checkup],
) -> Option<Connection> {
    let error = account.shown_error();
    if !account.is_verified && error.is_none() {
        return None;
    }
    let known = offered.iter().find(|offered| offered.slug == account.provider);
    let provider = known.map_or(account.provider.to_string(), |offered| offered.name.clone());
    let problem = error.map(|error| reasons::sentence(reasons::of_verification(error), Some(&provider)));
    let token = tokens.iter().find(|token| token.external_account_id == account.id);
    let is_lost = token.is_some_and(|token| token.state == Health::NeedsReconnect);
    let parts = [account.first_name.as_deref(), account.last_name.as_deref()];
    let full: Vec<&str> = parts.into_iter().flatten().collect();
    let name = if full.is_empty() { account.username.clone() } else { Some(full.join(" ")) };
    Some(Connection {
        id: account.id.to_string(),
        name,
        email: account.email_address.clone(),
        scopes: scopes(ctx, account),
        since: account.verified_at.map(Moment::day),
        token: token.map(|token| token_health::describe(token, &provider)),
        needs_reconnect: problem.is_some() || is_lost,
        problem,
        provider,
    })
}

/// The scopes that mean the same at every provider, and the message that says what.
const SCOPE_TEXTS: [(&str, &str); 4] = [
    (scope::OPENID, "connections.scope_identity"),
    (scope::EMAIL, "connections.scope_email"),
    (scope::PROFILE, "connections.scope_profile"),
    (scope::OFFLINE_ACCESS, "connections.scope_offline"),
];

/// What an account may do: in words where every provider means the same, else by name.
fn scopes(ctx: &Ctx, account: &ExternalAccount) -> Vec<String> {
    let descriptor = ctx.app.catalogue.get(&account.provider);
    let mut words: Vec<String> = Vec::new();
    for scope in &account.approved_scopes {
        let alias = descriptor.and_then(|descriptor| descriptor.token.scope_aliases.get(scope));
        let name = alias.unwrap_or(scope);
        let known = SCOPE_TEXTS.iter().find(|(known, _)| known == name);
        let word = known.map_or(name.clone(), |(_, key)| text(key).to_owned());
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// On to the provider, or the same page again with what is wrong.
async fn start_connection(
    ctx: &Ctx,
    browser: &Browser,
    headers: &HeaderMap,
    body: Result<Body, Failure>,
) -> Result<Response> {
    let Body(form) = body.map_err(|failure| failure.0)?;
    let Some((client, session)) = signed_in(ctx, browser).await? else { return Ok(sign_in_first(ctx, PATH)) };
    csrf::check(ctx, Some(&client.id), PATH, headers, &form)?;
    let offered = configured::enabled_providers(ctx).await?;
    if let Err(refused) = limits::spend(ctx, Limit::CreateAttempt) {
        let remark = ConnectionsMessage::Wait(refused.retry_after.unwrap_or(10));
        return shown(ctx, &client, &session, remark).await;
    }
    let (begun, slug) = redirect_to_provider(ctx, browser, &session, &form).await;
    let known = offered.iter().find(|offered| Some(&offered.slug) == slug.as_ref());
    match begun {
        Ok(begun) => Ok(send_to(ctx, known, &begun.url)),
        Err(Error::Problem(problem)) if wants_reverification(&problem) => Ok(ReverifyTarget::default().reverify()),
        Err(Error::Problem(problem)) => {
            let sentence = refusal(&problem, known.map(|offered| offered.name.as_str()))?;
            shown(ctx, &client, &session, ConnectionsMessage::Problem(sentence)).await
        }
        Err(fault) => Err(fault),
    }
}

/// Begins what the pressed button says; the provider's slug too.
async fn redirect_to_provider(
    ctx: &Ctx,
    browser: &Browser,
    session: &Session,
    form: &Params,
) -> (Result<ConnectionStart>, Option<ProviderSlug>) {
    let token = browser.hash;
    let (back, done) = (ctx.instance.url(PATH), ctx.instance.url(&format!("{PATH}?done=connected")));
    let named = Some(session.id.as_str());
    let request = Request { redirect_url: Some(&back), complete_url: Some(&done), ..Request::default() };
    if let Some(id) = form.text("reconnect") {
        let account = session.user.external_accounts.iter().find(|account| account.id.as_str() == id);
        let slug = account.map(|account| account.provider.clone());
        return (connect::reauthorize(ctx, token.as_ref(), named, id, request).await, slug);
    }
    let strategy = RequestedStrategy::parse(form.text("strategy").unwrap_or_default());
    let slug = strategy.provider().cloned();
    let request = Request { strategy, ..request };
    (connect::connect(ctx, token.as_ref(), named, request).await, slug)
}

/// True where the person can verify once more who they are; somebody without a factor has to sign in again.
fn wants_reverification(problem: &Problem) -> bool {
    let has_none = problem.errors.iter().any(|item| item.meta.contains_key("reason"));
    problem.code() == code::SESSION_REVERIFICATION_REQUIRED && !has_none
}

/// What is wrong, as a sentence; refusals that a person cannot mend stay errors.
fn refusal(problem: &Problem, provider: Option<&str>) -> Result<String> {
    let named = [("provider", provider.unwrap_or(text("reason.the_provider")))];
    let code = problem.code();
    if code == code::SESSION_REVERIFICATION_REQUIRED {
        return Ok(text("connections.too_old").to_owned());
    }
    if code == code::IDENTIFICATION_DELETION_FAILED {
        return Ok(text("connections.last_way_in").to_owned());
    }
    if code == code::LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED {
        return Ok(fill("connections.last_required", &named));
    }
    match reasons::of_code(code.name) {
        reasons::TextKey::OurFault => Err(problem.clone().into()),
        key => Ok(reasons::sentence(key, provider)),
    }
}

async fn show_removal(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let Query(query) = query.map_err(|failure| failure.0)?;
    let Some((client, session)) = signed_in(ctx, browser).await? else { return Ok(sign_in_first(ctx, PATH)) };
    removal(ctx, &client, &session, query.text("account").unwrap_or_default(), None).await
}

/// The page that asks; an account that is gone leads back to the list.
async fn removal(
    ctx: &Ctx,
    client: &Client,
    session: &Session,
    id: &str,
    problem: Option<&Problem>,
) -> Result<Response> {
    let offered = configured::enabled_providers(ctx).await?;
    let account = session.user.external_accounts.iter().find(|account| account.id.as_str() == id);
    let Some(account) = account.and_then(|account| connection(ctx, account, &offered, &[])) else {
        return Ok(Redirect::to(PATH).into_response());
    };
    let problem = problem.map(|problem| refusal(problem, Some(&account.provider))).transpose()?;
    let csrf = csrf::field(ctx, &client.id, REMOVAL);
    Ok(Removal { instance: &ctx.instance, account, problem, csrf }.render())
}

async fn removed(ctx: &Ctx, browser: &Browser, headers: &HeaderMap, body: Result<Body, Failure>) -> Result<Response> {
    let Body(form) = body.map_err(|failure| failure.0)?;
    let Some((client, session)) = signed_in(ctx, browser).await? else { return Ok(sign_in_first(ctx, PATH)) };
    csrf::check(ctx, Some(&client.id), REMOVAL, headers, &form)?;
    let id = form.text("account").unwrap_or_default();
    let token = browser.hash;
    let outcome = disconnect::disconnect(ctx, token.as_ref(), Some(session.id.as_str()), id).await;
    match outcome {
        Ok(_) => Ok(Redirect::to(&format!("{PATH}?done=removed")).into_response()),
        Err(Error::Problem(problem)) if wants_reverification(&problem) => {
            Ok(ReverifyTarget { account: Some(id.to_owned()) }.reverify())
        }
        Err(Error::Problem(problem)) => removal(ctx, &client, &session, id, Some(&problem)).await,
        Err(fault) => Err(fault),
    }
}
