//! `/sign-in/reset-password`: somebody who has forgotten his password says who he is, types the code that was sent to him,
//! and chooses another. The same steps as by the API; where it stands is the attempt's own state.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::code_view::{CodePage, Method, Step, Waits};
use super::factor_one::{is_about_the_proof, send_first};
use super::fields_view::Field;
use super::landing::Door;
use super::messages::fill;
use super::outcome::page;
use super::reset_view::{Asks, ResetPage};
use super::sign_up_steps::told;
use super::steps::{self, RESET, Turn};
use crate::context::Ctx;
use crate::flows;
use crate::flows::factors;
use crate::flows::sign_in::first_factor::{self, Prepare};
use crate::flows::sign_in::identify::{self, Identify};
use crate::flows::sign_in::password;
use crate::model::client::SignIn;
use crate::model::email::EmailAddress;
use crate::model::factor::{Factor, RESET as STRATEGY};
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::redirect::with_query;
use crate::model::verification::{Status, Verification};

/// In the query: begin with somebody else, whatever waits.
const AGAIN: &str = "again";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(RESET, Rules::PAGE, show), post(RESET, Rules::PAGE, submit)]
}

/// `GET /sign-in/reset-password`.
async fn show(ctx: Ctx, browser: Browser, query: Result<Query, Failure>) -> Response {
    page(&ctx, opened(&ctx, &browser, query).await)
}

