//! The question to the person, and their answer.

use super::request::sign_in_url;
use super::{Answer, Check, Outcome, Visitor, check, issue_code, reauthentication};
use crate::actions::authorization_steps;
use crate::context::Ctx;
use crate::flow_log::StepName;
use crate::model::oauth::application::Application;
use crate::model::oauth::authorize::AuthorizationRequest;
use crate::model::oauth::consent::RememberedConsent;
use crate::model::oauth::interaction::{DENIED, Next};
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::redirect_uri;
use crate::model::oauth::scope::Scopes;
use crate::model::problem::{Problem, Result, code};
use crate::store::oauth_codes::{self, Person, Presented};

/// What the person answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// Anything else.
    Deny,
}

/// What the consent page shows.
#[derive(Debug)]
pub struct Question {
    /// The client that asks.
    pub application: Application,
    /// The person it asks.
    pub person: Person,
    /// What it asks for.
    pub request: AuthorizationRequest,
}

/// The consent page, or where the browser goes instead of it.
#[derive(Debug)]
pub enum ConsentStep {
    /// Show it.
    Question(Box<Question>),
    /// Nobody is signed in, or the request is not good.
    Instead(Outcome),
}

/// Prepares the consent page for a request that came to it as its query.
///
/// # Errors
/// Storage faults.
pub async fn prepare(ctx: &Ctx, visitor: Visitor<'_>, parameters: &Parameters) -> Result<ConsentStep> {
    let checked = match check(ctx, visitor, parameters).await? {
        Check::Passed(checked) => *checked,
        Check::Refused(outcome) => return Ok(ConsentStep::Instead(outcome)),
    };
    let (request, facts) = (checked.request, checked.facts);
    Ok(match (checked.next, facts.person) {
        _ if !facts.application.consent_screen_enabled => ConsentStep::Instead(Outcome::Elsewhere(
            ctx.instance.url(&format!("/oauth/authorize?{}", parameters.encode())),
        )),
        // Opened again after the answer was remembered: asking once more harms nobody.
        (Next::AskConsent | Next::IssueCode, Some(person)) => {
            authorization_steps::log_step(ctx, StepName::ConsentShown);
            ConsentStep::Question(Box::new(Question { application: facts.application, person, request }))
        }
        (Next::Refuse(error), _) => ConsentStep::Instead(Outcome::Answer(Answer::error(ctx, request.target, error))),
        (Next::SignInAgain, _) => {
            let parameters = reauthentication::require_sign_in(ctx, parameters, facts.now);
            authorization_steps::log_sign_in_needed(ctx, true);
            ConsentStep::Instead(Outcome::Elsewhere(sign_in_url(ctx, &parameters, &request)))
        }
        _ => {
            authorization_steps::log_sign_in_needed(ctx, false);
            ConsentStep::Instead(Outcome::Elsewhere(sign_in_url(ctx, parameters, &request)))
        }
    })
}

/// Carries out the person's answer. The whole request is validated again first; `visitor` names the session that was
/// shown, so an answer given under another account counts for nothing.
///
/// # Errors
/// `signed_out` without that session, `feature_requires_oauth2_consent_screen_enabled`, storage faults.
pub async fn answer(ctx: &Ctx, visitor: Visitor<'_>, parameters: &Parameters, decision: Decision) -> Result<Outcome> {
    let checked = match check(ctx, visitor, parameters).await? {
        Check::Passed(checked) => *checked,
        Check::Refused(outcome) => return Ok(outcome),
    };
    let (request, facts) = (checked.request, checked.facts);
    let person = facts.person.ok_or(code::SIGNED_OUT)?;
    if !facts.application.consent_screen_enabled {
        return Err(code::FEATURE_REQUIRES_OAUTH2_CONSENT_SCREEN_ENABLED.into());
    }
    match checked.next {
        Next::AskConsent | Next::IssueCode => {}
        Next::Refuse(error) => return Ok(Outcome::Answer(Answer::error(ctx, request.target, error))),
        Next::SignIn | Next::SignInAgain => {
            let parameters = reauthentication::require_sign_in(ctx, parameters, facts.now);
            authorization_steps::log_sign_in_needed(ctx, true);
            return Ok(Outcome::Elsewhere(sign_in_url(ctx, &parameters, &request)));
        }
    }
    if decision == Decision::Deny {
        return Ok(Outcome::Answer(Answer::error(ctx, request.target, DENIED)));
    }
    authorization_steps::log_step(ctx, StepName::Consented);
    let allowed = RememberedConsent::widened(facts.remembered, &facts.application, &request);
    let answer = issue_code::issue(ctx, &facts.application, &person, &request, Some(allowed)).await;
    Ok(Outcome::Answer(answer))
}

/// What a consent page of the app's own needs to know.
#[derive(Debug)]
pub struct Information {
    /// The client.
    pub application: Application,
    /// The scopes it may have, of those named in the query.
    pub scopes: Scopes,
    /// The registrable domain of the redirect URI, if one was named, is registered and has one.
    pub redirect_domain: Option<String>,
}

/// Describes a client to a consent page of the app's own.
///
/// # Errors
/// `signed_out`, `resource_not_found` for an unknown client, `feature_requires_oauth2_consent_screen_enabled`.
pub async fn describe(
    ctx: &Ctx,
    visitor: Visitor<'_>,
    client_id: &str,
    scope: Option<&str>,
    redirect_uri: Option<&str>,
) -> Result<Information> {
    let presented = Presented { client_token: visitor.client_token, session: visitor.session, preferred_user: None };
    let found = oauth_codes::facts(&mut ctx.db(), client_id, presented).await?;
    let found = found.ok_or(Problem::new(code::RESOURCE_NOT_FOUND))?;
    if found.person.is_none() {
        return Err(code::SIGNED_OUT.into());
    }
    let application = found.application;
    if !application.consent_screen_enabled {
        return Err(code::FEATURE_REQUIRES_OAUTH2_CONSENT_SCREEN_ENABLED.into());
    }
    let requested = match scope {
        None => application.scopes.clone(),
        Some(text) => Scopes::parse(text)
            .map_err(|_| Problem::new(code::FORM_PARAM_FORMAT_INVALID).param("scope"))?
            .cut_to(&application.scopes),
    };
    let is_registered =
        |uri: &&str| application.redirect_uris.iter().any(|registered| redirect_uri::matches(registered, uri));
    let redirect_domain = redirect_uri.filter(is_registered).and_then(redirect_uri::registrable_domain);
    Ok(Information { scopes: requested, redirect_domain, application })
}
