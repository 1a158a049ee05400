//! Answers of the frontend API: the resource and the whole client in one envelope, with the cookies that belong to it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::cookies;
use super::extract::Browser;
use super::native;
use super::problem::Answer;
use super::views;
use crate::actions::client::{ClientUpdate, Issued};
use crate::actions::session::mint;
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::model::client::Client;
use crate::model::problem::Result;

/// Which resource of the client an answer is about.
pub enum Resource {
    /// The client itself.
    Client,
    /// Its current sign-in.
    SignIn,
    /// Its current sign-up.
    SignUp,
    /// Something shown already.
    Shown(Value),
}

/// A bare JSON value with exactly `application/json`.
pub fn json(value: &Value) -> Response {
    let mut response = Json(value).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A bare JSON document that is ready to send.
pub fn json_bytes(document: bytes::Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// Shows the client; every open session carries a fresh token, which saves the SDK a request.
///
/// # Errors
/// Faults of the signing key.
pub async fn shown(ctx: &Ctx, client: &Client) -> Result<Value> {
    let mut tokens = Vec::with_capacity(client.sessions.len());
    for session in &client.sessions {
        tokens.push(mint::sign(ctx, session, ctx.from.origin.as_deref()).await?);
    }
    Ok(views::client::client(client, &ctx.instance, &tokens, ctx.now))
}

/// The answer to an act: resource, client, cookies.
///
/// # Errors
/// Faults of the signing key.
pub async fn respond(ctx: &Ctx, browser: &Browser, updated: &ClientUpdate, resource: Resource) -> Answer {
    let client = shown(ctx, &updated.client).await?;
    let of_client = |member: &str| client.get(member).cloned().unwrap_or_default();
    let shown = match resource {
        Resource::Client => client.clone(),
        Resource::SignIn => of_client("sign_in"),
        Resource::SignUp => of_client("sign_up"),
        Resource::Shown(value) => value,
    };
    let mut response = json(&json!({ "response": shown, "client": client }));
    set_cookies(ctx, browser, updated.client.uat(), updated.issued.as_ref(), &mut response)?;
    Ok(response)
}

/// Hands over the client token if it changed (a native application gets nothing else), and `__client_uat` in both spellings if the browser holds another value.
///
/// # Errors
/// A fault if a cookie cannot be written as a header.
pub fn set_cookies(
    ctx: &Ctx,
    browser: &Browser,
    uat: i64,
    issued: Option<&Issued>,
    response: &mut Response,
) -> Result<()> {
    if browser.is_native {
        return issued.map_or(Ok(()), |issued| native::set_authorization(response.headers_mut(), &issued.token));
    }
    let mut lines = Vec::new();
    if let Some(issued) = issued {
        lines.push(cookies::client(&ctx.instance, issued.token.expose_secret()));
    }
    if issued.is_some() || browser.client_uat.as_deref() != Some(uat.to_string().as_str()) {
        lines.extend(cookies::client_uat(&ctx.instance, uat));
    }
    for line in lines {
        cookies::set(response.headers_mut(), &line)?;
    }
    Ok(())
}
