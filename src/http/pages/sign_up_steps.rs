//! `/sign-up/continue` and `/sign-up/verify-email-address`: what a sign-up lacks, and the code that verifies its
//! address.

use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::super::status;
use super::super::typed::typed;
use super::code_view::{CodePage, CodePageState, Method, Step};
use super::fields_view::{Continue, Field};
use super::form_post::FormPost;
use super::messages::fill;
use super::outcome::page;
use super::page_request::{self, CONTINUE, PageRequest, VERIFY};
use super::redirect_params::EntryPage;
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::configured;
use crate::actions::email_link;
use crate::actions::sign_up::{change, verify};
use crate::context::Ctx;
use crate::model::client::SignUp;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::sign_up;
use crate::model::strategy::Strategy;
use crate::model::verification::Status;

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![
        get(CONTINUE, Rules::PAGE, show_continue),
        post(CONTINUE, Rules::PAGE, post_continue),
        get(VERIFY, Rules::PAGE, show_verify),
        post(VERIFY, Rules::PAGE, post_verify),
    ]
}

/// `GET /sign-up/continue`.
async fn show_continue(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, lacks(&ctx, &browser, query).await)
}

/// `POST /sign-up/continue`.
async fn post_continue(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, fill_in(&ctx, &browser, post).await)
}

/// `GET /sign-up/verify-email-address`.
async fn show_verify(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, wants_code(&ctx, &browser, query).await)
}

/// `POST /sign-up/verify-email-address`.
async fn post_verify(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, act(&ctx, &browser, post).await)
}

/// The attempt that these steps are about.
fn waiting<'a>(page: &'a PageRequest<'_>) -> Option<&'a SignUp> {
    page.client.sign_up.as_ref().filter(|attempt| attempt.status == sign_up::Status::MissingRequirements)
}

async fn lacks(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let page = PageRequest::open(ctx, browser, EntryPage::SignUp, query).await?;
    let Some((page, attempt)) = page.as_ref().and_then(|page| Some((page, waiting(page)?))) else {
        return page_request::nothing_here(ctx, page.as_ref(), EntryPage::SignUp);
    };
    if attempt.fields.as_ref().is_some_and(|fields| fields.missing.is_empty()) {
        return Ok(Redirect::to(&page.redirects.carry(VERIFY)).into_response());
    }
    form(page, attempt, None, None).await
}

/// The fields that are missing, with what was typed and what is wrong with it.
async fn form(
    page: &PageRequest<'_>,
    attempt: &SignUp,
    sent: Option<&Params>,
    problem: Option<&Problem>,
) -> Result<Response> {
    let missing = attempt.fields.clone().unwrap_or_default().missing;
    let rules = &page.ctx.instance.settings.attributes.password;
    let fields = missing.iter().filter_map(|field| Field::chosen(field.as_str(), true, rules)).collect();
    let (fields, other) = with_problem(fields, sent, problem);
    let wait =
        problem.filter(|problem| status::of_problem(problem) == 429).map(|problem| problem.retry_after.unwrap_or(10));
    let page = Continue {
        instance: &page.ctx.instance,
        begun_with: describe_account(page.ctx, attempt).await?,
        fields,
        problem: other,
        wait,
        action: page.redirects.carry(CONTINUE),
        csrf: page.csrf(CONTINUE),
        other_href: page.redirects.carry(EntryPage::SignUp.path()),
        form_action: page.redirects.form_target().into_iter().collect(),
    };
    Ok(page.render())
}

/// Fields with what was typed into them, and the problem under its field, or by itself.
pub fn with_problem(
    mut fields: Vec<Field>,
    sent: Option<&Params>,
    problem: Option<&Problem>,
) -> (Vec<Field>, Option<String>) {
    let item = problem.and_then(|problem| problem.errors.first());
    let at = item.and_then(|item| item.meta.get("param_name")).and_then(|name| name.as_str());
    let sentence = item.map(|item| item.long_message.clone());
    for field in &mut fields {
        *field = field.clone().typed(sent.and_then(|sent| sent.text(field.name)));
        field.problem = sentence.clone().filter(|_| at == Some(field.name));
    }
    let is_sent = fields.iter().any(|field| field.problem.is_some());
    (fields, sentence.filter(|_| !is_sent))
}

/// "Google as Ada", where the sign-up began with a provider.
async fn describe_account(ctx: &Ctx, attempt: &SignUp) -> Result<Option<String>> {
    let Some(verification) =
        attempt.external_account.as_ref().filter(|verification| verification.status == Status::Verified)
    else {
        return Ok(None);
    };
    let offered = configured::enabled_providers(ctx).await?;
    let name = offered
        .iter()
        .find(|offered| verification.strategy.provider() == Some(&offered.slug))
        .map(|offered| offered.name.clone());
    let who = attempt.provider_profile.as_ref().and_then(|profile| {
        profile.username.clone().or_else(|| profile.first_name.clone()).or_else(|| profile.email.clone())
    });
    Ok(name.map(|name| who.map_or(name.clone(), |who| format!("{name} ({who})"))))
}

