//! `/sign-in/factor-one` and `/sign-in/link`: a first factor is verified, for a sign-in with an identifier and for a
//! provider's identity that is to be joined to an account.

use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::code_view::{CodePage, CodePageState, Method, Step};
use super::form_post::FormPost;
use super::messages::fill;
use super::outcome::page;
use super::page_request::{self, PageRequest};
use super::redirect_params::EntryPage;
use crate::actions;
use crate::actions::email_link;
use crate::actions::sign_in::first_factor::{self, Prepare};
use crate::actions::sign_in::password;
use crate::context::Ctx;
use crate::model::client::SignIn;
use crate::model::email::EmailAddress;
use crate::model::factor::Factor;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::sign_in;
use crate::model::strategy::{RequestedStrategy, Strategy};
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
async fn post_factor_one(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, act(&ctx, &browser, Step::FactorOne, post).await)
}

/// `POST /sign-in/link`.
async fn post_link(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, act(&ctx, &browser, Step::Link, post).await)
}

fn path(step: Step) -> &'static str {
    if step == Step::Link { LINK } else { FACTOR_ONE }
}

/// The attempt that this step is about.
fn waiting<'a>(page: &'a PageRequest<'_>) -> Option<&'a SignIn> {
    page.client.sign_in.as_ref().filter(|attempt| attempt.status == sign_in::Status::NeedsFirstFactor)
}

/// A verification by mail that is still wanted.
fn pending_verification<'a>(ctx: &Ctx, attempt: &'a SignIn) -> Option<&'a Verification> {
    let by_mail =
        |verification: &&Verification| matches!(verification.strategy, Strategy::EmailCode | Strategy::EmailLink);
    let verification = attempt.first_factor.as_ref().filter(by_mail);
    verification.filter(|verification| verification.status == Status::Unverified && verification.expires_at > ctx.now)
}

async fn show(ctx: &Ctx, browser: &Browser, step: Step, query: Result<Query, Failure>) -> Result<Response> {
    let page = PageRequest::open(ctx, browser, EntryPage::SignIn, query).await?;
    let Some((page, attempt)) = page.as_ref().and_then(|page| Some((page, waiting(page)?))) else {
        return page_request::nothing_here(ctx, page.as_ref(), EntryPage::SignIn);
    };
    if attempt.waits_for_opened_link() {
        let done = email_link::finish_elsewhere_opened(ctx, page.token().as_ref(), attempt.id.as_str()).await?;
        if let Some(updated) = done {
            return page_request::continue_sign_in(ctx, browser, &page.redirects, &updated);
        }
    }
    let waits = match pending_verification(ctx, attempt).map(|verification| &verification.strategy) {
        Some(Strategy::EmailLink) => CodePageState::Link,
        Some(_) => CodePageState::Code,
        None if has_password(attempt) => CodePageState::Password,
        None => CodePageState::Method,
    };
    Ok(shown(page, attempt, step, waits))
}

fn has_password(attempt: &SignIn) -> bool {
    attempt.first_factors.iter().flatten().any(|factor| factor.strategy == Strategy::Password)
}

fn shown(page: &PageRequest<'_>, attempt: &SignIn, step: Step, waits: CodePageState) -> Response {
    let path = path(step);
    let factors = attempt.first_factors.as_deref().unwrap_or_default();
    let known = pending_verification(page.ctx, attempt)
        .and_then(|verification| verification.address.as_deref())
        .and_then(EmailAddress::parse);
    let first = factors.iter().find_map(|factor| factor.address.as_ref()).map(|address| address.value.clone());
    let page = CodePage {
        instance: &page.ctx.instance,
        step,
        waits,
        address: known.or(first).map(|address| address.masked()).unwrap_or_default(),
        action: page.redirects.carry(path),
        csrf: page.csrf(path),
        methods: factors.iter().filter_map(method).collect(),
        forgot: factors
            .iter()
            .any(|factor| factor.strategy == Strategy::ResetPasswordEmailCode)
            .then(|| page.redirects.carry(page_request::RESET)),
        other_href: page.redirects.carry(EntryPage::SignIn.path()),
        form_action: page.redirects.form_target().into_iter().collect(),
    };
    page.render()
}

/// A factor as a button. Providers stand on the start page; a password is typed, and a forgotten one has a page of its
/// own.
pub(super) fn method(factor: &Factor) -> Option<Method> {
    let address = factor.address.as_ref().filter(|_| factor.strategy != Strategy::ResetPasswordEmailCode)?;
    let key = if factor.strategy == Strategy::EmailLink { "code.method_link" } else { "code.method_code" };
    let label = fill(key, &[("address", &address.value.masked())]);
    Some(Method { value: format!("{}:{}", factor.strategy, address.id), label })
}

