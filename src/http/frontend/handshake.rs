//! `/v1/client/handshake`: an app's server asks who the browser is.

use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use super::super::cookies;
use super::super::extract::{Browser, Query};
use super::super::problem::Answer;
use crate::actions::session::handshake::{self, Handshake};
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::model::instance::KeyForm;
use crate::model::problem::Error;
use crate::model::redirect::with_query;

/// The largest cookie that browsers keep, with room for its attributes.
const COOKIE_SIZE: usize = 4000;
/// The longest addition to an address.
const ADDRESS_SIZE: usize = 2000;

/// `GET /v1/client/handshake`: back to the app's page, with the cookies that its server must set.
pub async fn show(ctx: Ctx, browser: Browser, Query(query): Query) -> Answer {
    let found = handshake::handshake(&ctx, browser.hash.as_ref(), query.text("redirect_url")).await?;
    let directives = directives(&ctx, &found);
    let token = handshake::sign(&ctx, &directives).await?;
    let in_address = ctx.instance.key_form() == KeyForm::Test;
    let limit = if in_address { ADDRESS_SIZE } else { COOKIE_SIZE };
    let (name, value) = if cookies::HANDSHAKE.len() + token.len() <= limit {
        (cookies::HANDSHAKE, token)
    } else {
        (cookies::HANDSHAKE_NONCE, handshake::keep(&ctx, &directives).await?.expose_secret().to_owned())
    };
    let mut response: Response = StatusCode::TEMPORARY_REDIRECT.into_response();
    let target = found.redirect.as_str();
    if in_address {
        let location = HeaderValue::from_str(&with_query(target, name, &value)).map_err(Error::internal)?;
        response.headers_mut().insert(LOCATION, location);
        return Ok(response);
    }
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(target).map_err(Error::internal)?);
    cookies::set(response.headers_mut(), &cookies::handshake(&ctx.instance, name, &value))?;
    Ok(response)
}

/// `Set-Cookie` lines for the app's server. Handshake cookies go first, so that none is replayed after a sign-out; the
/// SDK takes the session token from the last line that names one.
fn directives(ctx: &Ctx, found: &Handshake) -> Vec<String> {
    let instance = &ctx.instance;
    let mut lines: Vec<String> =
        [cookies::HANDSHAKE, cookies::HANDSHAKE_NONCE].map(|name| cookies::handshake(instance, name, "")).into();
    lines.extend(cookies::client_uat(instance, found.uat));
    lines.extend(cookies::session(instance, found.session_token.as_deref().unwrap_or_default()));
    lines
}
