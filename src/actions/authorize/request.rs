//! `GET` and `POST /oauth/authorize`: a client sends a browser.

use super::{Answer, Check, Outcome, Visitor, check, issue_code, reauthentication};
use crate::actions::authorization_steps;
use crate::context::Ctx;
use crate::model::oauth::authorize::AuthorizationRequest;
use crate::model::oauth::consent::RememberedConsent;
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::interaction::Next;
use crate::model::oauth::parameters::Parameters;
use crate::model::problem::Result;
use crate::model::redirect::with_query;

/// Answers an authorization request: with a code if the person is signed in and has allowed this before, else by
/// sending them to the page that comes next.
///
/// # Errors
/// Storage faults before the redirect URI is known to be good; later ones are shown to the client.
pub async fn begin(ctx: &Ctx, visitor: Visitor<'_>, parameters: &Parameters) -> Result<Outcome> {
    let checked = match check(ctx, visitor, parameters).await? {
        Check::Passed(checked) => *checked,
        Check::Refused(outcome) => return Ok(outcome),
    };
    let facts = checked.facts;
    authorization_steps::log_validated(ctx, &facts.application, &checked.request);
    Ok(match (checked.next, &facts.person) {
        (Next::Refuse(error), _) => Outcome::Answer(Answer::error(ctx, checked.request.target, error)),
        (Next::AskConsent, _) => Outcome::Elsewhere(consent_url(ctx, parameters)),
        // Signed in, sent to the sign-in page, and back without having signed in again: going around forever helps
        // nobody.
        (Next::SignInAgain, Some(_)) if reauthentication::demanded_at(ctx, parameters, facts.now).is_some() => {
            let error = OAuthError::new(ErrorCode::LoginRequired, "the person did not sign in again");
            Outcome::Answer(Answer::error(ctx, checked.request.target, error))
        }
        (Next::SignInAgain, Some(_)) => {
            let parameters = reauthentication::require_sign_in(ctx, parameters, facts.now);
            authorization_steps::log_sign_in_needed(ctx, true);
            Outcome::Elsewhere(sign_in_url(ctx, &parameters, &checked.request))
        }
        (Next::IssueCode, Some(person)) => {
            // Nobody was asked where the administrator switched the question off; it is recorded all the same, so that
            // the person can see and withdraw it.
            let allowed = facts
                .remembered
                .is_none()
                .then(|| RememberedConsent::widened(None, &facts.application, &checked.request));
            let answer = issue_code::issue(ctx, &facts.application, person, &checked.request, allowed).await;
            Outcome::Answer(answer)
        }
        (Next::SignIn | Next::SignInAgain | Next::IssueCode, _) => {
            authorization_steps::log_sign_in_needed(ctx, false);
            Outcome::Elsewhere(sign_in_url(ctx, parameters, &checked.request))
        }
    })
}

/// The sign-in page, which leads back to this very request.
pub(super) fn sign_in_url(ctx: &Ctx, parameters: &Parameters, request: &AuthorizationRequest) -> String {
    let back = ctx.instance.url(&format!("/oauth/authorize?{}", parameters.encode()));
    let page = with_query(&ctx.instance.sign_in_url(), "redirect_url", &back);
    match &request.login_hint {
        Some(hint) if hint.contains('@') => with_query(&page, "email_address", hint),
        Some(hint) => with_query(&page, "username", hint),
        None => page,
    }
}

/// The consent page, with the request as its query.
fn consent_url(ctx: &Ctx, parameters: &Parameters) -> String {
    let page = ctx.instance.consent_url();
    let separator = if page.contains('?') { '&' } else { '?' };
    format!("{page}{separator}{}", parameters.encode())
}
