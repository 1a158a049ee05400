//! What waits behind a nonce until the native application that began presents it, once.

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::id::{ClientId, FlowId, ProviderAuthorizationId, SessionId, VerificationId};

/// Puts a finished authorization behind a nonce, for five minutes.
///
/// # Errors
/// Storage faults.
pub async fn put(
    db: &mut InstanceConnection<'_>,
    id: &ProviderAuthorizationId,
    nonce: &LookupHash,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update provider_authorizations set rotating_token_nonce_hash = $3,
               rotating_token_nonce_expires_at = now() + $4 + interval '5 min'
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
        nonce.as_bytes(),
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An authorization whose nonce was presented.
#[derive(Clone, Debug)]
pub struct RedeemedNonce {
    /// Names it.
    pub id: ProviderAuthorizationId,
    /// Where the browser was sent, without the nonce.
    pub outcome_url: Option<String>,
}

/// Uses a nonce up: once, in time, for the client that began.
///
/// # Errors
/// Storage faults.
pub async fn take(
    db: &mut InstanceConnection<'_>,
    nonce: &[LookupHash],
    client: &ClientId,
) -> sqlx::Result<Option<RedeemedNonce>> {
    let hashes: Vec<Vec<u8>> = nonce.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    sqlx::query_as!(
        RedeemedNonce,
        r#"update provider_authorizations set rotating_token_nonce_used_at = now() + $4
           where instance_id = $1 and rotating_token_nonce_hash = any($2) and client_id = $3
               and rotating_token_nonce_used_at is null and rotating_token_nonce_expires_at > now() + $4
           returning id as "id: ProviderAuthorizationId", outcome_url"#,
        db.instance().as_str(),
        &hashes,
        client.as_str(),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// The recorded flow that a nonce belongs to, whoever presents it.
///
/// # Errors
/// Storage faults.
pub async fn flow_of(db: &mut InstanceConnection<'_>, nonce: &[LookupHash]) -> sqlx::Result<Option<FlowId>> {
    let hashes: Vec<Vec<u8>> = nonce.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    let flow = sqlx::query_scalar!(
        r#"select flow_id as "flow: FlowId" from provider_authorizations
           where instance_id = $1 and rotating_token_nonce_hash = any($2)"#,
        db.instance().as_str(),
        &hashes,
    )
    .fetch_optional(db)
    .await?;
    Ok(flow.flatten())
}

/// The session that an attempt has made.
///
/// # Errors
/// Storage faults.
pub async fn created_session(db: &mut InstanceConnection<'_>, attempt: &str) -> sqlx::Result<Option<SessionId>> {
    sqlx::query_scalar!(
        r#"select coalesce(
               (select created_session_id from sign_ins where instance_id = $1 and id = $2),
               (select created_session_id from sign_ups where instance_id = $1 and id = $2)) as "id: SessionId""#,
        db.instance().as_str(),
        attempt,
    )
    .fetch_one(db)
    .await
}

/// The code of the error that a verification shows.
///
/// # Errors
/// Storage faults.
pub async fn shown_code(
    db: &mut InstanceConnection<'_>,
    verification: &VerificationId,
) -> sqlx::Result<Option<String>> {
    let code = sqlx::query_scalar!(
        "select error ->> 'code' from verifications where instance_id = $1 and id = $2",
        db.instance().as_str(),
        verification.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(code.flatten())
}
