//! `/v1/verify`: a link from a mail is opened. Mail scanners open links, too: what comes without the cookie of the
//! browser that asked, or only looks ahead, changes nothing.

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, Method};

use super::super::answer;
use super::super::extract::{Body, Browser, Query};
use super::super::pages::link::{LinkPage, State};
use super::super::pages::{csrf, error, outcome};
use super::super::problem::{Answer, Failure};
use crate::actions;
use crate::actions::email_link::{self, Link, LinkOutcome, Opener};
use crate::actions::flow_steps;
use crate::context::Ctx;
use crate::model::problem::{Error, Problem, Result, code};

/// The form's name inside its forgery check, and its address.
const PATH: &str = "/v1/verify";

/// `GET /v1/verify`.
pub async fn show(ctx: Ctx, browser: Browser, method: Method, headers: HeaderMap, Query(query): Query) -> Answer {
    let outcome = look(&ctx, &browser, &method, &headers, query.text("token")).await;
    respond(&ctx, &headers, outcome)
}

/// `POST /v1/verify`: the button was pressed.
pub async fn confirm(ctx: Ctx, browser: Browser, headers: HeaderMap, Body(form): Body) -> Answer {
    let client = actions::client::read(&ctx, browser.hash.as_ref()).await?;
    if let Err(refused) = csrf::check(&ctx, client.as_ref().map(|client| &client.id), PATH, &headers, &form) {
        return Ok(error::refusal(Some(&ctx.instance), refused.into()));
    }
    let outcome = press(&ctx, &browser, &headers, form.text("token")).await;
    respond(&ctx, &headers, outcome)
}

/// Refusals as a page for people, as JSON for everybody else.
fn respond(ctx: &Ctx, headers: &HeaderMap, outcome: Result<Response>) -> Answer {
    let problem = match outcome {
        Ok(response) => return Ok(response),
        Err(Error::Problem(problem)) if error::accepts_pages(headers) => problem,
        Err(error) => return Err(Failure(error)),
    };
    flow_steps::log_refusal(ctx, &problem);
    let state = match problem.code() {
        code::VERIFICATION_ALREADY_VERIFIED => State::AlreadyUsed,
        code::VERIFICATION_LINK_TOKEN_EXPIRED => State::Expired,
        code::SIGN_IN_EMAIL_LINK_NOT_SAME_CLIENT | code::SIGN_UP_EMAIL_LINK_NOT_SAME_CLIENT => State::ClientMismatch,
        _ => State::Failed,
    };
    Ok(LinkPage::new(&ctx.instance, state, "/sign-in").render())
}

async fn look(
    ctx: &Ctx,
    browser: &Browser,
    method: &Method,
    headers: &HeaderMap,
    token: Option<&str>,
) -> Result<Response> {
    let link = find(ctx, token).await?;
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    let opener = match link.opener(ctx, client.as_ref().map(|client| &client.id)) {
        Ok(opener) => opener,
        Err(status) => return show_refusal(ctx, &link, link.outcome(status, None, None), headers),
    };
    if opener == Opener::Same && *method == Method::GET && !looks_ahead(headers) {
        return open_link(ctx, browser, &link, opener, headers).await;
    }
    let updated = actions::client::ensure(ctx, browser.hash.as_ref()).await?;
    let page = LinkPage {
        csrf: csrf::field(ctx, &updated.client.id, PATH),
        token: token.unwrap_or_default().to_owned(),
        form_target: link.asked.redirect_url.clone(),
        ..LinkPage::new(&ctx.instance, State::Confirm, PATH)
    };
    let mut response = page.render();
    outcome::set_cookies(ctx, browser, &updated, &mut response)?;
    Ok(response)
}

async fn press(ctx: &Ctx, browser: &Browser, headers: &HeaderMap, token: Option<&str>) -> Result<Response> {
    let link = find(ctx, token).await?;
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    match link.opener(ctx, client.as_ref().map(|client| &client.id)) {
        Ok(opener) => open_link(ctx, browser, &link, opener, headers).await,
        Err(status) => show_refusal(ctx, &link, link.outcome(status, None, None), headers),
    }
}

async fn find(ctx: &Ctx, token: Option<&str>) -> Result<Link> {
    let missing = || Problem::new(code::MISSING_QUERY_PARAMETER).param("token");
    email_link::find(ctx, token.ok_or_else(missing)?).await
}

/// True for a browser that fetches what somebody may open later.
fn looks_ahead(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        let value = headers.get(*name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.contains("prefetch") || value.contains("prerender") || value.contains("preview")
    })
}

async fn open_link(ctx: &Ctx, browser: &Browser, link: &Link, opener: Opener, headers: &HeaderMap) -> Result<Response> {
    let outcome = email_link::open(ctx, browser.hash.as_ref(), link, opener).await?;
    let Some(issued) = &outcome.issued else { return show_refusal(ctx, link, outcome, headers) };
    let client = actions::client::read(ctx, Some(&issued.hash)).await?;
    let mut response = Redirect::to(&outcome.url).into_response();
    answer::set_cookies(ctx, browser, client.map_or(0, |client| client.uat()), Some(issued), &mut response)?;
    Ok(response)
}

/// On to where the link leads; callers that show no pages are shown what became of it.
fn show_refusal(ctx: &Ctx, link: &Link, outcome: LinkOutcome, headers: &HeaderMap) -> Result<Response> {
    let refusal = link.refusal(outcome.status);
    if let Some(problem) = &refusal {
        flow_steps::log_refusal(ctx, problem);
    }
    match refusal.filter(|_| !error::accepts_pages(headers)) {
        Some(problem) => Err(problem.into()),
        None => Ok(Redirect::to(&outcome.url).into_response()),
    }
}
