//! The question whether an application may have access: our page `/oauth-consent`, and the endpoint behind a consent
//! page of the app's own, `/v1/me/oauth/consent/{client_id}`. Both call the same flow.
//!
//! A link alone can never grant anything: an answer is a form post that names the session it was shown for and comes
//! from a page that may ask.

use axum::Json;
use axum::extract::{Path, Request};
use axum::response::Response;
use http::HeaderMap;
use http::header::REFERER;
use serde::Serialize;

use super::authorize::{client_token, parameters, respond};
use crate::actions::authorize::consent::{self, ConsentStep, Decision, Question};
use crate::actions::authorize::{Answer, Outcome, Visitor};
use crate::context::Ctx;
use crate::http::cors;
use crate::http::extract::{Browser, Query};
use crate::http::pages::consent::{Consent, MadeByOperator, ScopeLine};
use crate::http::pages::content_security_policy::FormTarget;
use crate::http::pages::{error, redirect_page};
use crate::http::problem;
use crate::model::id::SessionId;
use crate::model::instance::Instance;
use crate::model::oauth::application::Kind;
use crate::model::oauth::authorize::ResponseMode;
use crate::model::oauth::consent::requires_consent;
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::redirect_uri;
use crate::model::oauth::scope::built_in;
use crate::model::problem::{Result, code};

/// The page's path.
pub const PAGE: &str = "/oauth-consent";
/// Names the session that the question was shown to.
const SESSION: &str = "_clerk_session_id";
/// What the answer is.
const CONSENTED: &str = "consented";
/// What the page adds to the authorization parameters; taken off before they are validated again.
const ADDED: [&str; 3] = [SESSION, CONSENTED, "csrf"];

/// `GET /oauth-consent`: asks.
pub async fn ask(ctx: Ctx, browser: Browser, request: Request) -> Response {
    let parameters = match parameters(&ctx, request).await {
        Ok(parameters) => parameters,
        Err(refused) => return *refused,
    };
    let token = client_token(&ctx, &browser, &parameters);
    let visitor = Visitor { client_token: token.as_ref(), session: None };
    match consent::prepare(&ctx, visitor, &parameters).await {
        Ok(ConsentStep::Question(question)) => show(&ctx, &question, &parameters),
        Ok(ConsentStep::Instead(outcome)) => respond(&ctx, outcome),
        Err(fault) => error::refusal(Some(&ctx.instance), fault),
    }
}

