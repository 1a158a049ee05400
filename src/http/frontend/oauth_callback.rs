//! `/v1/oauth_callback`: the person comes back from a provider.

use std::collections::BTreeMap;

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::answer;
use super::super::extract::Browser;
use super::super::pages;
use super::super::problem::{Answer, Failure};
use crate::actions;
use crate::actions::provider_auth::callback;
use crate::actions::provider_auth::callback_outcome::CallbackOutcome;
use crate::context::Ctx;
use crate::model::problem::Error;

/// The longest parameter that is read; a provider's code is far shorter.
const VALUE_LENGTH: usize = 8192;

/// `GET /v1/oauth_callback`: finishes the authorization and sends the browser on. Answers nothing but redirects and
/// error pages, so that code and state leak nowhere.
pub async fn show(ctx: Ctx, browser: Browser, uri: Uri, headers: HeaderMap) -> Answer {
    let parameters = parameters(uri.query().unwrap_or_default());
    match callback::callback(&ctx, browser.hash.as_ref(), &parameters).await {
        Ok(outcome) => respond(&ctx, &browser, outcome).await,
        Err(error) if pages::error::accepts_pages(&headers) => Ok(pages::error::refusal(Some(&ctx.instance), error)),
        Err(error) => Err(Failure(error)),
    }
}

/// The first value of each parameter.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()).take(50) {
        if value.len() <= VALUE_LENGTH && !value.contains('\0') {
            parameters.entry(key.into_owned()).or_insert(value.into_owned());
        }
    }
    parameters
}

async fn respond(ctx: &Ctx, browser: &Browser, outcome: CallbackOutcome) -> Answer {
    let mut response: Response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(&outcome.url).map_err(Error::internal)?;
    response.headers_mut().insert(LOCATION, location);
    if let Some(issued) = &outcome.issued {
        let client = actions::client::read(ctx, Some(&issued.hash)).await?;
        let uat = client.map_or(0, |client| client.uat());
        answer::set_cookies(ctx, browser, uat, Some(issued), &mut response)?;
    }
    Ok(response)
}
