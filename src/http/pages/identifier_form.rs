//! Signing in and up on the start pages without a provider: an identifier, or the fields of a sign-up.

use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use super::super::extract::{Browser, Params};
use super::super::status;
use super::super::typed::typed;
use super::outcome::set_cookies;
use super::redirect_params::EntryPage;
use super::start_page::{self, StartPage};
use super::start_view::StartMessage;
use super::{factor_one, page_request, reasons, sign_up_steps};
use crate::actions;
use crate::actions::client::ClientUpdate;
use crate::actions::sign_in::identify::{self, Identify};
use crate::actions::sign_in::password;
use crate::actions::sign_up::change;
use crate::crypto::LookupHash;
use crate::model::problem::{Error, Problem, Result, code};

/// A start page whose fields were filled in.
pub(super) struct IdentifierForm<'a> {
    /// The page.
    pub page: &'a StartPage<'a>,
    /// Who filled it in.
    pub browser: &'a Browser,
}

/// True if a form holds something of a person, rather than a provider's button.
pub(super) fn is_filled_in(form: &Params) -> bool {
    ["identifier", "email_address", "username"].iter().any(|name| form.text(name).is_some())
}

impl IdentifierForm<'_> {
    /// Begins with what was filled in: on to the next step, or the same page with what is wrong.
    ///
    /// # Errors
    /// Refusals that are about none of the fields, storage faults.
    pub(super) async fn begin(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let begun = match self.page.entry {
            EntryPage::SignIn => self.sign_in(token, form).await,
            EntryPage::SignUp => self.sign_up(token, form).await,
        };
        match begun {
            Err(Error::Problem(problem)) if problem.code() == code::SESSION_EXISTS => {
                Ok(Redirect::to(&self.page.redirects.target).into_response())
            }
            Err(Error::Problem(problem)) if matches!(status::of_problem(&problem).as_u16(), 403 | 409 | 422 | 429) => {
                self.show_again(form, &problem).await
            }
            // The account has no password, and that is no secret here: the page offers what it has.
            Err(Error::Problem(problem)) if problem.code() == code::STRATEGY_FOR_USER_INVALID => {
                self.other_ways().await
            }
            other => other,
        }
    }

    async fn sign_in(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let identifier = form.required("identifier")?.trim();
        if let Some(typed) = form.text("password") {
            let done = password::begin(self.page.ctx, token, identifier, typed).await?;
            return page_request::continue_sign_in(self.page.ctx, self.browser, self.page.redirects, &done.updated);
        }
        let asked = Identify { identifier, sign_up_if_missing: false, prepare: None };
        let updated = identify::identify(self.page.ctx, token, asked).await?;
        factor_one::send_first(self.page.ctx, self.browser, &updated).await?;
        let mut response = Redirect::to(&self.page.redirects.carry(self.page.entry.next_path())).into_response();
        set_cookies(self.page.ctx, self.browser, &updated, &mut response)?;
        Ok(response)
    }

    /// To the factors of the account that was named.
    async fn other_ways(&self) -> Result<Response> {
        let client = actions::client::read(self.page.ctx, self.browser.hash.as_ref()).await?;
        let client = client.ok_or(code::RESOURCE_NOT_FOUND)?;
        factor_one::send_first(self.page.ctx, self.browser, &ClientUpdate { client, issued: None }).await?;
        Ok(Redirect::to(&self.page.redirects.carry(self.page.entry.next_path())).into_response())
    }

    async fn sign_up(&self, token: Option<&LookupHash>, form: &Params) -> Result<Response> {
        let begun = change::begin(self.page.ctx, token, &typed(form)?, None).await?;
        page_request::continue_sign_up(self.page.ctx, self.browser, self.page.redirects, &begun.updated).await
    }

    /// The page once more, with what was filled in and what is wrong with it.
    async fn show_again(&self, form: &Params, problem: &Problem) -> Result<Response> {
        let (fields, other) =
            sign_up_steps::with_problem(start_page::fields(self.page.ctx, self.page.entry), Some(form), Some(problem));
        let remark = match (other, problem.why) {
            (None, _) => StartMessage::None,
            _ if matches!(status::of_problem(problem).as_u16(), 409 | 429) => {
                StartMessage::Wait(problem.retry_after.unwrap_or(1))
            }
            (Some(_), Some(why)) if status::of_problem(problem) == 403 => {
                let key = reasons::text_key(why.reason, why.detail).unwrap_or(reasons::TextKey::OurFault);
                StartMessage::Problem(reasons::sentence(key, None), StatusCode::FORBIDDEN)
            }
            (Some(sentence), _) => StartMessage::Problem(sentence, StatusCode::UNPROCESSABLE_ENTITY),
        };
        self.page.show_with(fields, remark).await
    }
}
