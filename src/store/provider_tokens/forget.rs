//! Forgetting an account's tokens, for whoever has the provider notified.

use crate::model::id::ExternalAccountId;
use crate::store::InstanceConnection;

/// What an account held, sealed to where it lay.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// The access token.
    pub access_token_sealed: Option<Vec<u8>>,
    /// The refresh token.
    pub refresh_token_sealed: Option<Vec<u8>>,
}

/// Forgets the tokens of an account; returns them, so that the provider can be notified. The row and its generation
/// stay: an answer that is on its way belongs to the past.
///
/// # Errors
/// Storage faults.
pub async fn forget(db: &mut InstanceConnection<'_>, account: &ExternalAccountId) -> sqlx::Result<Option<Forgotten>> {
    sqlx::query_as!(
        Forgotten,
        r#"with old as (
               select access_token_sealed, refresh_token_sealed from provider_tokens
               where instance_id = $1 and external_account_id = $2 for update
           )
           update provider_tokens t set generation = t.generation + 1, access_token_sealed = null,
               refresh_token_sealed = null, id_token_sealed = null, expires_at = null, state = 'needs_reconnect',
               reason = 'token_missing', state_since_at = now() + $3, refresh_lease_owner = null,
               refresh_lease_until = null, updated_at = now() + $3
           from old where t.instance_id = $1 and t.external_account_id = $2
           returning old.access_token_sealed, old.refresh_token_sealed"#,
        db.instance().as_str(),
        account.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}
