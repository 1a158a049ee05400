//! `/sign-in/reset-password`: somebody who has forgotten their password says who they are, types the code that was sent
//! to them, and chooses another. The same steps as by the API; where it stands is the attempt's own state.

use axum::response::{IntoResponse, Redirect, Response};

use super::super::extract::{Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::super::status;
use super::code_view::{CodePage, CodePageState, Method, Step};
use super::factor_one::{is_about_verification, send_first};
use super::fields_view::Field;
use super::form_post::FormPost;
use super::messages::fill;
use super::outcome::page;
use super::page_request::{self, PageRequest, RESET};
use super::redirect_params::EntryPage;
use super::reset_password_view::{ResetForm, ResetPage};
use super::sign_up_steps::with_problem;
use crate::actions;
use crate::actions::factors;
use crate::actions::sign_in::first_factor::{self, Prepare};
use crate::actions::sign_in::identify::{self, Identify};
use crate::actions::sign_in::password;
use crate::context::Ctx;
use crate::model::client::SignIn;
use crate::model::email::EmailAddress;
use crate::model::factor::Factor;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::redirect::with_query;
use crate::model::sign_in;
use crate::model::strategy::Strategy;
use crate::model::verification::{Status, Verification};

/// In the query: begin with somebody else, whatever waits.
const AGAIN: &str = "again";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(RESET, Rules::PAGE, show), post(RESET, Rules::PAGE, submit)]
}

/// `GET /sign-in/reset-password`.
async fn show(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, show_step(&ctx, &browser, query).await)
}

/// `POST /sign-in/reset-password`.
async fn submit(ctx: Ctx, browser: Browser, post: FormPost) -> Response {
    page(&ctx, act(&ctx, &browser, post).await)
}

