//! Signing out: one session, all of them, or the whole client. The client's token is replaced, so that a copy of the
//! old one is dead.

use crate::actions::client::{self, ClientUpdate};
use crate::actions::record_outcome;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::limits::{self, Limit};
use crate::model::id::SessionId;
use crate::model::problem::{Result, code};
use crate::store::sessions::Ending;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};
use crate::store::{attempts, clients, sessions};

/// What is to end.
#[derive(Clone, Copy, Debug)]
pub enum SessionsToEnd<'a> {
    /// This session.
    One(&'a SessionId),
    /// Every session of the client; the client itself stays known.
    All,
}

/// Ends sessions of the calling client; `None` if there is no client.
///
/// # Errors
/// `resource_not_found` for a session that is not open on this client; `too_many_requests` for signing out of nothing again
/// and again.
pub async fn end(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    sessions: SessionsToEnd<'_>,
    ending: Ending,
) -> Result<Option<ClientUpdate>> {
    let Some(token) = token else { return refuse_absent(sessions) };
    let one = match sessions {
        SessionsToEnd::One(session) => Some(session),
        SessionsToEnd::All => None,
    };
    match (sessions::has_open(&mut ctx.db(), token, one).await?, sessions) {
        (None, _) => return refuse_absent(sessions),
        (Some(false), SessionsToEnd::One(_)) => return Err(code::RESOURCE_NOT_FOUND.into()),
        // Nobody is signed in, and the token is replaced all the same: whoever has no account may have that written as often
        // as they may begin something.
        (Some(false), SessionsToEnd::All) => limits::spend(ctx, Limit::CreateAttempt)?,
        (Some(true), _) => {}
    }
    let issued = transact(ctx.db(), "session.end", |tx| {
        async move {
            let Some(client) = clients::lock_by_token(tx, token).await? else {
                return refuse_absent(sessions).map(Committed::Done).map_err(Aborted::from);
            };
            let ended = sessions::end(tx, &client, one, ending).await?;
            if one.is_some() && ended.is_empty() {
                return Err(code::RESOURCE_NOT_FOUND.into());
            }
            for (session, user) in &ended {
                record_outcome::signed_out(ctx, tx, user, session, ending).await?;
            }
            attempts::forget_completed(tx, &client).await?;
            let issued = client::new_token(ctx);
            let key = ctx.app.ring.first_id();
            if ended.is_empty() {
                // Nobody was signed in: no row is added for that.
                clients::exchange_token(tx, &client, &issued.hash, key).await?;
            } else {
                clients::rotate_token(tx, &client, &issued.hash, key).await?;
                let next = sessions::newest_open(tx, &client).await?;
                clients::touch_sign_in_state(tx, &client, next.as_ref(), None).await?;
            }
            Ok(Committed::Done(Some(issued)))
        }
        .scope_boxed()
    })
    .await?;
    match issued {
        Some(issued) => Ok(Some(client::read_updated(ctx, Some(token), Some(issued)).await?)),
        None => Ok(None),
    }
}

fn refuse_absent<T>(sessions: SessionsToEnd<'_>) -> Result<Option<T>> {
    match sessions {
        SessionsToEnd::One(_) => Err(code::RESOURCE_NOT_FOUND.into()),
        SessionsToEnd::All => Ok(None),
    }
}

/// Ends everything and forgets the client.
///
/// # Errors
/// Storage faults.
pub async fn forget_client(ctx: &Ctx, token: Option<&LookupHash>) -> Result<()> {
    let Some(token) = token else { return Ok(()) };
    transact(ctx.db(), "client.forget", |tx| {
        async move {
            let Some(client) = clients::lock_by_token(tx, token).await? else {
                return Ok(Committed::Done(()));
            };
            let ended = sessions::end(tx, &client, None, Ending::Removed).await?;
            for (session, user) in &ended {
                record_outcome::signed_out(ctx, tx, user, session, Ending::Removed).await?;
            }
            clients::remove(tx, &client).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await
}
