//! What the ends of all authorizations have in common, whatever the authorization was for: the answer that came back,
//! the browser that must still be the same, and where it goes.

use crate::actions::client::Issued;
use crate::actions::identity::ProviderIdentity;
use crate::context::Ctx;
use crate::crypto::LookupHash;
use crate::model::problem::{Error, Result, code};
use crate::model::reason::{Failure, Reason};
use crate::store::InstanceConnection;
use crate::store::provider_authorizations::ProviderAuthorization;
use crate::store::{clients, provider_authorizations};

/// Where the browser goes, and the client token it must be given.
pub struct CallbackOutcome {
    /// Absolute address.
    pub url: String,
    /// Set when a session began.
    pub issued: Option<Issued>,
}

/// What came back from the provider, or why it verifies nothing.
pub enum ProviderAnswer {
    /// Who somebody is.
    ProviderIdentity(Box<ProviderIdentity>),
    /// Why nothing is verified.
    Failed(Failure),
}

/// The callback is refused, and says why.
pub(super) fn invalid(reason: Reason, detail: &'static str) -> Error {
    tracing::info!(reason = reason.name(), "callback refused");
    code::OAUTH_CALLBACK_INVALID.because(reason, detail).meta("reason", reason.name()).into()
}

/// Locks the client that began; false if the token is not its token any more.
pub(super) async fn lock_client(
    db: &mut InstanceConnection<'_>,
    token: Option<&LookupHash>,
    authorization: &ProviderAuthorization,
) -> Result<bool> {
    let Some(token) = token else { return Ok(false) };
    let client = clients::lock_by_token(db, token).await?;
    Ok(client.as_ref() == Some(&authorization.client_id))
}

/// Ends an authorization that led nowhere, whatever the way out was. What cannot be closed either is emptied by the
/// periodic task.
pub(super) async fn close(ctx: &Ctx, authorization: &ProviderAuthorization) {
    let url = &authorization.redirect_url;
    if let Err(error) = provider_authorizations::close(&mut ctx.db(), &authorization.id, url).await {
        tracing::warn!(%error, "an authorization that failed could not be closed");
    }
}

/// A verification in the form in which it waits with its authorization.
pub(super) fn keep(
    ctx: &Ctx,
    authorization: &ProviderAuthorization,
    identity: &ProviderIdentity,
) -> Result<(String, serde_json::Value, Vec<u8>)> {
    let profile = serde_json::to_value(&identity.profile).map_err(Error::internal)?;
    let id = identity.profile.provider_user_id.clone();
    Ok((id, profile, identity.seal_tokens(ctx, &authorization.id)?))
}
