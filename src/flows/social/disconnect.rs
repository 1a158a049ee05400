//! Taking a connected account away, or its tokens only. Nobody loses the last way to sign in, and addresses that came
//! with an account stay with the user. What the provider has to be told is told afterwards, by the outbox.

use super::revoke;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flows::client::{self, Acted};
use crate::flows::race::{Interrupted, TRIES};
use crate::flows::record::{self, AccountChange};
use crate::flows::session::active;
use crate::flows::session::reverify::require_recent_proof;
use crate::model::id::{ExternalAccountId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::store::audit::Actor;
use crate::store::connections::{self, Own};
use crate::store::pool::PgConnection;
use crate::store::provider_tokens::forget;

/// The signed-in user takes an account of theirs away.
///
/// # Errors
/// No active session; `external_account_not_found`; `session_reverification_required`;
/// `identification_deletion_failed`, `last_required_identification_deletion_failed`.
pub async fn disconnect(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    id: &str,
) -> Result<(ExternalAccountId, Acted)> {
    let session = active::session(ctx, token, session).await?;
    let user = &session.user.id;
    require_recent_proof(ctx, &session).await?;
    let removed = remove(ctx, user, id, &Actor::User(user.clone())).await?.ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    Ok((removed, client::acted(ctx, token, None).await?))
}

/// A backend takes an account of a user away.
///
/// # Errors
/// `resource_not_found`; `identification_deletion_failed`, `last_required_identification_deletion_failed`.
pub async fn disconnect_by_backend(ctx: &Ctx, user: &UserId, id: &str, actor: Actor) -> Result<ExternalAccountId> {
    Ok(remove(ctx, user, id, &actor).await?.ok_or(code::RESOURCE_NOT_FOUND)?)
}

/// The signed-in user has the tokens of an account forgotten; it still signs in.
///
/// # Errors
/// No active session; `external_account_not_found`; `session_reverification_required`.
pub async fn forget_tokens(ctx: &Ctx, token: Option<&LookupHash>, session: Option<&str>, id: &str) -> Result<Acted> {
    let session = active::session(ctx, token, session).await?;
    let user = &session.user.id;
    require_recent_proof(ctx, &session).await?;
    let mut tx = ctx.app.db.begin().await?;
    let own = own(ctx, &mut tx, user, id).await?.ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    let held = forget::forget(&mut tx, ctx.instance_id(), &own.id, ctx.offset()).await?;
    revoke::put(ctx, &mut tx, &own.provider, &own.id, held).await?;
    let actor = Actor::User(user.clone());
    record::account_changed(ctx, &mut tx, user, &own.id, AccountChange::TokensForgotten, actor).await?;
    tx.commit().await?;
    client::acted(ctx, token, None).await
}

/// The user's account, with the user locked: two removals at once see each other.
async fn own(ctx: &Ctx, db: &mut PgConnection, user: &UserId, id: &str) -> Result<Option<Own>> {
    if !connections::lock_user(db, ctx.instance_id(), user).await? {
        return Ok(None);
    }
    Ok(connections::own(db, ctx.instance_id(), user, id).await?)
}

/// Takes the account away; `None` if the user has none of that id.
async fn remove(ctx: &Ctx, user: &UserId, id: &str, actor: &Actor) -> Result<Option<ExternalAccountId>> {
    for _ in 0..TRIES {
        let mut tx = ctx.app.db.begin().await?;
        match try_to_remove(ctx, &mut tx, user, id, actor).await {
            Ok(removed) => {
                tx.commit().await?;
                return Ok(removed);
            }
            Err(Interrupted::Lost) => tx.rollback().await?,
            Err(Interrupted::Error(error)) => return Err(error),
        }
    }
    Err(code::RESOURCE_LOCKED.into())
}

async fn try_to_remove(
    ctx: &Ctx,
    db: &mut PgConnection,
    user: &UserId,
    id: &str,
    actor: &Actor,
) -> Result<Option<ExternalAccountId>, Interrupted> {
    let Some(own) = own(ctx, db, user, id).await? else { return Ok(None) };
    if own.is_verified {
        let settings = &ctx.instance.settings;
        let proves_addresses =
            settings.attributes.email_address.enabled && (settings.email.code || settings.email.link);
        let left = connections::left_without(db, ctx.instance_id(), user, &own.id, proves_addresses).await?;
        if !left.has_way_in {
            return Err(Problem::new(code::IDENTIFICATION_DELETION_FAILED).into());
        }
        if left.is_last_required {
            return Err(Problem::new(code::LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED).into());
        }
    }
    let held = forget::forget(db, ctx.instance_id(), &own.id, ctx.offset()).await?;
    revoke::put(ctx, db, &own.provider, &own.id, held).await?;
    connections::remove(db, ctx.instance_id(), own.id.as_str()).await?;
    record::account_changed(ctx, db, user, &own.id, AccountChange::Disconnected, actor.clone()).await?;
    Ok(Some(own.id))
}