/// Where the client's sign-in stands on its way to a new password.
enum ResetStep<'a> {
    /// Nobody has been named, or with other intentions.
    Identify,
    /// A code was sent, or can be.
    Verify(&'a SignIn),
    /// The code was right.
    ChoosePassword(&'a SignIn),
}

fn reset_step<'a>(page: &'a PageRequest<'_>) -> ResetStep<'a> {
    match &page.client.sign_in {
        Some(attempt) if attempt.status == sign_in::Status::NeedsNewPassword => ResetStep::ChoosePassword(attempt),
        Some(attempt)
            if attempt.status == sign_in::Status::NeedsFirstFactor && pending_verification(attempt).is_some() =>
        {
            ResetStep::Verify(attempt)
        }
        _ => ResetStep::Identify,
    }
}

/// What was asked for a new password, dead or alive.
fn pending_verification(attempt: &SignIn) -> Option<&Verification> {
    attempt.first_factor.as_ref().filter(|verification| {
        verification.strategy == Strategy::ResetPasswordEmailCode && verification.status != Status::Verified
    })
}

async fn show_step(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let is_again = query.as_ref().is_ok_and(|Query(query)| query.text(AGAIN).is_some());
    let page = PageRequest::open(ctx, browser, EntryPage::SignIn, query).await?;
    let Some(page) = page else { return page_request::nothing_here(ctx, None, EntryPage::SignIn) };
    Ok(match reset_step(&page) {
        ResetStep::ChoosePassword(_) => show_password_form(&page, None),
        ResetStep::Verify(attempt) if !is_again => {
            let is_live = pending_verification(attempt).is_some_and(|verification| verification.expires_at > ctx.now);
            show_code_form(&page, attempt, if is_live { CodePageState::Code } else { CodePageState::Method })
        }
        _ if factors::supported_factors(ctx).resets_passwords() => show_identifier_form(&page, None, None),
        _ => return page_request::nothing_here(ctx, Some(&page), EntryPage::SignIn),
    })
}

/// The page that asks who it is.
fn show_identifier_form(page: &PageRequest<'_>, sent: Option<&Params>, problem: Option<&Problem>) -> Response {
    // What was typed for the password that is forgotten; the address of an account that waits is nobody's to see.
    let attempt = page.client.sign_in.as_ref().filter(|attempt| !attempt.has_pending_account);
    let known = attempt.and_then(|attempt| attempt.identifier.as_deref());
    let fields = Vec::from_iter(Field::of("identifier", true));
    if sent.is_none() {
        let fields = fields.into_iter().map(|field| field.typed(known)).collect();
        let sentence = problem.and_then(|problem| problem.errors.first()).map(|item| item.long_message.clone());
        return form(page, ResetForm::Who, (fields, sentence), problem);
    }
    form(page, ResetForm::Who, with_problem(fields, sent, problem), problem)
}

/// The page that asks for the new password.
fn show_password_form(page: &PageRequest<'_>, problem: Option<&Problem>) -> Response {
    let rules = &page.ctx.instance.settings.attributes.password;
    let mut fields = Vec::from_iter(Field::chosen("new-password", true, rules));
    let about_it = problem.filter(|problem| status::of_problem(problem) != 429);
    let sentence = about_it.and_then(|problem| problem.errors.first()).map(|item| item.long_message.clone());
    for field in &mut fields {
        field.problem.clone_from(&sentence);
    }
    form(page, ResetForm::Password, (fields, None), problem)
}

fn form(
    page: &PageRequest<'_>,
    asks: ResetForm,
    (fields, other): (Vec<Field>, Option<String>),
    problem: Option<&Problem>,
) -> Response {
    let page = ResetPage {
        instance: &page.ctx.instance,
        asks,
        fields,
        problem: other,
        wait: problem
            .filter(|problem| status::of_problem(problem) == 429)
            .map(|problem| problem.retry_after.unwrap_or(10)),
        action: page.redirects.carry(RESET),
        csrf: page.csrf(RESET),
        other_href: page.redirects.carry(EntryPage::SignIn.path()),
        form_action: page.redirects.form_target().into_iter().collect(),
    };
    page.render()
}

/// The page that asks for the code.
fn show_code_form(page: &PageRequest<'_>, attempt: &SignIn, waits: CodePageState) -> Response {
    let factors = attempt.first_factors.as_deref().unwrap_or_default();
    let address = pending_verification(attempt)
        .and_then(|verification| verification.address.as_deref())
        .and_then(EmailAddress::parse);
    let page = CodePage {
        instance: &page.ctx.instance,
        step: Step::Reset,
        waits,
        address: address.map(|address| address.masked()).unwrap_or_default(),
        action: page.redirects.carry(RESET),
        csrf: page.csrf(RESET),
        methods: factors.iter().filter_map(method).collect(),
        forgot: None,
        other_href: with_query(&page.redirects.carry(RESET), AGAIN, "1"),
        form_action: page.redirects.form_target().into_iter().collect(),
    };
    page.render()
}

/// An address that a code can be sent to, as a button.
fn method(factor: &Factor) -> Option<Method> {
    let address = factor.address.as_ref().filter(|_| factor.strategy == Strategy::ResetPasswordEmailCode)?;
    let label = fill("code.method_code", &[("address", &address.value.masked())]);
    Some(Method { value: address.id.clone(), label })
}

async fn act(ctx: &Ctx, browser: &Browser, post: FormPost) -> Result<Response> {
    let (page, sent) = PageRequest::posted(ctx, browser, EntryPage::SignIn, RESET, post).await?;
    if sent.text("identifier").is_some() {
        return submit_identifier(&page, &sent).await;
    }
    let outcome = match reset_step(&page) {
        ResetStep::Identify => return page_request::nothing_here(ctx, Some(&page), EntryPage::SignIn),
        ResetStep::ChoosePassword(attempt) => {
            submit_password(&page, attempt, sent.text("new-password").unwrap_or_default()).await
        }
        ResetStep::Verify(attempt) => match sent.text("code") {
            Some(guess) => submit_code(&page, attempt, guess.trim()).await,
            None => send(&page, attempt, &sent).await,
        },
    };
    match outcome {
        Err(Error::Problem(problem)) if page_request::is_over(&problem) => {
            page_request::nothing_here(ctx, Some(&page), EntryPage::SignIn)
        }
        other => other,
    }
}

/// Somebody said who they are: a code goes to them, if they have a password to be replaced; otherwise they see the
/// factors.
async fn submit_identifier(page: &PageRequest<'_>, sent: &Params) -> Result<Response> {
    let (ctx, token) = (page.ctx, page.token());
    let begun = match page.spend_start() {
        Ok(()) => {
            let identifier = sent.required("identifier")?.trim();
            let asked = Identify { identifier, sign_up_if_missing: false, prepare: None };
            identify::identify(ctx, token.as_ref(), asked).await
        }
        Err(refused) => Err(refused.into()),
    };
    let updated = match begun {
        Ok(updated) => updated,
        Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
            return Ok(Redirect::to(&page.redirects.target).into_response());
        }
        Err(Error::Problem(problem)) if matches!(status::of_problem(&problem).as_u16(), 422 | 429) => {
            return Ok(show_identifier_form(page, Some(sent), Some(&problem)));
        }
        Err(error) => return Err(error),
    };
    let token = page_request::token_after(page.browser, &updated);
    let id = updated.client.sign_in.as_ref().map(|attempt| attempt.id.as_str()).unwrap_or_default();
    let strategy = Strategy::ResetPasswordEmailCode.into();
    let prepare = Prepare { strategy: &strategy, address: None, redirect_url: None };
    match first_factor::prepare(ctx, token.as_ref(), id, prepare).await {
        Ok(_) => page.go(&updated, &page.redirects.carry(RESET)),
        Err(Error::Problem(problem)) if problem.code() == code::STRATEGY_FOR_USER_INVALID => {
            send_first(ctx, page.browser, &updated).await?;
            page.go(&updated, &page.redirects.carry(EntryPage::SignIn.next_path()))
        }
        Err(Error::Problem(problem)) if status::of_problem(&problem) == 429 => {
            Ok(show_identifier_form(page, Some(sent), Some(&problem)))
        }
        Err(error) => Err(error),
    }
}