async fn fill_in(ctx: &Ctx, browser: &Browser, post: FormPost) -> Result<Response> {
    let (page, sent) = PageRequest::posted(ctx, browser, EntryPage::SignUp, CONTINUE, post).await?;
    let Some(attempt) = waiting(&page) else { return page_request::nothing_here(ctx, Some(&page), EntryPage::SignUp) };
    // What is typed may be somebody's address, and a password costs its digest: as by the API, five in ten seconds.
    let changed = match page.spend_start().and_then(|()| typed(&sent)) {
        Ok(typed) => change::change(ctx, page.token().as_ref(), attempt.id.as_str(), &typed, None).await,
        Err(problem) => Err(problem.into()),
    };
    match changed {
        Ok(updated) => page_request::continue_sign_up(ctx, browser, &page.redirects, &updated).await,
        Err(Error::Problem(problem)) if page_request::is_over(&problem) => {
            page_request::nothing_here(ctx, Some(&page), EntryPage::SignUp)
        }
        Err(Error::Problem(problem)) if matches!(status::of_problem(&problem).as_u16(), 422 | 429) => {
            form(&page, attempt, Some(&sent), Some(&problem)).await
        }
        Err(error) => Err(error),
    }
}

async fn wants_code(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let page = PageRequest::open(ctx, browser, EntryPage::SignUp, query).await?;
    let Some((page, attempt)) = page.as_ref().and_then(|page| Some((page, waiting(page)?))) else {
        return page_request::nothing_here(ctx, page.as_ref(), EntryPage::SignUp);
    };
    if attempt.waits_for_opened_link() {
        let done = email_link::finish_elsewhere_opened(ctx, page.token().as_ref(), attempt.id.as_str()).await?;
        if let Some(updated) = done {
            return page_request::continue_sign_up(ctx, browser, &page.redirects, &updated).await;
        }
    }
    let verification = attempt.email_verification.as_ref();
    let is_live = verification
        .is_some_and(|verification| verification.status == Status::Unverified && verification.expires_at > ctx.now);
    Ok(code_page(page, attempt, if is_live { CodePageState::Code } else { CodePageState::Method }))
}

fn code_page(page: &PageRequest<'_>, attempt: &SignUp, waits: CodePageState) -> Response {
    let address = attempt.email_address.clone().unwrap_or_default();
    let label = fill("code.method_code", &[("address", &address)]);
    let page = CodePage {
        instance: &page.ctx.instance,
        step: Step::VerifyEmail,
        waits,
        address,
        action: page.redirects.carry(VERIFY),
        csrf: page.csrf(VERIFY),
        methods: vec![Method { value: format!("{}:", Strategy::EmailCode), label }],
        forgot: None,
        other_href: page.redirects.carry(EntryPage::SignUp.path()),
        form_action: page.redirects.form_target().into_iter().collect(),
    };
    page.render()
}

async fn act(ctx: &Ctx, browser: &Browser, post: FormPost) -> Result<Response> {
    let (page, sent) = PageRequest::posted(ctx, browser, EntryPage::SignUp, VERIFY, post).await?;
    let Some(attempt) = waiting(&page) else { return page_request::nothing_here(ctx, Some(&page), EntryPage::SignUp) };
    let outcome = match sent.text("code") {
        Some(guess) => check(&page, attempt, guess.trim()).await.map(Some),
        None => {
            let token = page.token();
            let strategy = Strategy::EmailCode.into();
            let sent = verify::prepare(ctx, token.as_ref(), attempt.id.as_str(), &strategy, None).await;
            sent.map(|_| None)
        }
    };
    match outcome {
        Ok(Some(updated)) => page_request::continue_sign_up(ctx, browser, &page.redirects, &updated).await,
        Ok(None) => Ok(code_page(&page, attempt, CodePageState::CodeAgain)),
        Err(Error::Problem(problem)) if page_request::is_over(&problem) => {
            page_request::nothing_here(ctx, Some(&page), EntryPage::SignUp)
        }
        Err(Error::Problem(problem)) if problem.code() == code::VERIFICATION_ALREADY_VERIFIED => {
            Ok(Redirect::to(&page.redirects.carry(CONTINUE)).into_response())
        }
        Err(Error::Problem(problem))
            if matches!(status::of_problem(&problem).as_u16(), 422 | 429) || is_dead(&problem) =>
        {
            let fresh = actions::client::read(ctx, browser.hash.as_ref()).await?;
            let verification = fresh.as_ref().and_then(|client| client.sign_up.as_ref()?.email_verification.as_ref());
            Ok(code_page(&page, attempt, CodePageState::after(&problem, verification)))
        }
        Err(error) => Err(error),
    }
}

fn is_dead(problem: &Problem) -> bool {
    [code::VERIFICATION_EXPIRED, code::VERIFICATION_FAILED, code::VERIFICATION_MISSING].contains(&problem.code())
}

async fn check(page: &PageRequest<'_>, attempt: &SignUp, guess: &str) -> Result<ClientUpdate> {
    page.spend_guess()?;
    verify::attempt_code(page.ctx, page.token().as_ref(), attempt.id.as_str(), guess).await
}
