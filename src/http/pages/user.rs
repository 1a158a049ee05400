//! `/user`: the profile page, and signing out.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::cookies;
use super::super::extract::{Body, Browser};
use super::super::problem::Failure;
use super::super::route::{Route, Rules, get, post};
use super::csrf;
use super::flash::FlashMessage;
use super::outcome::{page, set_cookies};
use super::token_health;
use super::user_view::{Account, Email, Moment, Profile};
use crate::actions;
use crate::actions::configured;
use crate::actions::provider_token::{self, Checkup};
use crate::actions::session::end::{self, SessionsToEnd};
use crate::context::Ctx;
use crate::model::client::{Client, Session};
use crate::model::problem::Result;
use crate::model::strategy::ProviderSlug;
use crate::model::user::{ExternalAccount, Identification, IdentificationStatus};
use crate::store::sessions::Ending;

/// The form's name inside its forgery check.
const SIGN_OUT: &str = "sign-out";

/// The routes of this file.
pub fn routes() -> Vec<Route> {
    vec![get("/user", Rules::PAGE, show), post("/user/sign-out", Rules::PAGE, sign_out)]
}

/// `GET /user`.
async fn show(ctx: Ctx, browser: Browser) -> Response {
    page(&ctx, profile(&ctx, &browser).await)
}

/// `POST /user/sign-out`.
async fn sign_out(ctx: Ctx, browser: Browser, headers: HeaderMap, body: Result<Body, Failure>) -> Response {
    page(&ctx, end_session(&ctx, &browser, &headers, body).await)
}

async fn profile(ctx: &Ctx, browser: &Browser) -> Result<Response> {
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    let signed_in = client.as_ref().and_then(|client| Some((client, client.active_session()?)));
    let Some((client, session)) = signed_in else { return Ok(sign_in_first(ctx, "/user")) };
    let offered = configured::enabled_providers(ctx).await?;
    let names = offered.into_iter().map(|offered| (offered.slug, offered.name)).collect();
    let tokens = provider_token::checkups(ctx, &session.user.id).await?;
    Ok(shown(session, &names, &tokens, csrf::field(ctx, &client.id, SIGN_OUT)).render(&ctx.instance))
}

/// The client with the session that pages act for.
pub(super) async fn signed_in(ctx: &Ctx, browser: &Browser) -> Result<Option<(Client, Session)>> {
    let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
    Ok(client.and_then(|client| client.active_session().cloned().map(|session| (client, session))))
}

/// To the sign-in page, and back to `path` afterwards.
pub(super) fn sign_in_first(ctx: &Ctx, path: &str) -> Response {
    let back = ctx.instance.url(path);
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("redirect_url", &back).finish();
    Redirect::to(&format!("/sign-in?{query}")).into_response()
}

/// Ends the active session of this browser. The provider's own session goes on, and the notice says so.
async fn end_session(
    ctx: &Ctx,
    browser: &Browser,
    headers: &HeaderMap,
    body: Result<Body, Failure>,
) -> Result<Response> {
    let Body(form) = body.map_err(|failure| failure.0)?;
    let token = browser.hash;
    let client = actions::client::read(ctx, token.as_ref()).await?;
    csrf::check(ctx, client.as_ref().map(|client| &client.id), SIGN_OUT, headers, &form)?;
    let mut response = Redirect::to("/sign-in").into_response();
    // Signed out in another tab meanwhile: nothing is left to do, and the person wanted exactly that.
    if let Some(session) = client.as_ref().and_then(|client| client.active_session())
        && let Some(updated) = end::end(ctx, token.as_ref(), SessionsToEnd::One(&session.id), Ending::Removed).await?
    {
        set_cookies(ctx, browser, &updated, &mut response)?;
    }
    cookies::set(response.headers_mut(), &FlashMessage::SignedOut.carry(ctx))?;
    Ok(response)
}

/// Providers and the names people read.
type Names = BTreeMap<ProviderSlug, String>;

fn shown(session: &Session, names: &Names, tokens: &[Checkup], csrf: String) -> Profile {
    let user = &session.user;
    Profile {
        identifier: user.identifier().to_owned(),
        name: user.full_name(),
        username: user.username.clone(),
        emails: user.emails().map(|address| email(address, names)).collect(),
        accounts: user.external_accounts.iter().map(|known| account(known, names, tokens)).collect(),
        since: session.created_at,
        until: session.expire_at,
        csrf,
    }
}

/// The name of a provider; one that was switched off stands under its slug.
fn name(slug: &ProviderSlug, names: &Names) -> String {
    names.get(slug).cloned().unwrap_or_else(|| slug.to_string())
}

fn email(address: &Identification, names: &Names) -> Email {
    let links = address.linked_to.iter().filter_map(|link| link.kind.provider());
    let mut linked_to: Vec<String> = links.map(|slug| name(slug, names)).collect();
    linked_to.dedup();
    Email {
        address: address.value.clone(),
        is_primary: address.is_primary,
        is_verified: address.status == IdentificationStatus::Verified,
        linked_to,
    }
}

fn account(account: &ExternalAccount, names: &Names, tokens: &[Checkup]) -> Account {
    let provider = name(&account.provider, names);
    let token = tokens.iter().find(|token| token.external_account_id == account.id);
    Account {
        token: token.filter(|_| account.is_verified).map(|token| token_health::describe(token, &provider)),
        provider,
        name: account.email_address.clone().or_else(|| account.username.clone()),
        since: Moment::day(account.created_at),
        needs_attention: !account.is_verified || account.error.is_some(),
    }
}
