//! `POST /oauth/token_info` (RFC 7662).

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::client;
use super::error::{OAuthFailure, uncached};
use crate::actions::token::introspect::{self, LiveKind};
use crate::context::Ctx;
use crate::store::oauth_tokens::LiveToken;

/// Parameters that may occur once.
const ONCE: [&str; 3] = ["token", "token_type_hint", "scope"];

/// What is shown of a token; of one that is not live, nothing but that.
#[derive(Serialize)]
struct TokenInfo {
    active: bool,
    #[serde(flatten)]
    live: Option<Live>,
}

#[derive(Serialize)]
struct Live {
    client_id: String,
    sub: String,
    scope: String,
    iat: i64,
    exp: i64,
    iss: String,
    aud: Vec<String>,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
}

/// Tells a confidential client what a token is.
pub async fn show(ctx: Ctx, request: Request) -> Result<Response, OAuthFailure> {
    let (presented, form) = client::read(&ctx, request, &ONCE).await?;
    let found = introspect::introspect(&ctx, &presented, &form).await;
    let found = client::note_refusal(&ctx, &presented, found)?;
    let live = found.map(|(kind, token)| live(&ctx, kind, token));
    let mut response = Json(TokenInfo { active: live.is_some(), live }).into_response();
    uncached(&mut response);
    Ok(response)
}

fn live(ctx: &Ctx, kind: LiveKind, token: LiveToken) -> Live {
    let issuer = &ctx.instance.origin;
    Live {
        client_id: token.client_id,
        sub: token.user_id.to_string(),
        scope: token.scopes.to_string(),
        iat: token.issued_at.unix_timestamp(),
        exp: token.expires_at.unix_timestamp(),
        iss: issuer.clone(),
        aud: if token.audience.is_empty() { vec![issuer.clone()] } else { token.audience },
        token_type: match kind {
            LiveKind::Access => "Bearer",
            LiveKind::Refresh => "refresh_token",
        },
        jti: token.jti,
        username: token.username,
    }
}
