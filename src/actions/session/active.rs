//! The session that a call to `/v1/me` acts for.

use crate::actions::client;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::client::{Client, Session, SessionStatus};
use crate::model::problem::{Result, code};

/// The active session that `wanted` names, else the one that pages act for.
pub fn of<'a>(client: &'a Client, wanted: Option<&str>) -> Option<&'a Session> {
    match wanted {
        Some(id) => {
            client.sessions.iter().find(|session| session.id.as_str() == id && session.status == SessionStatus::Active)
        }
        None => client.active_session(),
    }
}

/// The same, read now.
///
/// # Errors
/// `authentication_invalid` where nobody is signed in.
pub async fn session(ctx: &Ctx, token: Option<&LookupHash>, wanted: Option<&str>) -> Result<Session> {
    let client = client::read(ctx, token).await?;
    let session = client.as_ref().and_then(|client| of(client, wanted));
    session.cloned().ok_or_else(|| code::AUTHENTICATION_INVALID.into())
}