async fn submit_code(page: &PageRequest<'_>, attempt: &SignIn, guess: &str) -> Result<Response> {
    let token = page.token();
    let checked = match page.spend_guess() {
        Ok(()) => {
            let id = attempt.id.as_str();
            let strategy = Strategy::ResetPasswordEmailCode.into();
            first_factor::attempt_code(page.ctx, token.as_ref(), id, &strategy, Some(guess)).await
        }
        Err(refused) => Err(refused.into()),
    };
    match checked {
        Ok(updated) => page.go(&updated, &page.redirects.carry(RESET)),
        Err(Error::Problem(problem)) if is_about_verification(&problem) => {
            // The count that the guess left behind is read again.
            let fresh = actions::client::read(page.ctx, token.as_ref()).await?;
            let verification = fresh.as_ref().and_then(|client| client.sign_in.as_ref()?.first_factor.as_ref());
            Ok(show_code_form(page, attempt, CodePageState::after(&problem, verification)))
        }
        Err(error) => Err(error),
    }
}

/// Sends a code to the address that was chosen, or the first one.
async fn send(page: &PageRequest<'_>, attempt: &SignIn, sent: &Params) -> Result<Response> {
    let strategy = Strategy::ResetPasswordEmailCode.into();
    let prepare = Prepare { strategy: &strategy, address: sent.text("method"), redirect_url: None };
    match first_factor::prepare(page.ctx, page.token().as_ref(), attempt.id.as_str(), prepare).await {
        Ok(_) => Ok(show_code_form(page, attempt, CodePageState::CodeAgain)),
        Err(Error::Problem(problem)) if is_about_verification(&problem) => {
            Ok(show_code_form(page, attempt, CodePageState::after(&problem, pending_verification(attempt))))
        }
        Err(error) => Err(error),
    }
}

async fn submit_password(page: &PageRequest<'_>, attempt: &SignIn, typed: &str) -> Result<Response> {
    let reset = match page.spend_guess() {
        Ok(()) => password::reset(page.ctx, page.token().as_ref(), attempt.id.as_str(), typed).await,
        Err(refused) => Err(refused.into()),
    };
    match reset {
        Ok(updated) => page_request::continue_sign_in(page.ctx, page.browser, &page.redirects, &updated),
        Err(Error::Problem(problem)) if matches!(status::of_problem(&problem).as_u16(), 422 | 429) => {
            Ok(show_password_form(page, Some(&problem)))
        }
        Err(Error::Problem(problem)) if problem.code() == code::VERIFICATION_EXPIRED => {
            Ok(show_identifier_form(page, None, Some(&problem)))
        }
        Err(error) => Err(error),
    }
}
