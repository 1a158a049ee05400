//! What the steps of signing in and signing up have in common: whose turn it is, and where an attempt goes on.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::super::cookies;
use super::super::extract::{Body, Browser, Params, Query};
use super::super::problem::Failure;
use super::super::route::Limit;
use super::csrf;
use super::landing::{Door, Landing};
use super::notice::Notice;
use super::outcome::hand_over;
use crate::context::Ctx;
use crate::crypto::{ExposeSecret, Lookup, LookupHash};
use crate::flows;
use crate::flows::client::Acted;
use crate::flows::sign_up::verify;
use crate::model::client::Client;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::sign_in::Status;
use crate::model::sign_up::Field;

/// The page on which somebody who forgot his password chooses another.
pub const RESET: &str = "/sign-in/reset-password";
/// The page that asks for the code of a sign-up.
pub const VERIFY: &str = "/sign-up/verify-email-address";
/// The page that asks for what a sign-up lacks.
pub const CONTINUE: &str = "/sign-up/continue";

/// A step's request, with what every handler needs of it.
pub struct Turn<'a> {
    /// The context.
    pub ctx: &'a Ctx,
    /// Who calls.
    pub browser: &'a Browser,
    /// Its client.
    pub client: Client,
    /// Where it leads in the end.
    pub landing: Landing,
}

impl<'a> Turn<'a> {
    /// The turn of a page that is opened; `None` for a browser without a client.
    ///
    /// # Errors
    /// A query that cannot be read, storage faults.
    pub async fn open(
        ctx: &'a Ctx,
        browser: &'a Browser,
        door: Door,
        query: Result<Query, Failure>,
    ) -> Result<Option<Self>> {
        let landing = Landing::of(ctx, door, query)?;
        let client = flows::client::read(ctx, browser.hash(ctx).as_ref()).await?;
        Ok(client.map(|client| Self { ctx, browser, client, landing }))
    }

    /// The turn of a form of the page `path`, checked to be ours.
    ///
    /// # Errors
    /// `vestibule_form_invalid`; a query or body that cannot be read; storage faults.
    pub async fn posted(
        ctx: &'a Ctx,
        browser: &'a Browser,
        (door, path): (Door, &str),
        headers: &HeaderMap,
        query: Result<Query, Failure>,
        body: Result<Body, Failure>,
    ) -> Result<(Self, Params)> {
        let Body(form) = body.map_err(|failure| failure.0)?;
        let turn = Self::open(ctx, browser, door, query).await?;
        csrf::check(ctx, turn.as_ref().map(|turn| &turn.client.id), path, headers, &form)?;
        Ok((turn.ok_or(code::FORM_INVALID)?, form))
    }

    /// What the client's token is looked up by.
    pub fn token(&self) -> Option<LookupHash> {
        self.browser.hash(self.ctx)
    }

    /// The hidden field of a form of the page `path`.
    pub fn csrf(&self, path: &str) -> String {
        csrf::field(self.ctx, &self.client.id, path)
    }

    /// Spends one try of a proof.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn spend_try(&self) -> Result<(), Problem> {
        self.ctx.app.limits.spend(Limit::AttemptProof, &self.ctx.instance, self.ctx.from.ip)
    }

    /// Spends one start of an attempt, or one change of it.
    ///
    /// # Errors
    /// `too_many_requests`.
    pub fn spend_start(&self) -> Result<(), Problem> {
        self.ctx.app.limits.spend(Limit::CreateAttempt, &self.ctx.instance, self.ctx.from.ip)
    }

    /// To `path`, with the cookies of what was done.
    ///
    /// # Errors
    /// A fault if a cookie cannot be written as a header.
    pub fn go(&self, acted: &Acted, path: &str) -> Result<Response> {
        let mut response = Redirect::to(path).into_response();
        hand_over(self.ctx, self.browser, acted, &mut response)?;
        Ok(response)
    }
}

/// Where somebody goes for whom there is no such step: to the target if he is signed in, else to the start.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn nothing_here(ctx: &Ctx, turn: Option<&Turn<'_>>, door: Door) -> Result<Response> {
    if let Some(turn) = turn.filter(|turn| turn.client.active_session().is_some()) {
        return Ok(Redirect::to(&turn.landing.target).into_response());
    }
    let start = turn.map_or_else(|| door.path().to_owned(), |turn| turn.landing.carry(door.path()));
    let mut response = Redirect::to(&start).into_response();
    cookies::set(response.headers_mut(), &Notice::Expired.carry(ctx))?;
    Ok(response)
}

/// True for refusals that say the attempt is not there any more.
pub fn is_over(problem: &Problem) -> bool {
    [code::CLIENT_STATE_INVALID, code::RESOURCE_FORBIDDEN, code::RESOURCE_NOT_FOUND].contains(&problem.code())
}

/// The token that counts after an act.
pub fn token_after(ctx: &Ctx, browser: &Browser, acted: &Acted) -> Option<LookupHash> {
    let issued = acted.issued.as_ref();
    let issued = issued.map(|token| ctx.app.ring.lookup_hash(Lookup::ClientToken, token.expose_secret()));
    issued.or_else(|| browser.hash(ctx))
}

/// On from a sign-in that a proof took a step further: to the target, to the new password that it waits for, or to the
/// start, if it waits for what only that page offers.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn go_on_signing_in(ctx: &Ctx, browser: &Browser, landing: &Landing, acted: &Acted) -> Result<Response> {
    let wants_password =
        acted.client.sign_in.as_ref().is_some_and(|attempt| attempt.status == Status::NeedsNewPassword.as_str());
    let path = match acted.client.active_session() {
        _ if wants_password => landing.carry(RESET),
        Some(_) => landing.target.clone(),
        None => landing.carry(Door::SignIn.path()),
    };
    let mut response = Redirect::to(&path).into_response();
    hand_over(ctx, browser, acted, &mut response)?;
    Ok(response)
}

/// On from a sign-up that was begun or changed: to the target, to what is missing, or to the code, which is sent now.
///
/// # Errors
/// Storage faults.
pub async fn go_on_signing_up(ctx: &Ctx, browser: &Browser, landing: &Landing, acted: &Acted) -> Result<Response> {
    let attempt = acted.client.sign_up.as_ref().filter(|attempt| attempt.status != "complete");
    let path = match attempt {
        None => landing.target.clone(),
        Some(attempt) => {
            let fields = attempt.fields.clone().unwrap_or_default();
            if fields.missing.is_empty() && fields.unverified.contains(&Field::EmailAddress) {
                let token = token_after(ctx, browser, acted);
                match verify::prepare(ctx, token.as_ref(), attempt.id.as_str(), "email_code", None).await {
                    // One was sent a moment ago; the page has a button for another.
                    Ok(_) | Err(Error::Problem(_)) => {}
                    Err(fault) => return Err(fault),
                }
                landing.carry(VERIFY)
            } else {
                landing.carry(CONTINUE)
            }
        }
    };
    let mut response = Redirect::to(&path).into_response();
    hand_over(ctx, browser, acted, &mut response)?;
    Ok(response)
}
