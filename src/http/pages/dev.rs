//! `/_dev`: the index of the development pages. It does not exist on production instances, nor where `dev.pages` is off.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::extract::{Body, Browser, Params};
use super::super::problem::Failure;
use super::super::route::{Limit, Route, Rules, get, post};
use super::attempt_progress;
use super::csrf;
use super::dev_view::{Index, Person};
use super::outcome::{page, set_cookies};
use super::redirect_params::{EntryPage, RedirectParams};
use crate::actions;
use crate::actions::configured;
use crate::actions::start_provider_auth::Request;
use crate::context::Ctx;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::redirect::with_query;
use crate::model::strategy::Strategy;

const PATH: &str = "/_dev";

/// What the index links to.
const LINKS: &[&str] = &[
    "/sign-in",
    "/sign-up",
    "/user",
    "/_dev/inbox",
    "/_dev/flows",
    "/v1/environment",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
];

/// People with a part in the documentation, as the simulated providers know them.
const PEOPLE: [(&str, &str); 4] = [
    ("ada@example.com", "Ada, with a verified address"),
    ("bob@example.com", "Bob, whose address is not verified"),
    ("cyd@example.com", "Cyd, who shows no address"),
    ("eve@example.com", "Eve, who claims Ada's address"),
];

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get(PATH, Rules::PAGE, show), post(PATH, Rules::PAGE.limited(Limit::CreateAttempt), sign_in_as)]
}

/// `GET /_dev`.
async fn show(ctx: Ctx, browser: Browser) -> Response {
    page(&ctx, index(&ctx, &browser).await)
}

/// `POST /_dev`: signs in as somebody whom a simulated provider knows.
async fn sign_in_as(ctx: Ctx, browser: Browser, headers: HeaderMap, body: Result<Body, Failure>) -> Response {
    page(&ctx, begin(&ctx, &browser, &headers, body).await)
}

/// The development pages exist here.
///
/// # Errors
/// `resource_not_found` where they do not.
pub fn exists(ctx: &Ctx) -> Result<(), Problem> {
    let exists = ctx.instance.has_development_pages() && ctx.app.config.dev.pages;
    exists.then_some(()).ok_or_else(|| code::RESOURCE_NOT_FOUND.into())
}

async fn index(ctx: &Ctx, browser: &Browser) -> Result<Response> {
    exists(ctx)?;
    let updated = actions::client::ensure(ctx, browser.hash.as_ref()).await?;
    let people = match simulated(ctx).await? {
        Some(_) => PEOPLE.map(|(hint, name)| Person { hint: hint.to_owned(), name: name.to_owned() }).to_vec(),
        None => Vec::new(),
    };
    let view = Index {
        instance: &ctx.instance,
        people,
        links: LINKS.to_vec(),
        action: PATH.to_owned(),
        csrf: csrf::field(ctx, &updated.client.id, PATH),
        form_action: redirects(ctx).form_target().into_iter().collect(),
    };
    let mut response = view.render();
    set_cookies(ctx, browser, &updated, &mut response)?;
    Ok(response)
}

async fn begin(ctx: &Ctx, browser: &Browser, headers: &HeaderMap, body: Result<Body, Failure>) -> Result<Response> {
    exists(ctx)?;
    let Body(form) = body.map_err(|failure| failure.0)?;
    let token = browser.hash;
    let client = actions::client::read(ctx, token.as_ref()).await?;
    csrf::check(ctx, client.as_ref().map(|client| &client.id), PATH, headers, &form)?;
    let strategy = simulated(ctx).await?.ok_or(code::OAUTH_PROVIDER_NOT_ENABLED)?;
    let hint = form.required("person")?;
    let request = Request { strategy: strategy.into(), login_hint: Some(hint), ..Request::default() };
    let redirects = redirects(ctx);
    match attempt_progress::start_attempt(ctx, token.as_ref(), EntryPage::SignIn, &redirects, request).await {
        Ok((updated, url)) => {
            // The simulator then answers at once, without its page.
            let named = if url.contains("login_hint=") { url } else { with_query(&url, "login_hint", hint) };
            let url = with_query(&named, "auto", "1");
            let mut response = Redirect::to(&url).into_response();
            set_cookies(ctx, browser, &updated, &mut response)?;
            Ok(response)
        }
        Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
            Ok(Redirect::to(&redirects.target).into_response())
        }
        Err(error) => Err(error),
    }
}

/// The strategy of a provider that is simulated here, Google if it is.
async fn simulated(ctx: &Ctx) -> Result<Option<Strategy>> {
    let mut offered = configured::enabled_providers(ctx).await?;
    offered.retain(|provider| provider.is_simulated && provider.is_authenticatable);
    offered.sort_by_key(|provider| *provider.slug != *"google");
    Ok(offered.into_iter().next().map(|provider| provider.strategy()))
}

fn redirects(ctx: &Ctx) -> RedirectParams {
    RedirectParams::read(&ctx.instance, EntryPage::SignIn, &Params::default())
}
