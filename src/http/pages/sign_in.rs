//! `/sign-in` and `/sign-up`: the start pages, and the page of a flow that came back without a session.

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use super::super::cookies;
use super::super::extract::{Body, Browser, Query};
use super::super::problem::Failure;
use super::super::route::{Limit, Route, Rules, get, post};
use super::attempt::{self, Standing, end_too_old, proof, standing};
use super::by_hand::{self, ByHand};
use super::error::Refused;
use super::landing::{Door, Landing};
use super::messages::fill;
use super::notice::Notice;
use super::outcome::{hand_over, page};
use super::start::Remark;
use super::{csrf, onward, reasons, start_page, steps};
use crate::context::Ctx;
use crate::flows;
use crate::flows::configured::{self, Offered};
use crate::flows::departure::Request;
use crate::flows::inspector;
use crate::model::client::Client;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::verification::{Status, Verification};

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
    page(&ctx, show(&ctx, &browser, Door::SignIn, &headers, query).await)
}

/// `GET /sign-up`.
async fn sign_up(ctx: Ctx, browser: Browser, headers: HeaderMap, query: Result<Query, Failure>) -> Response {
    page(&ctx, show(&ctx, &browser, Door::SignUp, &headers, query).await)
}

/// `POST /sign-in`.
async fn start_sign_in(
    ctx: Ctx,
    browser: Browser,
    headers: HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Response {
    page(&ctx, begin(&ctx, &browser, Door::SignIn, &headers, query, body).await)
}

/// `POST /sign-up`.
async fn start_sign_up(
    ctx: Ctx,
    browser: Browser,
    headers: HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Response {
    page(&ctx, begin(&ctx, &browser, Door::SignUp, &headers, query, body).await)
}

/// `GET /sign-in/create`: the SDK's name for signing up.
async fn sign_in_create(uri: Uri) -> Response {
    elsewhere(Door::SignUp, &uri)
}

/// `GET /sign-in/tasks`: no session has tasks yet.
async fn sign_in_tasks(uri: Uri) -> Response {
    elsewhere(Door::SignIn, &uri)
}

/// `GET /sign-in/sso-callback`.
async fn sign_in_callback(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, came_back(&ctx, &browser, Door::SignIn, query).await)
}

/// `GET /sign-up/sso-callback`.
async fn sign_up_callback(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, came_back(&ctx, &browser, Door::SignUp, query).await)
}

/// To a start page, the query kept as it is: that page judges it.
fn elsewhere(door: Door, uri: &Uri) -> Response {
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    Redirect::to(&format!("{}{query}", door.path())).into_response()
}

/// The start page, or the target for somebody who is signed in. A first visit is issued its client here, before the form
/// exists, so that the form's forgery check has something to hold on to; no row is made for it.
async fn show(
    ctx: &Ctx,
    browser: &Browser,
    door: Door,
    headers: &HeaderMap,
    query: Result<Query, Failure>,
) -> Result<Response> {
    let landing = Landing::of(ctx, door, query)?;
    let acted = flows::client::ensure(ctx, browser.hash(ctx).as_ref()).await?;
    let mut response = match standing(ctx, &acted.client, &landing) {
        Standing::Done => Redirect::to(&landing.target).into_response(),
        standing => {
            let notice = Notice::read(ctx, headers);
            let words = match standing {
                Standing::TooOld(_) => Some("notice.again"),
                _ => notice.map(Notice::message),
            };
            let named = [("application", ctx.instance.display_name())];
            let remark = words.map_or(Remark::None, |key| Remark::Notice(fill(key, &named)));
            let offered = start_page::offered(ctx).await?;
            let mut shown = start_page(ctx, &acted.client, door, &landing, &offered, remark).await?;
            if notice.is_some() {
                cookies::set(shown.headers_mut(), &Notice::clear(&ctx.instance))?;
            }
            shown
        }
    };
    hand_over(ctx, browser, &acted, &mut response)?;
    Ok(response)
}

