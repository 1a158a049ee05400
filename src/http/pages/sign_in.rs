//! `/sign-in` and `/sign-up`: the start pages, and the page of a flow that came back without a session.

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use super::super::cookies;
use super::super::extract::{Body, Browser, Query};
use super::super::problem::Failure;
use super::super::route::{Limit, Route, Rules, get, post};
use super::attempt_progress::{self, AttemptProgress, end_too_old, progress, provider_verification};
use super::error::Refused;
use super::flash::FlashMessage;
use super::form_post::FormPost;
use super::identifier_form::{self, IdentifierForm};
use super::messages::fill;
use super::outcome::{page, set_cookies};
use super::redirect_params::{EntryPage, RedirectParams};
use super::start_page::{self, StartPage};
use super::start_view::StartMessage;
use super::{csrf, page_request, reasons, redirect_page};
use crate::actions;
use crate::actions::configured::{self, EnabledProvider};
use crate::actions::flow_reader;
use crate::actions::start_provider_auth::Request;
use crate::context::Ctx;
use crate::limits;
use crate::model::client::Client;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::strategy::{ProviderSlug, RequestedStrategy};
use crate::model::verification::{Status, Verification};
use crate::model::{sign_in, sign_up};

/// The routes of this file. The budget of starts is spent by the handler: the page that refuses keeps its form.
pub fn routes() -> Vec<Route> {
    vec![
        get("/sign-in", Rules::PAGE, sign_in),
        post("/sign-in", Rules::PAGE, start_sign_in),
        get("/sign-in/create", Rules::PAGE, sign_in_create),
        get("/sign-in/tasks", Rules::PAGE, sign_in_tasks),
        get("/sign-in/sso-callback", Rules::PAGE, sign_in_callback),
        get("/sign-up", Rules::PAGE, sign_up),
        post("/sign-up", Rules::PAGE, start_sign_up),
        get("/sign-up/sso-callback", Rules::PAGE, sign_up_callback),
    ]
}

/// `GET /sign-in`.
async fn sign_in(ctx: Ctx, browser: Browser, headers: HeaderMap, query: Result<Query, Failure>) -> Response {
    page(&ctx, show(&ctx, &browser, EntryPage::SignIn, &headers, query).await)
}

/// `GET /sign-up`.
async fn sign_up(ctx: Ctx, browser: Browser, headers: HeaderMap, query: Result<Query, Failure>) -> Response {
    page(&ctx, show(&ctx, &browser, EntryPage::SignUp, &headers, query).await)
}

/// `POST /sign-in`.
async fn start_sign_in(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, begin(&ctx, &browser, EntryPage::SignIn, post).await)
}

/// `POST /sign-up`.
async fn start_sign_up(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, begin(&ctx, &browser, EntryPage::SignUp, post).await)
}

/// `GET /sign-in/create`: the SDK's name for signing up.
async fn sign_in_create(uri: Uri) -> Response {
    redirect_to_entry(EntryPage::SignUp, &uri)
}

/// `GET /sign-in/tasks`: no session has tasks yet.
async fn sign_in_tasks(uri: Uri) -> Response {
    redirect_to_entry(EntryPage::SignIn, &uri)
}

/// `GET /sign-in/sso-callback`.
async fn sign_in_callback(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show_result(&ctx, &browser, EntryPage::SignIn, query).await)
}

/// `GET /sign-up/sso-callback`.
async fn sign_up_callback(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show_result(&ctx, &browser, EntryPage::SignUp, query).await)
}

/// To a start page, the query kept as it is: that page judges it.
fn redirect_to_entry(entry: EntryPage, uri: &Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    Redirect::to(&format!("{}{query}", entry.path())).into_response()
}

/// The start page, or the target for somebody who is signed in. A first visit is issued its client here, before the
/// form exists, so that the form's forgery check has something to hold on to; no row is made for it.
async fn show(
    ctx: &Ctx,
    browser: &Browser,
    entry: EntryPage,
    headers: &HeaderMap,
    query: Result<Query, Failure>,
) -> Result<Response> {
    let redirects = RedirectParams::of(ctx, entry, query)?;
    let updated = actions::client::ensure(ctx, browser.hash.as_ref()).await?;
    let mut response = match progress(ctx, &updated.client, &redirects) {
        AttemptProgress::Done => Redirect::to(&redirects.target).into_response(),
        progress => {
            let notice = FlashMessage::read(ctx, headers);
            let words = match progress {
                AttemptProgress::TooOld(_) => Some("notice.again"),
                _ => notice.map(FlashMessage::message),
            };
            let named = [("application", ctx.instance.display_name())];
            let remark = words.map_or(StartMessage::None, |key| StartMessage::FlashMessage(fill(key, &named)));
            let offered = start_page::selectable_providers(ctx).await?;
            let start = StartPage { ctx, client: &updated.client, entry, redirects: &redirects, offered: &offered };
            let mut shown = start.show(remark).await?;
            if notice.is_some() {
                cookies::set(shown.headers_mut(), &FlashMessage::clear(&ctx.instance))?;
            }
            shown
        }
    };
    set_cookies(ctx, browser, &updated, &mut response)?;
    Ok(response)
}

