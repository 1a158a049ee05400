//! `/sign-in/factor-one` and `/sign-in/link`: a first factor is proven, for a sign-in by hand and for a provider's identity
//! that is to be joined to an account.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::code_view::{CodePage, Method, Step, Waits};
use super::landing::Door;
use super::messages::fill;
use super::outcome::page;
use super::steps::{self, Turn};
use crate::context::Ctx;
use crate::flows;
use crate::flows::email_link;
use crate::flows::sign_in::first_factor::{self, Prepare};
use crate::flows::sign_in::password;
use crate::model::client::SignIn;
use crate::model::email::EmailAddress;
use crate::model::factor::{Factor, RESET};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::verification::{Status, Verification};

const FACTOR_ONE: &str = "/sign-in/factor-one";
const LINK: &str = "/sign-in/link";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        get(FACTOR_ONE, Rules::PAGE, show_factor_one),
        post(FACTOR_ONE, Rules::PAGE, post_factor_one),
        get(LINK, Rules::PAGE, show_link),
        post(LINK, Rules::PAGE, post_link),
    ]
}

/// `GET /sign-in/factor-one`.
async fn show_factor_one(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show(&ctx, &browser, Step::FactorOne, query).await)
}

/// `GET /sign-in/link`.
async fn show_link(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show(&ctx, &browser, Step::Link, query).await)
}

/// `POST /sign-in/factor-one`.
async fn post_factor_one(
    ctx: Ctx,
    browser: Browser,
    headers: HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Response {
    page(&ctx, act(&ctx, &browser, Step::FactorOne, &headers, query, body).await)
}

/// `POST /sign-in/link`.
async fn post_link(
    ctx: Ctx,
    browser: Browser,
    headers: HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Response {
    page(&ctx, act(&ctx, &browser, Step::Link, &headers, query, body).await)
}

fn path(step: Step) -> &'static str {
    if step == Step::Link { LINK } else { FACTOR_ONE }
}

/// The attempt that this step is about.
fn waiting<'a>(turn: &'a Turn<'_>) -> Option<&'a SignIn> {
    turn.client.sign_in.as_ref().filter(|attempt| attempt.status == "needs_first_factor")
}

/// A proof by mail that is still wanted.
fn live<'a>(ctx: &Ctx, attempt: &'a SignIn) -> Option<&'a Verification> {
    let proof = attempt.first_factor.as_ref().filter(|proof| proof.strategy.starts_with("email_"));
    proof.filter(|proof| proof.status == Status::Unverified && proof.expires_at > ctx.now)
}

async fn show(ctx: &Ctx, browser: &Browser, step: Step, query: Result<Query, Failure>) -> Result<Response> {
    let turn = Turn::open(ctx, browser, Door::SignIn, query).await?;
    let Some((turn, attempt)) = turn.as_ref().and_then(|turn| Some((turn, waiting(turn)?))) else {
        return steps::nothing_here(ctx, turn.as_ref(), Door::SignIn);
    };
    if email_link::waits(attempt.first_factor.as_ref(), &attempt.status) {
        let done = email_link::finish_elsewhere_opened(ctx, turn.token().as_ref(), attempt.id.as_str()).await?;
        if let Some(acted) = done {
            return steps::go_on_signing_in(ctx, browser, &turn.landing, &acted);
        }
    }
    let waits = match live(ctx, attempt).map(|proof| proof.strategy.as_str()) {
        Some("email_link") => Waits::Link,
        Some(_) => Waits::Code,
        None if has_password(attempt) => Waits::Password,
        None => Waits::Method,
    };
    Ok(shown(turn, attempt, step, waits))
}

fn has_password(attempt: &SignIn) -> bool {
    attempt.first_factors.iter().flatten().any(|factor| factor.strategy == "password")
}

fn shown(turn: &Turn<'_>, attempt: &SignIn, step: Step, waits: Waits) -> Response {
    let path = path(step);
    let factors = attempt.first_factors.as_deref().unwrap_or_default();
    let known = live(turn.ctx, attempt).and_then(|proof| proof.address.as_deref()).and_then(EmailAddress::parse);
    let first = factors.iter().find_map(|factor| factor.address.as_ref()).map(|address| address.value.clone());
    let page = CodePage {
        instance: &turn.ctx.instance,
        step,
        waits,
        address: known.or(first).map(|address| address.masked()).unwrap_or_default(),
        action: turn.landing.carry(path),
        csrf: turn.csrf(path),
        methods: factors.iter().filter_map(method).collect(),
        forgot: factors.iter().any(|factor| factor.strategy == RESET).then(|| turn.landing.carry(steps::RESET)),
        other_href: turn.landing.carry(Door::SignIn.path()),
        form_action: turn.landing.form_target().into_iter().collect(),
    };
    page.render()
}