fn show(ctx: &Ctx, question: &Question, parameters: &Parameters) -> Response {
    let named = parameters.with(SESSION, question.person.session_id.as_str());
    let view = Consent {
        instance: &ctx.instance,
        client: &question.application.name,
        vouched: if question.application.kind == Kind::Managed { MadeByOperator::Yes } else { MadeByOperator::No },
        account: question.person.account.as_deref().unwrap_or(question.person.user_id.as_str()),
        other_account: None,
        scopes: question.request.scopes.iter().map(ScopeLine::of).collect(),
        redirect_uri: &question.request.target.redirect_uri,
        action: PAGE.to_owned(),
        csrf: None,
        parameters: named.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    view.render()
}

/// `POST /oauth-consent`: the answer on our page.
pub async fn answer(ctx: Ctx, browser: Browser, request: Request) -> Response {
    let headers = request.headers().clone();
    let form = match parameters(&ctx, request).await {
        Ok(form) => form,
        Err(refused) => return *refused,
    };
    match decide(&ctx, &browser, &headers, form.single(SESSION), &form).await {
        Ok(Outcome::Answer(answer)) => redirect_page(&ctx, answer),
        Ok(outcome) => respond(&ctx, outcome),
        Err(error) => error::refusal(Some(&ctx.instance), error),
    }
}

/// Where the page's policy could not name the redirect URI, a redirect would be stopped: a page sends the browser on.
fn redirect_page(ctx: &Ctx, answer: Answer) -> Response {
    let uri = &answer.target.redirect_uri;
    if answer.target.mode == ResponseMode::FormPost || FormTarget::of_redirect_uri(uri).is_some() {
        return respond(ctx, Outcome::Answer(answer));
    }
    let fields: Vec<(&str, &str)> = answer.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    redirect_page::go(&ctx.instance, &redirect_uri::with_response(uri, &fields))
}

/// `POST /v1/me/oauth/consent/{client_id}`: the answer on a page of the app's own. The path's client id wins.
pub async fn submit(
    ctx: Ctx,
    browser: Browser,
    Path(client_id): Path<String>,
    Query(query): Query,
    request: Request,
) -> Result<Response, problem::Failure> {
    let headers = request.headers().clone();
    let form = match parameters(&ctx, request).await {
        Ok(form) => form.with("client_id", check_client_id(&client_id)?),
        Err(refused) => return Ok(*refused),
    };
    let session = query.text(SESSION).or_else(|| form.single(SESSION));
    let outcome = decide(&ctx, &browser, &headers, session, &form).await?;
    Ok(respond(&ctx, outcome))
}

/// The client id of a path, held to what a parameter may be; one with a NUL could not even be looked up.
fn check_client_id(client_id: &str) -> Result<&str> {
    if client_id.contains(char::is_control) {
        return Err(code::RESOURCE_NOT_FOUND.into());
    }
    Ok(client_id)
}

/// Checks that the answer comes from where it may, and carries it out.
async fn decide(
    ctx: &Ctx,
    browser: &Browser,
    headers: &HeaderMap,
    session: Option<&str>,
    form: &Parameters,
) -> Result<Outcome> {
    if !may_ask(&ctx.instance, headers) {
        return Err(code::FORM_INVALID.into());
    }
    let session = session.and_then(SessionId::parse).ok_or(code::SIGNED_OUT)?;
    let token = client_token(ctx, browser, form);
    let visitor = Visitor { client_token: token.as_ref(), session: Some(&session) };
    let decision = match form.single(CONSENTED) {
        Some("true") => Decision::Allow,
        _ => Decision::Deny,
    };
    let request = ADDED.iter().fold(form.clone(), |form, name| form.without(name));
    consent::answer(ctx, visitor, &request, decision).await
}

/// True if the page that posts is one that may ask: ours, the configured consent page's origin, or an origin of the app.
/// A page without an origin (a sandboxed frame says `null`) may not; without `Origin`, the `Referer` has to say it.
fn may_ask(instance: &Instance, headers: &HeaderMap) -> bool {
    let of_url = |url: &str| url::Url::parse(url).ok().map(|url| url.origin().ascii_serialization());
    let origin = match cors::origin(headers) {
        Err(_) => return false,
        Ok(Some(origin)) => Some(origin.to_owned()),
        Ok(None) => headers.get(REFERER).and_then(|referer| referer.to_str().ok()).and_then(of_url),
    };
    let Some(origin) = origin.filter(|origin| origin != "null") else { return false };
    origin == instance.origin
        || instance.accounts_origin().is_some_and(|sibling| sibling == origin)
        || instance.origins.contains(&origin)
        || of_url(&instance.settings.oauth_consent_url).is_some_and(|configured| configured == origin)
}

/// What a consent page of the app's own shows.
#[derive(Serialize)]
pub struct ConsentInformation {
    object: &'static str,
    id: String,
    client_id: String,
    oauth_application_name: String,
    oauth_application_logo_url: Option<String>,
    oauth_application_url: Option<String>,
    state: String,
    redirect_domain: Option<String>,
    scopes: Vec<ScopeInformation>,
}

#[derive(Serialize)]
struct ScopeInformation {
    scope: String,
    description: Option<&'static str>,
    requires_consent: bool,
}

/// `GET /v1/me/oauth/consent/{client_id}`.
pub async fn describe(
    ctx: Ctx,
    browser: Browser,
    Path(client_id): Path<String>,
    Query(query): Query,
) -> Result<Json<ConsentInformation>, problem::Failure> {
    let token = browser.hash;
    let session = match query.text(SESSION) {
        Some(text) => Some(SessionId::parse(text).ok_or(code::SIGNED_OUT)?),
        None => None,
    };
    let visitor = Visitor { client_token: token.as_ref(), session: session.as_ref() };
    let (scope, uri) = (query.text("scope"), query.text("redirect_uri"));
    let found = consent::describe(&ctx, visitor, check_client_id(&client_id)?, scope, uri).await?;
    let scopes = found.scopes.iter().map(|scope| ScopeInformation {
        scope: scope.to_owned(),
        description: built_in(scope).map(|known| known.description),
        requires_consent: requires_consent(scope),
    });
    Ok(Json(ConsentInformation {
        object: "oauth_consent_info",
        id: found.application.client_id.clone(),
        client_id: found.application.client_id,
        oauth_application_name: found.application.name,
        oauth_application_logo_url: None,
        oauth_application_url: found.application.client_uri,
        state: query.text("state").unwrap_or_default().to_owned(),
        redirect_domain: found.redirect_domain,
        scopes: scopes.collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oauth::fixtures::production;
    use http::HeaderValue;

    fn comes(origin: Option<&'static str>, referer: Option<&'static str>) -> bool {
        let mut instance = production();
        instance.origins = vec!["https://app.example".to_owned()];
        instance.settings.oauth_consent_url = "https://consent.example/ask".to_owned();
        let mut headers = HeaderMap::new();
        origin.map(|origin| headers.insert("origin", HeaderValue::from_static(origin)));
        referer.map(|referer| headers.insert(REFERER, HeaderValue::from_static(referer)));
        may_ask(&instance, &headers)
    }

    #[test]
    fn only_pages_that_may_ask_may_answer() {
        for origin in ["https://id.example", "https://app.example", "https://consent.example"] {
            assert!(comes(Some(origin), None), "{origin}");
        }
        assert!(comes(None, Some("https://id.example/oauth-consent?x")));
        for origin in ["null", "https://evil.example", "https://id.example.evil.example", "http://id.example", ""] {
            assert!(!comes(Some(origin), None), "{origin}");
            assert!(!comes(Some(origin), Some("https://id.example/")), "{origin}: the Referer does not heal it");
        }
        assert!(!comes(None, None));
        assert!(!comes(None, Some("https://evil.example/https://id.example/")));
    }
}