/// Starts a provider: on to it, or the same page again with what is wrong.
async fn begin(
    ctx: &Ctx,
    browser: &Browser,
    door: Door,
    headers: &HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Result<Response> {
    let landing = Landing::of(ctx, door, query)?;
    let Body(form) = body.map_err(|failure| failure.0)?;
    let token = browser.hash(ctx);
    let client = flows::client::read(ctx, token.as_ref()).await?;
    csrf::check(ctx, client.as_ref().map(|client| &client.id), door.path(), headers, &form)?;
    let Some(client) = client else { return Err(code::FORM_INVALID.into()) };
    let offered = start_page::offered(ctx).await?;
    if let Err(refused) = ctx.app.limits.spend(Limit::CreateAttempt, &ctx.instance, ctx.from.ip) {
        let remark = Remark::Wait(refused.retry_after.unwrap_or(10));
        return start_page(ctx, &client, door, &landing, &offered, remark).await;
    }
    let (token, ended) = end_too_old(ctx, token, &client, &landing).await?;
    if form.text("strategy").is_none() && by_hand::is_filled_in(&form) {
        let turn = ByHand { ctx, browser, door, landing: &landing, client: &client, offered: &offered };
        let mut response = turn.begin(token.as_ref(), &form).await?;
        if let Some(ended) = ended {
            hand_over(ctx, browser, &ended, &mut response)?;
        }
        return Ok(response);
    }
    let strategy = form.text("strategy").unwrap_or_default();
    let request = Request { strategy, ..Request::default() };
    let mut response = match attempt::begin(ctx, token.as_ref(), door, &landing, request).await {
        Ok((acted, url)) => {
            let provider = offered.iter().find(|offered| offered.strategy == strategy);
            let mut response = onward::send_to(ctx, provider, &url);
            hand_over(ctx, browser, &acted, &mut response)?;
            response
        }
        Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
            Redirect::to(&landing.target).into_response()
        }
        // The answer to an earlier request of this browser is on its way, or was lost.
        Err(Error::Problem(problem)) if problem.code() == code::RESOURCE_LOCKED => {
            let remark = Remark::Wait(problem.retry_after.unwrap_or(1));
            start_page(ctx, &client, door, &landing, &offered, remark).await?
        }
        Err(Error::Problem(problem)) => {
            let remark = refused_start(&problem, strategy, &offered)?;
            start_page(ctx, &client, door, &landing, &offered, remark).await?
        }
        Err(fault) => return Err(fault),
    };
    if let Some(ended) = ended {
        hand_over(ctx, browser, &ended, &mut response)?;
    }
    Ok(response)
}

/// What the page says about a refused start; refusals that are not about the provider stay errors.
fn refused_start(problem: &Problem, strategy: &str, offered: &[Offered]) -> Result<Remark> {
    let key = reasons::of_code(problem.code().name);
    if key == "our_fault" {
        return Err(problem.clone().into());
    }
    let name = offered.iter().find(|offered| offered.strategy == strategy).map(|offered| offered.name.as_str());
    Ok(Remark::Problem(reasons::sentence(key, name), StatusCode::UNPROCESSABLE_ENTITY))
}

/// What became of an attempt that did not end at its target. The transfers happened at the callback already.
async fn came_back(ctx: &Ctx, browser: &Browser, door: Door, query: Result<Query, Failure>) -> Result<Response> {
    let landing = Landing::of(ctx, door, query)?;
    let client = flows::client::read(ctx, browser.hash(ctx).as_ref()).await?;
    let start = landing.carry(door.path());
    if let Some(step) = client.as_ref().and_then(next_step) {
        return Ok(Redirect::to(&landing.carry(step)).into_response());
    }
    let proof = client.as_ref().and_then(proof);
    let key = proof.and_then(|proof| match proof.status {
        Status::Failed => proof.error.as_ref().map(reasons::of_proof),
        Status::Verified | Status::Unverified | Status::Transferable => None,
    });
    if let (Some(key), Some(proof)) = (key, proof) {
        let offered = configured::offered(ctx).await?;
        let name =
            offered.iter().find(|offered| offered.strategy == proof.strategy).map(|offered| offered.name.as_str());
        let refused = Refused::of_attempt(&ctx.instance, key, name, &start, &landing.target);
        return Ok(explained(ctx, refused, proof).await.into_response());
    }
    if client.as_ref().is_some_and(|client| matches!(standing(ctx, client, &landing), Standing::Done)) {
        return Ok(Redirect::to(&landing.target).into_response());
    }
    let mut response = Redirect::to(&start).into_response();
    if proof.is_none() {
        cookies::set(response.headers_mut(), &Notice::Expired.carry(ctx))?;
    }
    Ok(response)
}

/// The failure of `proof` for developers: what the app sees, the reason and where to look, the provider's own words.
async fn explained(ctx: &Ctx, refused: Refused, proof: &Verification) -> Refused {
    let Some(error) = proof.error.as_ref().filter(|_| ctx.instance.explains_refusals()) else { return refused };
    let said = error.get("code").and_then(Value::as_str);
    let refused = said.into_iter().fold(refused, Refused::detail);
    let refused = match reasons::noted(error) {
        Some((reason, detail)) => {
            let slug = proof.strategy.strip_prefix("oauth_");
            refused.explained(&ctx.instance, reason, detail, slug)
        }
        None => refused,
    };
    inspector::words_of_provider(ctx).await.into_iter().fold(refused, Refused::detail)
}

/// Where an attempt goes on that a provider's answer did not finish.
fn next_step(client: &Client) -> Option<&'static str> {
    let is_good = |proof: Option<&Verification>| proof.is_some_and(|proof| proof.status == Status::Verified);
    if let Some(attempt) = &client.sign_in {
        if attempt.status == "needs_new_password" {
            return Some(steps::RESET);
        }
        let waits = attempt.status == "needs_first_factor" && attempt.has_pending_account;
        return waits.then_some("/sign-in/link");
    }
    let attempt = client.sign_up.as_ref().filter(|attempt| attempt.status == "missing_requirements")?;
    is_good(attempt.external_account.as_ref()).then_some(steps::CONTINUE)
}

async fn start_page(
    ctx: &Ctx,
    client: &Client,
    door: Door,
    landing: &Landing,
    offered: &[Offered],
    remark: Remark,
) -> Result<Response> {
    start_page::show(ctx, client, door, landing, offered, by_hand::fields(ctx, door), remark).await
}