/// `POST /sign-in/reset-password`.
async fn submit(
    ctx: Ctx,
    browser: Browser,
    headers: HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Response {
    page(&ctx, act(&ctx, &browser, &headers, query, body).await)
}

/// Where the client's sign-in stands on its way to a new password.
enum Stands<'a> {
    /// Nobody has been named, or with other intentions.
    Begins,
    /// A code was sent, or can be.
    Proves(&'a SignIn),
    /// The code was right.
    Chooses(&'a SignIn),
}

fn stands<'a>(turn: &'a Turn<'_>) -> Stands<'a> {
    match &turn.client.sign_in {
        Some(attempt) if attempt.status == "needs_new_password" => Stands::Chooses(attempt),
        Some(attempt) if attempt.status == "needs_first_factor" && asked(attempt).is_some() => Stands::Proves(attempt),
        _ => Stands::Begins,
    }
}

/// What was asked for a new password, dead or alive.
fn asked(attempt: &SignIn) -> Option<&Verification> {
    attempt.first_factor.as_ref().filter(|proof| proof.strategy == STRATEGY && proof.status != Status::Verified)
}

async fn opened(ctx: &Ctx, browser: &Browser, query: Result<Query, Failure>) -> Result<Response> {
    let is_again = query.as_ref().is_ok_and(|Query(query)| query.text(AGAIN).is_some());
    let turn = Turn::open(ctx, browser, Door::SignIn, query).await?;
    let Some(turn) = turn else { return steps::nothing_here(ctx, None, Door::SignIn) };
    Ok(match stands(&turn) {
        Stands::Chooses(_) => chooses(&turn, None),
        Stands::Proves(attempt) if !is_again => {
            let is_live = asked(attempt).is_some_and(|proof| proof.expires_at > ctx.now);
            proves(&turn, attempt, if is_live { Waits::Code } else { Waits::Method })
        }
        _ if factors::offer(ctx).resets_passwords() => begins(&turn, None, None),
        _ => return steps::nothing_here(ctx, Some(&turn), Door::SignIn),
    })
}

/// The page that asks who it is.
fn begins(turn: &Turn<'_>, sent: Option<&Params>, problem: Option<&Problem>) -> Response {
    // What was typed for the password that is forgotten; the address of an account that waits is nobody's to see.
    let attempt = turn.client.sign_in.as_ref().filter(|attempt| !attempt.has_pending_account);
    let known = attempt.and_then(|attempt| attempt.identifier.as_deref());
    let fields = Vec::from_iter(Field::of("identifier", true));
    if sent.is_none() {
        let fields = fields.into_iter().map(|field| field.typed(known)).collect();
        let sentence = problem.and_then(|problem| problem.errors.first()).map(|item| item.long_message.clone());
        return form(turn, Asks::Who, (fields, sentence), problem);
    }
    form(turn, Asks::Who, told(fields, sent, problem), problem)
}

/// The page that asks for the new password.
fn chooses(turn: &Turn<'_>, problem: Option<&Problem>) -> Response {
    let rules = &turn.ctx.instance.settings.attributes.password;
    let mut fields = Vec::from_iter(Field::chosen("new-password", true, rules));
    let about_it = problem.filter(|problem| problem.status != 429);
    let sentence = about_it.and_then(|problem| problem.errors.first()).map(|item| item.long_message.clone());
    for field in &mut fields {
        field.problem.clone_from(&sentence);
    }
    form(turn, Asks::Password, (fields, None), problem)
}

fn form(
    turn: &Turn<'_>,
    asks: Asks,
    (fields, other): (Vec<Field>, Option<String>),
    problem: Option<&Problem>,
) -> Response {
    let page = ResetPage {
        instance: &turn.ctx.instance,
        asks,
        fields,
        problem: other,
        wait: problem.filter(|problem| problem.status == 429).map(|problem| problem.retry_after.unwrap_or(10)),
        action: turn.landing.carry(RESET),
        csrf: turn.csrf(RESET),
        other_href: turn.landing.carry(Door::SignIn.path()),
        form_action: turn.landing.form_target().into_iter().collect(),
    };
    page.render()
}

/// The page that asks for the code.
fn proves(turn: &Turn<'_>, attempt: &SignIn, waits: Waits) -> Response {
    let factors = attempt.first_factors.as_deref().unwrap_or_default();
    let address = asked(attempt).and_then(|proof| proof.address.as_deref()).and_then(EmailAddress::parse);
    let page = CodePage {
        instance: &turn.ctx.instance,
        step: Step::Reset,
        waits,
        address: address.map(|address| address.masked()).unwrap_or_default(),
        action: turn.landing.carry(RESET),
        csrf: turn.csrf(RESET),
        methods: factors.iter().filter_map(method).collect(),
        forgot: None,
        other_href: with_query(&turn.landing.carry(RESET), AGAIN, "1"),
        form_action: turn.landing.form_target().into_iter().collect(),
    };
    page.render()
}

/// An address that a code can be sent to, as a button.
fn method(factor: &Factor) -> Option<Method> {
    let address = factor.address.as_ref().filter(|_| factor.strategy == STRATEGY)?;
    let label = fill("code.method_code", &[("address", &address.value.masked())]);
    Some(Method { value: address.id.clone(), label })
}

async fn act(
    ctx: &Ctx,
    browser: &Browser,
    headers: &HeaderMap,
    query: Result<Query, Failure>,
    body: Result<Body, Failure>,
) -> Result<Response> {
    let (turn, sent) = Turn::posted(ctx, browser, (Door::SignIn, RESET), headers, query, body).await?;
    if sent.text("identifier").is_some() {
        return named(&turn, &sent).await;
    }
    let outcome = match stands(&turn) {
        Stands::Begins => return steps::nothing_here(ctx, Some(&turn), Door::SignIn),
        Stands::Chooses(attempt) => chosen(&turn, attempt, sent.text("new-password").unwrap_or_default()).await,
        Stands::Proves(attempt) => match sent.text("code") {
            Some(guess) => guessed(&turn, attempt, guess.trim()).await,
            None => send(&turn, attempt, &sent).await,
        },
    };
    match outcome {
        Err(Error::Problem(problem)) if steps::is_over(&problem) => steps::nothing_here(ctx, Some(&turn), Door::SignIn),
        other => other,
    }
}

/// Somebody said who he is: a code goes to him, if he has a password to be replaced; otherwise he sees the ways in.
async fn named(turn: &Turn<'_>, sent: &Params) -> Result<Response> {
    let (ctx, token) = (turn.ctx, turn.token());
    let begun = match turn.spend_start() {
        Ok(()) => {
            let identifier = sent.required("identifier")?.trim();
            let asked = Identify { identifier, sign_up_if_missing: false, prepare: None };
            identify::identify(ctx, token.as_ref(), asked).await
        }
        Err(refused) => Err(refused.into()),
    };
    let acted = match begun {
        Ok(acted) => acted,
        Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
            return Ok(Redirect::to(&turn.landing.target).into_response());
        }
        Err(Error::Problem(problem)) if matches!(problem.status, 422 | 429) => {
            return Ok(begins(turn, Some(sent), Some(&problem)));
        }
        Err(error) => return Err(error),
    };
    let token = steps::token_after(ctx, turn.browser, &acted);
    let id = acted.client.sign_in.as_ref().map(|attempt| attempt.id.as_str()).unwrap_or_default();
    let prepare = Prepare { strategy: STRATEGY, address: None, redirect_url: None };
    match first_factor::prepare(ctx, token.as_ref(), id, prepare).await {
        Ok(_) => turn.go(&acted, &turn.landing.carry(RESET)),
        Err(Error::Problem(problem)) if problem.code() == code::STRATEGY_FOR_USER_INVALID => {
            send_first(ctx, turn.browser, &acted).await?;
            turn.go(&acted, &turn.landing.carry(Door::SignIn.next_path()))
        }
        Err(Error::Problem(problem)) if problem.status == 429 => Ok(begins(turn, Some(sent), Some(&problem))),
        Err(error) => Err(error),
    }
}

async fn guessed(turn: &Turn<'_>, attempt: &SignIn, guess: &str) -> Result<Response> {
    let token = turn.token();
    let checked = match turn.spend_try() {
        Ok(()) => {
            let id = attempt.id.as_str();
            first_factor::attempt_code(turn.ctx, token.as_ref(), id, STRATEGY, Some(guess)).await
        }
        Err(refused) => Err(refused.into()),
    };
    match checked {
        Ok(acted) => turn.go(&acted, &turn.landing.carry(RESET)),
        Err(Error::Problem(problem)) if is_about_the_proof(&problem) => {
            // The count that the guess left behind is read again.
            let fresh = flows::client::read(turn.ctx, token.as_ref()).await?;
            let proof = fresh.as_ref().and_then(|client| client.sign_in.as_ref()?.first_factor.as_ref());
            Ok(proves(turn, attempt, Waits::after(&problem, proof)))
        }
        Err(error) => Err(error),
    }
}

/// Sends a code to the address that was chosen, or the first one.
async fn send(turn: &Turn<'_>, attempt: &SignIn, sent: &Params) -> Result<Response> {
    let prepare = Prepare { strategy: STRATEGY, address: sent.text("method"), redirect_url: None };
    match first_factor::prepare(turn.ctx, turn.token().as_ref(), attempt.id.as_str(), prepare).await {
        Ok(_) => Ok(proves(turn, attempt, Waits::CodeAgain)),
        Err(Error::Problem(problem)) if is_about_the_proof(&problem) => {
            Ok(proves(turn, attempt, Waits::after(&problem, asked(attempt))))
        }
        Err(error) => Err(error),
    }
}

async fn chosen(turn: &Turn<'_>, attempt: &SignIn, typed: &str) -> Result<Response> {
    let reset = match turn.spend_try() {
        Ok(()) => password::reset(turn.ctx, turn.token().as_ref(), attempt.id.as_str(), typed).await,
        Err(refused) => Err(refused.into()),
    };
    match reset {
        Ok(acted) => steps::go_on_signing_in(turn.ctx, turn.browser, &turn.landing, &acted),
        Err(Error::Problem(problem)) if matches!(problem.status, 422 | 429) => Ok(chooses(turn, Some(&problem))),
        Err(Error::Problem(problem)) if problem.code() == code::VERIFICATION_EXPIRED => {
            Ok(begins(turn, None, Some(&problem)))
        }
        Err(error) => Err(error),
    }
}
