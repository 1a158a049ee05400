//! Taking a connected account away, or its tokens only. Nobody loses the last way to sign in, and addresses that came
//! with an account stay with the user. What the provider has to be notified of is sent afterwards, by the outbox.

use super::revoke_at_provider;
use crate::actions::client::{self, ClientUpdate};
use crate::actions::record_outcome::{self, AccountChange};
use crate::actions::session::active;
use crate::actions::session::reverify::require_recent_verification;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::id::{ExternalAccountId, UserId};
use crate::model::problem::{Problem, Result, code};
use crate::model::user::ExternalAccountStatus;
use crate::store::InstanceConnection;
use crate::store::audit::Actor;
use crate::store::connections::{self, OwnedAccount};
use crate::store::provider_tokens::forget;
use crate::store::transact::{Aborted, Committed, ScopedFutureExt, transact};

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
) -> Result<(ExternalAccountId, ClientUpdate)> {
    let session = active::session(ctx, token, session).await?;
    let user = &session.user.id;
    require_recent_verification(ctx, &session).await?;
    let removed = remove(ctx, user, id, &Actor::User(user.clone())).await?.ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
    Ok((removed, client::read_updated(ctx, token, None).await?))
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
pub async fn forget_tokens(
    ctx: &Ctx,
    token: Option<&LookupHash>,
    session: Option<&str>,
    id: &str,
) -> Result<ClientUpdate> {
    let session = active::session(ctx, token, session).await?;
    let user = &session.user.id;
    require_recent_verification(ctx, &session).await?;
    transact(ctx.db(), "provider_token.forget", |tx| {
        async move {
            let own = find_own(tx, user, id).await?.ok_or(code::EXTERNAL_ACCOUNT_NOT_FOUND)?;
            let held = forget::forget(tx, &own.id).await?;
            revoke_at_provider::put(ctx, tx, &own.provider, &own.id, held).await?;
            record_outcome::account_changed(ctx, tx, user, &own.id, AccountChange::TokensForgotten).await?;
            Ok(Committed::Done(()))
        }
        .scope_boxed()
    })
    .await?;
    client::read_updated(ctx, token, None).await
}

/// The user's account, with the user locked: two removals at once see each other.
async fn find_own(db: &mut InstanceConnection<'_>, user: &UserId, id: &str) -> Result<Option<OwnedAccount>> {
    if !connections::lock_user(db, user).await? {
        return Ok(None);
    }
    Ok(connections::own(db, user, id).await?)
}

/// Takes the account away; `None` if the user has none of that id.
async fn remove(ctx: &Ctx, user: &UserId, id: &str, actor: &Actor) -> Result<Option<ExternalAccountId>> {
    transact(ctx.db(), "external_account.remove", |tx| {
        async move { Ok(Committed::Done(try_to_remove(ctx, tx, user, id, actor).await?)) }.scope_boxed()
    })
    .await
}

async fn try_to_remove(
    ctx: &Ctx,
    db: &mut InstanceConnection<'_>,
    user: &UserId,
    id: &str,
    actor: &Actor,
) -> Result<Option<ExternalAccountId>, Aborted> {
    let Some(own) = find_own(db, user, id).await? else { return Ok(None) };
    if own.status == ExternalAccountStatus::Verified {
        let settings = &ctx.instance.settings;
        let proves_addresses =
            settings.attributes.email_address.enabled && (settings.email.code || settings.email.link);
        let left = connections::remaining_without(db, user, &own.id, proves_addresses).await?;
        if !left.has_way_in {
            return Err(Problem::new(code::IDENTIFICATION_DELETION_FAILED).into());
        }
        if left.is_last_required {
            return Err(Problem::new(code::LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED).into());
        }
    }
    let held = forget::forget(db, &own.id).await?;
    revoke_at_provider::put(ctx, db, &own.provider, &own.id, held).await?;
    connections::remove(db, own.id.as_str()).await?;
    record_outcome::account_changed(ctx, db, user, &own.id, AccountChange::Disconnected(actor.clone())).await?;
    Ok(Some(own.id))
}