async fn act(ctx: &Ctx, browser: &Browser, step: Step, post: FormPost) -> Result<Response> {
    let (page, form) = PageRequest::posted(ctx, browser, EntryPage::SignIn, path(step), post).await?;
    let Some(attempt) = waiting(&page) else { return page_request::nothing_here(ctx, Some(&page), EntryPage::SignIn) };
    let outcome = match (form.text("code"), form.text("password")) {
        (Some(guess), _) => check(&page, attempt, guess.trim()).await,
        (None, Some(typed)) => check_password(&page, attempt, typed).await,
        (None, None) => send(&page, attempt, step, &form).await,
    };
    match outcome {
        Err(Error::Problem(problem)) if page_request::is_over(&problem) => {
            page_request::nothing_here(ctx, Some(&page), EntryPage::SignIn)
        }
        Err(Error::Problem(problem)) if is_about_verification(&problem) => {
            // The count that the guess left behind is read again.
            let fresh = actions::client::read(ctx, browser.hash.as_ref()).await?;
            let verification = fresh.as_ref().and_then(|client| client.sign_in.as_ref()?.first_factor.as_ref());
            let waits = match form.text("password") {
                Some(_) => CodePageState::after_password(&problem),
                None => CodePageState::after(&problem, verification),
            };
            Ok(shown(&page, attempt, step, waits))
        }
        other => other,
    }
}

/// True for refusals that leave the person on this page.
pub(super) fn is_about_verification(problem: &Problem) -> bool {
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

async fn check(page: &PageRequest<'_>, attempt: &SignIn, guess: &str) -> Result<Response> {
    page.spend_guess()?;
    let id = attempt.id.as_str();
    let strategy = Strategy::EmailCode.into();
    let updated = first_factor::attempt_code(page.ctx, page.token().as_ref(), id, &strategy, Some(guess)).await?;
    page_request::continue_sign_in(page.ctx, page.browser, &page.redirects, &updated)
}

async fn check_password(page: &PageRequest<'_>, attempt: &SignIn, typed: &str) -> Result<Response> {
    page.spend_guess()?;
    let done = password::attempt(page.ctx, page.token().as_ref(), attempt.id.as_str(), typed).await?;
    page_request::continue_sign_in(page.ctx, page.browser, &page.redirects, &done.updated)
}

/// Sends what was chosen, or the same once more.
async fn send(page: &PageRequest<'_>, attempt: &SignIn, step: Step, form: &Params) -> Result<Response> {
    let verification = pending_verification(page.ctx, attempt);
    let is_again = form.text("send").is_some();
    let (strategy, address) = match form.text("method").and_then(|method| method.split_once(':')) {
        Some((strategy, address)) => (RequestedStrategy::parse(strategy), Some(address)),
        None => (verification.map_or(Strategy::EmailCode, |verification| verification.strategy.clone()).into(), None),
    };
    let verify_url = page.ctx.instance.url(&page.redirects.carry("/sign-in/verify"));
    let prepare = Prepare { strategy: &strategy, address, redirect_url: Some(&verify_url) };
    first_factor::prepare(page.ctx, page.token().as_ref(), attempt.id.as_str(), prepare).await?;
    if is_again && strategy.known() == Some(&Strategy::EmailCode) {
        return Ok(shown(page, attempt, step, CodePageState::CodeAgain));
    }
    Ok(Redirect::to(&page.redirects.carry(path(step))).into_response())
}

/// Sends the first code of a sign-in that was begun with an identifier, if a code is its first factor. What cannot be
/// sent now can be asked for on the page.
///
/// # Errors
/// Storage faults.
pub async fn send_first(ctx: &Ctx, browser: &Browser, updated: &crate::actions::client::ClientUpdate) -> Result<()> {
    let Some(attempt) = &updated.client.sign_in else { return Ok(()) };
    let first = attempt.first_factors.as_deref().unwrap_or_default().first();
    if first.is_none_or(|factor| factor.strategy != Strategy::EmailCode) {
        return Ok(());
    }
    let strategy = Strategy::EmailCode.into();
    let prepare = Prepare { strategy: &strategy, address: None, redirect_url: None };
    let token = page_request::token_after(browser, updated);
    match first_factor::prepare(ctx, token.as_ref(), attempt.id.as_str(), prepare).await {
        Ok(_) | Err(Error::Problem(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}
