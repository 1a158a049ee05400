//! Taking a connected account away, or its tokens only. Nobody loses the last way to sign in, and addresses that came
//! with an account stay with the user. What the provider has to be told is told afterwards, by the outbox.

use sqlx::PgConnection;

use super::revoke;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::flows::client::{self, Acted};
use crate::flows::record::{self, AccountChange};
use crate::flows::session::active;
use crate::flows::session::reverify::require_recent_proof;
use crate::model::id::{ExternalAccountId, UserId};
use crate::model::problem::{Result, code};
use crate::store::audit::Actor;
use crate::store::connections::{self, Own};
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
    let mut tx = ctx.app.db.begin().await?;
    let own = own(ctx, &mut tx, user, id).await?.ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    remove(ctx, &mut tx, user, &own, Actor::User(user.clone())).await?;
    tx.commit().await?;
    Ok((own.id, client::acted(ctx, token, None).await?))
}

/// A backend takes an account of a user away.
///
/// # Errors
/// `resource_not_found`; `identification_deletion_failed`, `last_required_identification_deletion_failed`.
pub async fn disconnect_by_backend(ctx: &Ctx, user: &UserId, id: &str, actor: Actor) -> Result<ExternalAccountId> {
    let mut tx = ctx.app.db.begin().await?;
    let own = own(ctx, &mut tx, user, id).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    remove(ctx, &mut tx, user, &own, actor).await?;
    tx.commit().await?;
    Ok(own.id)
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

async fn remove(ctx: &Ctx, db: &mut PgConnection, user: &UserId, own: &Own, actor: Actor) -> Result<()> {
    if own.is_verified {
        let settings = &ctx.instance.settings;
        let proves_addresses =
            settings.attributes.email_address.enabled && (settings.email.code || settings.email.link);
        let left = connections::left_without(db, ctx.instance_id(), user, &own.id, proves_addresses).await?;
        if !left.has_way_in {
            return Err(code::IDENTIFICATION_DELETION_FAILED.into());
        }
        if left.is_last_required {
            return Err(code::LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED.into());
        }
    }
    let held = forget::forget(db, ctx.instance_id(), &own.id, ctx.offset()).await?;
    revoke::put(ctx, db, &own.provider, &own.id, held).await?;
    connections::remove(db, ctx.instance_id(), own.id.as_str()).await?;
    record::account_changed(ctx, db, user, &own.id, AccountChange::Disconnected, actor).await
}
