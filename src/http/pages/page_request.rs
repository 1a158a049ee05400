//! What the steps of signing in and signing up have in common: whose turn it is, and where an attempt goes on.

use axum::response::{IntoResponse, Redirect, Response};

use super::super::cookies;
use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::Limit;
use super::csrf;
use super::flash::FlashMessage;
use super::form_post::FormPost;
use super::outcome::set_cookies;
use super::redirect_params::{EntryPage, RedirectParams};
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::sign_up::verify;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits;
use crate::model::client::Client;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::sign_in;
use crate::model::sign_up::{self, Field};
use crate::model::strategy::Strategy;

/// The page on which somebody who forgot their password chooses another.
pub const RESET: &str = "/sign-in/reset-password";
/// The page that asks for the code of a sign-up.
pub const VERIFY: &str = "/sign-up/verify-email-address";
/// The page that asks for what a sign-up lacks.
pub const CONTINUE: &str = "/sign-up/continue";

/// A step's request, with what every handler needs of it.
pub struct PageRequest<'a> {
    /// The context.
    pub ctx: &'a Ctx,
    /// Who calls.
    pub browser: &'a Browser,
    /// Its client.
    pub client: Client,
    /// Where it leads in the end.
    pub redirects: RedirectParams,
}

impl<'a> PageRequest<'a> {
    /// The turn of a page that is opened; `None` for a browser without a client.
    ///
    /// # Errors
    /// A query that cannot be read, storage faults.
    pub async fn open(
        ctx: &'a Ctx,
        browser: &'a Browser,
        entry: EntryPage,
        query: Result<Query, Failure>,
    ) -> Result<Option<Self>> {
        let redirects = RedirectParams::of(ctx, entry, query)?;
        let client = actions::client::read(ctx, browser.hash.as_ref()).await?;
        Ok(client.map(|client| Self { ctx, browser, client, redirects }))
    }

    /// The turn of a form of the page `path`, checked to be ours.
    ///
    /// # Errors
    /// `vestibule_form_invalid`; a query or body that cannot be read; storage faults.
    pub async fn posted(
        ctx: &'a Ctx,
        browser: &'a Browser,
        entry: EntryPage,
        path: &str,
        post: FormPost,
    ) -> Result<(Self, Params)> {
        let Body(form) = post.body.map_err(|failure| failure.0)?;
        let page = Self::open(ctx, browser, entry, post.query).await?;
        csrf::check(ctx, page.as_ref().map(|page| &page.client.id), path, &post.headers, &form)?;
        Ok((page.ok_or(code::FORM_INVALID)?, form))
    }

    /// What the client's token is looked up by.
    pub fn token(&self) -> Option<LookupHash> {
        self.browser.hash
    }

    /// The hidden field of a form of the page `path`.
    pub fn csrf(&self, path: &str) -> String {
        csrf::field(self.ctx, &self.client.id, path)
    }

    /// Spends one try of a verification.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn spend_guess(&self) -> Result<(), Problem> {
        limits::spend(self.ctx, Limit::AttemptProof)
    }

    /// Spends one start of an attempt, or one change of it.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn spend_start(&self) -> Result<(), Problem> {
        limits::spend(self.ctx, Limit::CreateAttempt)
    }

    /// To `path`, with the cookies of what was done.
    ///
    /// # Errors
    /// A fault if a cookie cannot be written as a header.
    pub fn go(&self, updated: &ClientUpdate, path: &str) -> Result<Response> {
        let mut response = Redirect::to(path).into_response();
        set_cookies(self.ctx, self.browser, updated, &mut response)?;
        Ok(response)
    }
}

/// Where somebody goes for whom there is no such step: to the target if they are signed in, else to the start.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn nothing_here(ctx: &Ctx, page: Option<&PageRequest<'_>>, entry: EntryPage) -> Result<Response> {
    if let Some(page) = page.filter(|page| page.client.active_session().is_some()) {
        return Ok(Redirect::to(&page.redirects.target).into_response());
    }
    let start = page.map_or_else(|| entry.path().to_owned(), |page| page.redirects.carry(entry.path()));
    let mut response = Redirect::to(&start).into_response();
    cookies::set(response.headers_mut(), &FlashMessage::Expired.carry(ctx))?;
    Ok(response)
}

/// True for refusals that say the attempt is not there any more.
pub fn is_over(problem: &Problem) -> bool {
    [code::CLIENT_STATE_INVALID, code::RESOURCE_FORBIDDEN, code::RESOURCE_NOT_FOUND].contains(&problem.code())
}

/// The token that counts after an act.
pub fn token_after(browser: &Browser, updated: &ClientUpdate) -> Option<LookupHash> {
    updated.issued.as_ref().map(|issued| issued.hash).or(browser.hash)
}

/// On from a sign-in that a verification took a step further: to the target, to the new password that it waits for, or
/// to the start, if it waits for what only that page offers.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn continue_sign_in(
    ctx: &Ctx,
    browser: &Browser,
    redirects: &RedirectParams,
    updated: &ClientUpdate,
) -> Result<Response> {
    let wants_password =
        updated.client.sign_in.as_ref().is_some_and(|attempt| attempt.status == sign_in::Status::NeedsNewPassword);
    let path = match updated.client.active_session() {
        _ if wants_password => redirects.carry(RESET),
        Some(_) => redirects.target.clone(),
        None => redirects.carry(EntryPage::SignIn.path()),
    };
    let mut response = Redirect::to(&path).into_response();
    set_cookies(ctx, browser, updated, &mut response)?;
    Ok(response)
}

/// On from a sign-up that was begun or changed: to the target, to what is missing, or to the code, which is sent now.
///
/// # Errors
/// Storage faults.
pub async fn continue_sign_up(
    ctx: &Ctx,
    browser: &Browser,
    redirects: &RedirectParams,
    updated: &ClientUpdate,
) -> Result<Response> {
    let attempt = updated.client.sign_up.as_ref().filter(|attempt| attempt.status != sign_up::Status::Complete);
    let path = match attempt {
        None => redirects.target.clone(),
        Some(attempt) => {
            let fields = attempt.fields.clone().unwrap_or_default();
            if fields.missing.is_empty() && fields.unverified.contains(&Field::EmailAddress) {
                let token = token_after(browser, updated);
                let strategy = Strategy::EmailCode.into();
                match verify::prepare(ctx, token.as_ref(), attempt.id.as_str(), &strategy, None).await {
                    // One was sent a moment ago; the page has a button for another.
                    Ok(_) | Err(Error::Problem(_)) => {}
                    Err(fault) => return Err(fault),
                }
                redirects.carry(VERIFY)
            } else {
                redirects.carry(CONTINUE)
            }
        }
    };
    let mut response = Redirect::to(&path).into_response();
    set_cookies(ctx, browser, updated, &mut response)?;
    Ok(response)
}
