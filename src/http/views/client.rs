//! The whole client, and sessions as the frontend sees them.

use serde_json::{Value, json};

use super::{sign_in, sign_up, user};
use crate::model::client::{Client, Session};
use crate::model::instance::Instance;
use crate::model::time::{Timestamp, millis};

/// The client. `tokens` holds one session token per session, in order.
pub fn client(client: &Client, instance: &Instance, tokens: &[String], now: Timestamp) -> Value {
    let tokens = tokens.iter().map(Some).chain(std::iter::repeat(None));
    let sessions: Vec<Value> =
        client.sessions.iter().zip(tokens).map(|(found, token)| session(found, instance, token, now)).collect();
    json!({
        "object": "client",
        "id": client.id,
        "sessions": sessions,
        "sign_in": client.sign_in.as_ref().map(|attempt| sign_in::sign_in(attempt, instance, now)),
        "sign_up": client.sign_up.as_ref().map(|attempt| sign_up::sign_up(attempt, now)),
        "last_active_session_id": client.last_active_session_id,
        "last_authentication_strategy": client.last_authentication_strategy,
        "cookie_expires_at": null,
        "captcha_bypass": false,
        "created_at": millis(client.created_at),
        "updated_at": millis(client.updated_at),
    })
}

/// A session with its user.
pub fn session(session: &Session, instance: &Instance, token: Option<&String>, now: Timestamp) -> Value {
    let who = &session.user;
    let abandon_at = session.last_active_at + time::Duration::seconds(i64::from(instance.settings.session.inactivity));
    json!({
        "object": "session",
        "id": session.id,
        "status": session.status,
        "expire_at": millis(session.expire_at),
        "abandon_at": millis(abandon_at),
        "last_active_at": millis(session.last_active_at),
        "last_active_token": token.map(|jwt| json!({ "object": "token", "jwt": jwt })),
        "last_active_organization_id": null,
        "actor": session.actor,
        "tasks": null,
        "user": user::user(who, user::Audience::Frontend, instance, now),
        "public_user_data": {
            "first_name": who.first_name,
            "last_name": who.last_name,
            "image_url": user::image_url(who, &instance.origin),
            "has_image": who.image_url.is_some(),
            "identifier": who.identifier(),
            "user_id": who.id,
            "username": who.username,
        },
        "factor_verification_age": session.factor_ages(now),
        "created_at": millis(session.created_at),
        "updated_at": millis(session.updated_at),
    })
}
