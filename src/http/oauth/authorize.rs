//! `GET` and `POST /oauth/authorize` (RFC 6749 section 3.1), and how its outcome travels.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Method, StatusCode};

use super::form;
use crate::actions::authorization_steps;
use crate::actions::authorize::{Answer, Outcome, Visitor, request};
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash};
use crate::http::body;
use crate::http::extract::Browser;
use crate::http::pages::error::Refused;
use crate::http::pages::reasons::TextKey;
use crate::http::pages::{error, redirect_page};
use crate::model::instance::KeyForm;
use crate::model::oauth::authorize::ResponseMode;
use crate::model::oauth::error::{ErrorCode, OAuthError};
use crate::model::oauth::parameters::Parameters;
use crate::model::oauth::redirect_uri;
use crate::model::problem::{Code, Error, Problem, code};

/// The parameter in which browsers of `pk_test_` instances carry their client token between hosts.
const DEV_BROWSER: &str = "__clerk_db_jwt";

/// Answers an authorization request; both methods behave alike (OpenID Connect Core section 3.1.2.1).
pub async fn begin(ctx: Ctx, browser: Browser, request: Request) -> Response {
    let parameters = match parameters(&ctx, request).await {
        Ok(parameters) => parameters,
        Err(refused) => return *refused,
    };
    let token = client_token(&ctx, &browser, &parameters);
    let visitor = Visitor { client_token: token.as_ref(), session: None };
    match request::begin(&ctx, visitor, &parameters).await {
        Ok(outcome) => respond(&ctx, outcome),
        Err(fault) => error::refusal(Some(&ctx.instance), fault),
    }
}

/// Step 1: the query of a GET, the form of a POST and nothing else of it; every failure is a page. What is read belongs
/// to the flow that it names, or to a new one.
pub async fn parameters(ctx: &Ctx, request: Request) -> Result<Parameters, Box<Response>> {
    let refused = |code: Code| Box::new(error::refusal(Some(&ctx.instance), code.into()));
    let read = |encoded: &[u8]| match Parameters::parse(encoded) {
        Ok(parameters) => Ok(authorization_steps::resume_or_begin(ctx, &parameters)),
        Err(error) => {
            authorization_steps::resume_or_begin(ctx, &Parameters::default());
            Err(Box::new(page(ctx, error)))
        }
    };
    if *request.method() != Method::POST {
        return read(request.uri().query().unwrap_or_default().as_bytes());
    }
    if !form::is_form(request.headers()) {
        return Err(refused(code::UNSUPPORTED_CONTENT_TYPE));
    }
    let bytes = body::read(request.into_body()).await;
    read(&bytes.map_err(|why| refused(why.code()))?)
}

/// The hash of the browser's client token, from the cookie or, on `pk_test_` instances, from the parameters.
pub fn client_token(ctx: &Ctx, browser: &Browser, parameters: &Parameters) -> Option<LookupHash> {
    let in_parameters = || {
        let is_test = ctx.instance.key_form() == KeyForm::Test;
        parameters.single(DEV_BROWSER).filter(|_| is_test)
    };
    browser.hash.or_else(|| Some(ctx.app.ring.lookup_hash(Lookup::ClientToken, in_parameters()?)))
}

/// The outcome as an answer to the browser.
pub fn respond(ctx: &Ctx, outcome: Outcome) -> Response {
    match outcome {
        Outcome::Answer(answer) => to_client(ctx, &answer),
        Outcome::Elsewhere(url) => redirect(&url),
        Outcome::Page(error) => page(ctx, error),
    }
}

/// An authorization response, in the query or in a form.
fn to_client(ctx: &Ctx, answer: &Answer) -> Response {
    let fields: Vec<(&str, &str)> = answer.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let uri = &answer.target.redirect_uri;
    match answer.target.mode {
        ResponseMode::Query => redirect(&redirect_uri::with_response(uri, &fields)),
        ResponseMode::FormPost => redirect_page::form_post(&ctx.instance, uri, &fields),
    }
}

/// 302, never 307 or 308: those would send a posted form, and the password in it, along (RFC 9700 section 4.12).
pub fn redirect(url: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(url) else {
        return error::refusal(None, Error::internal("an address that is no header value"));
    };
    let mut response = StatusCode::FOUND.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The page for a request that cannot be sent back to anybody. No link on it comes from the request.
fn page(ctx: &Ctx, error: OAuthError) -> Response {
    let sentence = format!("{}: {}", error.code.as_str(), error.description());
    let mut problem = Problem::new(code::OAUTH_AUTHORIZE_REQUEST_ERROR).explain(sentence.clone());
    let status = match error.code {
        ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    problem.why = error.why();
    authorization_steps::log_refusal(ctx, &error);
    let page = Refused::answered(Some(&ctx.instance), problem, status)
        .with_text(&ctx.instance, TextKey::ClientRequest, None, "/sign-in", None)
        .status(status)
        .detail(sentence);
    match error.why() {
        Some(why) => page.explained(&ctx.instance, why.reason, why.detail, None).into_response(),
        None => page.into_response(),
    }
}
