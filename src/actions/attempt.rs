//! Attempts as all ways of signing in and up have them: when one may begin, and how one that a call has finished, and
//! that is gone from the client, is still the call's answer.

use crate::actions::{factors, flow_steps};
use crate::context::Ctx;
use crate::model::client::{Client, SignIn, SignUp};
use crate::model::id::{ClientId, SessionId, SignInId, SignUpId};
use crate::model::linking::AttemptKind;
use crate::model::problem::{Error, Problem, Result, code};
use crate::model::reason::Reason;
use crate::store::InstanceConnection;
use crate::store::attempts::{self, SignUpFields};
use crate::store::sessions;

/// A single-session instance has at most one session on a client.
///
/// # Errors
/// `session_exists` with `meta.session_id`.
pub async fn refuse_second_session(ctx: &Ctx, db: &mut InstanceConnection<'_>, client: &ClientId) -> Result<()> {
    if !ctx.instance.settings.single_session_mode {
        return Ok(());
    }
    match sessions::newest_open(db, client).await? {
        None => Ok(()),
        Some(session) => Err(session_exists(ctx, client, &session).into()),
    }
}

/// The refusal of an attempt on a client that has a session.
pub fn session_exists(ctx: &Ctx, client: &ClientId, session: &SessionId) -> Problem {
    flow_steps::set_client(ctx, client);
    code::SESSION_EXISTS.because(Reason::AlreadySignedIn, "start").meta("session_id", session.as_str())
}

/// Writes down a new attempt; returns its id.
///
/// # Errors
/// Storage faults.
pub async fn create(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    client: &ClientId,
    kind: AttemptKind,
    fields: &SignUpFields,
) -> Result<String> {
    let flow = ctx.flow_log.flow();
    match kind {
        AttemptKind::SignIn => {
            let id = SignInId::new(ctx.now, ctx.rng());
            attempts::create_sign_in(db, &id, client, flow.as_ref()).await?;
            Ok(id.to_string())
        }
        AttemptKind::SignUp => {
            let id = SignUpId::new(ctx.now, ctx.rng());
            attempts::create_sign_up(db, &id, client, fields, flow.as_ref()).await?;
            Ok(id.to_string())
        }
    }
}

/// The sign-in with this id: the client's current one, or the one just finished.
///
/// # Errors
/// Storage faults.
pub async fn sign_in(ctx: &Ctx, client: &Client, id: &str) -> Result<SignIn> {
    if let Some(current) = client.sign_in.as_ref().filter(|attempt| attempt.id.as_str() == id) {
        return Ok(current.clone());
    }
    let found = attempts::sign_in(&mut ctx.db(), id).await?;
    let mut found = found.ok_or_else(|| Error::internal("a sign-in vanished while it was answered"))?;
    factors::fill(ctx, &mut found);
    Ok(found)
}

/// The sign-up with this id: the client's current one, or the one just finished.
///
/// # Errors
/// Storage faults.
pub async fn sign_up(ctx: &Ctx, client: &Client, id: &str) -> Result<SignUp> {
    if let Some(current) = client.sign_up.as_ref().filter(|attempt| attempt.id.as_str() == id) {
        return Ok(current.clone());
    }
    let found = attempts::sign_up(&mut ctx.db(), id).await?;
    let mut found = found.ok_or_else(|| Error::internal("a sign-up vanished while it was answered"))?;
    factors::fill_sign_up(ctx, &mut found);
    Ok(found)
}