/// Starts a provider: on to it, or the same page again with what is wrong.
async fn begin(ctx: &Ctx, browser: &Browser, entry: EntryPage, post: FormPost) -> Result<Response> {
    let redirects = RedirectParams::of(ctx, entry, post.query)?;
    let Body(form) = post.body.map_err(|failure| failure.0)?;
    let token = browser.hash;
    let client = actions::client::read(ctx, token.as_ref()).await?;
    csrf::check(ctx, client.as_ref().map(|client| &client.id), entry.path(), &post.headers, &form)?;
    let Some(client) = client else { return Err(code::FORM_INVALID.into()) };
    let offered = start_page::selectable_providers(ctx).await?;
    let start = StartPage { ctx, client: &client, entry, redirects: &redirects, offered: &offered };
    if let Err(refused) = limits::spend(ctx, Limit::CreateAttempt) {
        let remark = StartMessage::Wait(refused.retry_after.unwrap_or(10));
        return start.show(remark).await;
    }
    let (token, ended) = end_too_old(ctx, token, &client, &redirects).await?;
    if form.text("strategy").is_none() && identifier_form::is_filled_in(&form) {
        let form_of_page = IdentifierForm { page: &start, browser };
        let mut response = form_of_page.begin(token.as_ref(), &form).await?;
        if let Some(ended) = ended {
            set_cookies(ctx, browser, &ended, &mut response)?;
        }
        return Ok(response);
    }
    let strategy = RequestedStrategy::parse(form.text("strategy").unwrap_or_default());
    let provider = offered.iter().find(|offered| strategy.provider() == Some(&offered.slug));
    let request = Request { strategy: strategy.clone(), ..Request::default() };
    let mut response = match attempt_progress::start_attempt(ctx, token.as_ref(), entry, &redirects, request).await {
        Ok((updated, url)) => {
            let mut response = redirect_page::send_to(ctx, provider, &url);
            set_cookies(ctx, browser, &updated, &mut response)?;
            response
        }
        Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
            Redirect::to(&redirects.target).into_response()
        }
        // The answer to an earlier request of this browser is on its way, or was lost.
        Err(Error::Problem(problem)) if problem.code() == code::RESOURCE_LOCKED => {
            let remark = StartMessage::Wait(problem.retry_after.unwrap_or(1));
            start.show(remark).await?
        }
        Err(Error::Problem(problem)) => {
            let remark = refused_start(&problem, provider)?;
            start.show(remark).await?
        }
        Err(fault) => return Err(fault),
    };
    if let Some(ended) = ended {
        set_cookies(ctx, browser, &ended, &mut response)?;
    }
    Ok(response)
}

/// What the page says about a refused start; refusals that are not about the provider stay errors.
fn refused_start(problem: &Problem, provider: Option<&EnabledProvider>) -> Result<StartMessage> {
    let key = reasons::of_code(problem.code().name);
    if key == reasons::TextKey::OurFault {
        return Err(problem.clone().into());
    }
    let name = provider.map(|offered| offered.name.as_str());
    Ok(StartMessage::Problem(reasons::sentence(key, name), StatusCode::UNPROCESSABLE_ENTITY))
}

/// What became of an attempt that did not end at its target. The transfers happened at the callback already.
async fn show_result(
    ctx: &Ctx,
    browser: &Browser,
    entry: EntryPage,
    query: Result<Query, Failure>,
) -> Result<Response> {
    let redirects = RedirectParams::of(ctx, entry, query)?;
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    let start = redirects.carry(entry.path());
    if let Some(step) = client.as_ref().and_then(next_step) {
        return Ok(Redirect::to(&redirects.carry(step)).into_response());
    }
    let verification = client.as_ref().and_then(provider_verification);
    let key = verification.and_then(|verification| match verification.status {
        Status::Failed => verification.error.as_ref().map(reasons::of_verification),
        Status::Verified | Status::Unverified | Status::Transferable => None,
    });
    if let (Some(key), Some(verification)) = (key, verification) {
        let offered = configured::enabled_providers(ctx).await?;
        let name = offered
            .iter()
            .find(|offered| verification.strategy.provider() == Some(&offered.slug))
            .map(|offered| offered.name.as_str());
        let refused = Refused::of_attempt(&ctx.instance, key, name, &start, &redirects.target);
        return Ok(with_provider_text(ctx, refused, verification).await.into_response());
    }
    if client.as_ref().is_some_and(|client| matches!(progress(ctx, client, &redirects), AttemptProgress::Done)) {
        return Ok(Redirect::to(&redirects.target).into_response());
    }
    let mut response = Redirect::to(&start).into_response();
    if verification.is_none() {
        cookies::set(response.headers_mut(), &FlashMessage::Expired.carry(ctx))?;
    }
    Ok(response)
}

/// The failure of `verification` for developers: what the app sees, the reason and where to look, the provider's own
/// texts.
async fn with_provider_text(ctx: &Ctx, refused: Refused, verification: &Verification) -> Refused {
    let Some(error) = verification.error.as_ref().filter(|_| ctx.instance.explains_refusals()) else { return refused };
    let said = error.get("code").and_then(Value::as_str);
    let refused = said.into_iter().fold(refused, Refused::detail);
    let refused = match reasons::read_reason(error) {
        Some((reason, detail)) => {
            let slug = verification.strategy.provider().map(ProviderSlug::as_str);
            refused.explained(&ctx.instance, reason, detail, slug)
        }
        None => refused,
    };
    flow_reader::provider_error_text(ctx).await.into_iter().fold(refused, Refused::detail)
}

/// Where an attempt goes on that a provider's answer did not finish.
fn next_step(client: &Client) -> Option<&'static str> {
    let is_good = |verification: Option<&Verification>| {
        verification.is_some_and(|verification| verification.status == Status::Verified)
    };
    if let Some(attempt) = &client.sign_in {
        if attempt.status == sign_in::Status::NeedsNewPassword {
            return Some(page_request::RESET);
        }
        let waits = attempt.status == sign_in::Status::NeedsFirstFactor && attempt.has_pending_account;
        return waits.then_some("/sign-in/link");
    }
    let attempt = client.sign_up.as_ref().filter(|attempt| attempt.status == sign_up::Status::MissingRequirements)?;
    is_good(attempt.external_account.as_ref()).then_some(page_request::CONTINUE)
}