/// A factor as a button. Providers stand on the start page; a password is typed, and a forgotten one has a page of its own.
pub(super) fn method(factor: &Factor) -> Option<Method> {
    let address = factor.address.as_ref().filter(|_| factor.strategy != RESET)?;
    let key = if factor.strategy == "email_link" { "code.method_link" } else { "code.method_code" };
    let label = fill(key, &[("address", &address.value.masked())]);
    Some(Method { value: format!("{}:{}", factor.strategy, address.id), label })
}

async fn act(
    ctx: &Ctx,
    browser: &Browser,
    step: Step,
    headers: &HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Result<Response> {
    let (turn, form) = Turn::posted(ctx, browser, (Door::SignIn, path(step)), headers, query, body).await?;
    let Some(attempt) = waiting(&turn) else { return steps::nothing_here(ctx, Some(&turn), Door::SignIn) };
    let outcome = match (form.text("code"), form.text("password")) {
        (Some(guess), _) => check(&turn, attempt, guess.trim()).await,
        (None, Some(typed)) => check_password(&turn, attempt, typed).await,
        (None, None) => send(&turn, attempt, step, &form).await,
    };
    match outcome {
        Err(Error::Problem(problem)) if steps::is_over(&problem) => steps::nothing_here(ctx, Some(&turn), Door::SignIn),
        Err(Error::Problem(problem)) if is_about_the_proof(&problem) => {
            // The count that the guess left behind is read again.
            let fresh = flows::client::read(ctx, browser.hash(ctx).as_ref()).await?;
            let proof = fresh.as_ref().and_then(|client| client.sign_in.as_ref()?.first_factor.as_ref());
            let waits = match form.text("password") {
                Some(_) => Waits::after_password(&problem),
                None => Waits::after(&problem, proof),
            };
            Ok(shown(&turn, attempt, step, waits))
        }
        other => other,
    }
}

/// True for refusals that leave the person on this page.
pub(super) fn is_about_the_proof(problem: &Problem) -> bool {
    let stays = [
        code::FORM_CODE_INCORRECT,
        code::FORM_PASSWORD_INCORRECT,
        code::ACCOUNT_LOCKOUT_WARNING,
        code::VERIFICATION_EXPIRED,
        code::VERIFICATION_FAILED,
        code::VERIFICATION_MISSING,
        code::VERIFICATION_ALREADY_VERIFIED,
        code::VERIFICATION_CODE_TOO_MANY_REQUESTS,
        code::TOO_MANY_REQUESTS,
    ];
    stays.contains(&problem.code())
}

async fn check(turn: &Turn<'_>, attempt: &SignIn, guess: &str) -> Result<Response> {
    turn.spend_try()?;
    let id = attempt.id.as_str();
    let acted = first_factor::attempt_code(turn.ctx, turn.token().as_ref(), id, "email_code", Some(guess)).await?;
    steps::go_on_signing_in(turn.ctx, turn.browser, &turn.landing, &acted)
}

async fn check_password(turn: &Turn<'_>, attempt: &SignIn, typed: &str) -> Result<Response> {
    turn.spend_try()?;
    let done = password::attempt(turn.ctx, turn.token().as_ref(), attempt.id.as_str(), typed).await?;
    steps::go_on_signing_in(turn.ctx, turn.browser, &turn.landing, &done.acted)
}

/// Sends what was chosen, or the same once more.
async fn send(turn: &Turn<'_>, attempt: &SignIn, step: Step, form: &Params) -> Result<Response> {
    let proof = live(turn.ctx, attempt);
    let is_again = form.text("send").is_some();
    let (strategy, address) = match form.text("method").and_then(|method| method.split_once(':')) {
        Some((strategy, address)) => (strategy, Some(address)),
        None => (proof.map_or("email_code", |proof| proof.strategy.as_str()), None),
    };
    let landed = turn.ctx.instance.url(&turn.landing.carry("/sign-in/verify"));
    let prepare = Prepare { strategy, address, redirect_url: Some(&landed) };
    first_factor::prepare(turn.ctx, turn.token().as_ref(), attempt.id.as_str(), prepare).await?;
    if is_again && strategy == "email_code" {
        return Ok(shown(turn, attempt, step, Waits::CodeAgain));
    }
    Ok(Redirect::to(&turn.landing.carry(path(step))).into_response())
}

/// Sends the first code of a sign-in that was begun by hand, if a code is its first way in. What cannot be sent now can be
/// asked for on the page.
///
/// # Errors
/// Storage faults.
pub async fn send_first(ctx: &Ctx, browser: &Browser, acted: &crate::flows::client::Acted) -> Result<()> {
    let Some(attempt) = &acted.client.sign_in else { return Ok(()) };
    let first = attempt.first_factors.as_deref().unwrap_or_default().first();
    if first.is_none_or(|factor| factor.strategy != "email_code") {
        return Ok(());
    }
    let prepare = Prepare { strategy: "email_code", address: None, redirect_url: None };
    let token = steps::token_after(ctx, browser, acted);
    match first_factor::prepare(ctx, token.as_ref(), attempt.id.as_str(), prepare).await {
        Ok(_) | Err(Error::Problem(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}
