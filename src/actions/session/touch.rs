//! Using a session: marks it as used, and makes it the client's active one.

use crate::actions::client::{self, ClientUpdate};
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::id::SessionId;
use crate::model::problem::{Result, code};
use crate::store::transact::{Committed, ScopedFutureExt, transact};
use crate::store::{clients, sessions};

/// Touches a session of the calling client.
///
/// # Errors
/// `resource_not_found` for another client's or an unknown session, `invalid_action_for_session` for an ended one.
pub async fn touch(ctx: &Ctx, token: Option<&LookupHash>, session: &SessionId) -> Result<ClientUpdate> {
    let token = token.ok_or(code::RESOURCE_NOT_FOUND)?;
    transact(ctx.db(), "session.touch", |tx| {
        async move {
            let client = clients::lock_by_token(tx, token).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
            let touched = sessions::touch(tx, &client, session).await?;
            let Some(is_active) = touched else {
                let is_own = sessions::is_of_client(tx, &client, session).await?;
                return Err(if is_own { code::INVALID_ACTION_FOR_SESSION } else { code::RESOURCE_NOT_FOUND }.into());
            };
            if !is_active {
                clients::touch_sign_in_state(tx, &client, Some(session), None).await?;
            }
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, Some(token), None).await
}
