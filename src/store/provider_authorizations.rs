//! Authorizations at providers: the state is consumed once, by the browser that began.

use serde_json::Value;

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::id::{ClientId, FlowId, ProviderAuthorizationId, SessionId, UserId, VerificationId};
use crate::model::provider_authorization::{Intent, Transport};
use crate::model::strategy::ProviderSlug;

/// An authorization about to begin.
pub struct NewAuthorization<'a> {
    /// Names it.
    pub id: &'a ProviderAuthorizationId,
    /// The verification it is for.
    pub verification: &'a VerificationId,
    /// What it is for.
    pub intent: Intent,
    /// The id of the attempt, or of the account to be connected.
    pub target: &'a str,
    /// The browser that begins.
    pub client: &'a ClientId,
    /// Who connects, and the session in which; for `connect` and `reauthorize` only.
    pub session: Option<(&'a UserId, &'a SessionId)>,
    /// What binds the browser that comes back.
    pub transport: Transport,
    /// The page that begins.
    pub origin: Option<&'a str>,
    /// Slug.
    pub provider: &'a str,
    /// The provider configuration it begins under.
    pub provider_version: i64,
    /// The state's lookup hash.
    pub state: &'a LookupHash,
    /// The PKCE verifier, sealed.
    pub verifier_sealed: Option<&'a [u8]>,
    /// The nonce's lookup hash.
    pub nonce: Option<&'a LookupHash>,
    /// The redirect URI sent upstream.
    pub callback_url: &'a str,
    /// Where the browser goes when more is to be done.
    pub redirect_url: &'a str,
    /// Where it goes when all is done.
    pub complete_url: Option<&'a str>,
    /// The scopes asked for.
    pub scopes: &'a [String],
    /// The recorded flow.
    pub flow: Option<&'a FlowId>,
}

/// Stores an authorization; it ends after ten minutes.
///
/// # Errors
/// Storage faults.
pub async fn begin(db: &mut InstanceConnection<'_>, new: &NewAuthorization<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into provider_authorizations (instance_id, id, verification_id, intent, target_id, client_id, provider,
               provider_config_version, state_hash, pkce_verifier_sealed, nonce_hash, callback_url, redirect_url,
               action_complete_redirect_url, scopes, flow_id, expires_at, created_at, user_id, session_id, transport,
               origin)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17,
               now() + $16 + interval '10 min', now() + $16, $18, $19, $20, $21)"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.verification.as_str(),
        new.intent as Intent,
        new.target,
        new.client.as_str(),
        new.provider,
        new.provider_version,
        new.state.as_bytes(),
        new.verifier_sealed,
        new.nonce.map(|hash| hash.as_bytes().as_slice()),
        new.callback_url,
        new.redirect_url,
        new.complete_url,
        new.scopes,
        db.offset(),
        new.flow.map(FlowId::as_str),
        new.session.map(|(user, _)| user.as_str()),
        new.session.map(|(_, session)| session.as_str()),
        new.transport as Transport,
        new.origin,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An authorization as it was stored.
#[derive(Clone, Debug)]
pub struct ProviderAuthorization {
    /// Names it.
    pub id: ProviderAuthorizationId,
    /// The verification it is for.
    pub verification_id: VerificationId,
    /// What it is for.
    pub intent: Intent,
    /// The id of the attempt, or of the account to be connected.
    pub target_id: String,
    /// The browser that began.
    pub client_id: ClientId,
    /// Who connects.
    pub user_id: Option<UserId>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// How the browser that comes back is known.
    pub transport: Transport,
    /// The page that began.
    pub origin: Option<String>,
    /// Which provider.
    pub provider: ProviderSlug,
    /// The PKCE verifier, sealed.
    pub pkce_verifier_sealed: Option<Vec<u8>>,
    /// The nonce's lookup hash.
    pub nonce_hash: Option<Vec<u8>>,
    /// The redirect URI sent upstream.
    pub callback_url: String,
    /// Where the browser goes when more is to be done.
    pub redirect_url: String,
    /// Where it goes when all is done.
    pub action_complete_redirect_url: Option<String>,
    /// The scopes asked for.
    pub scopes: Vec<String>,
    /// What came back, once it has.
    pub profile: Option<Value>,
    /// The provider's answer, sealed, until it is decided or transferred.
    pub tokens_sealed: Option<Vec<u8>>,
    /// The recorded flow.
    pub flow_id: Option<FlowId>,
}

/// Which of these hashes, one per key of the ring, a state is stored under.
///
/// # Errors
/// Storage faults.
pub async fn stored_under(db: &mut InstanceConnection<'_>, hashes: &[LookupHash]) -> sqlx::Result<Option<LookupHash>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_bytes().as_slice()).collect();
    sqlx::query_scalar!(
        r#"select state_hash as "hash: LookupHash" from provider_authorizations where instance_id = $1 and state_hash = any($2)"#,
        db.instance().as_str(),
        hashes as Vec<&[u8]>,
    )
    .fetch_optional(db)
    .await
}

impl ProviderAuthorization {
    /// It connects an account to a signed-in user.
    pub fn is_connection(&self) -> bool {
        self.intent.attempt_kind().is_none()
    }

    /// The browser that comes back is not authenticated; the nonce that it hands on is.
    pub fn hands_over_nonce(&self) -> bool {
        self.transport == Transport::Nonce
    }
}

/// Consumes a state: once, in time, by the browser that began (or, where a nonce binds it, by any), and only while its
/// attempt is the current one, or the session that connects is still active. This one statement is all that stands
/// between a stolen link and an account. A replaced client token has no grace here: the callback
/// hands out the next one.
///
/// # Errors
/// Storage faults.
pub async fn consume(
    db: &mut InstanceConnection<'_>,
    state: &LookupHash,
    token: Option<&LookupHash>,
) -> sqlx::Result<Option<ProviderAuthorization>> {
    sqlx::query_as!(
        ProviderAuthorization,
        r#"update provider_authorizations f set consumed_at = now() + $4
           where f.instance_id = $1 and f.state_hash = $2 and f.consumed_at is null and f.expires_at > now() + $4
               and (f.transport = 'nonce' or exists (select from client_tokens t
                   where t.instance_id = $1 and t.hash = $3 and t.superseded_at is null and t.client_id = f.client_id))
               and (f.session_id is not null or exists (select from verifications v
                   where v.instance_id = $1 and v.id = f.verification_id and v.superseded_at is null))
               and (exists (select from sign_ins s where s.instance_id = $1 and s.id = f.target_id
                       and s.replaced_at is null and s.completed_at is null)
                   or exists (select from sign_ups s where s.instance_id = $1 and s.id = f.target_id
                       and s.replaced_at is null and s.completed_at is null)
                   or (exists (select from sessions s where s.instance_id = $1 and s.id = f.session_id
                           and s.client_id = f.client_id and s.user_id = f.user_id and s.status = 'active'
                           and s.expire_at > now() + $4)
                       and exists (select from external_accounts e where e.instance_id = $1 and e.id = f.target_id)))
           returning f.id as "id: ProviderAuthorizationId", f.verification_id as "verification_id: VerificationId",
               f.intent as "intent: Intent",
               f.target_id, f.client_id as "client_id: ClientId", f.user_id as "user_id: UserId",
               f.session_id as "session_id: SessionId", f.transport as "transport: Transport", f.origin,
               f.provider as "provider: ProviderSlug", f.pkce_verifier_sealed,
               f.nonce_hash, f.callback_url, f.redirect_url, f.action_complete_redirect_url, f.scopes, f.profile,
               f.tokens_sealed, f.flow_id as "flow_id: FlowId""#,
        db.instance().as_str(),
        state.as_bytes(),
        token.map(|hash| hash.as_bytes().as_slice()),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// True while `target` is an attempt that was neither replaced nor finished, and `verification` is what is asked of it. Asked
/// with its client locked, because every start, transfer and sign-out takes that lock.
///
/// # Errors
/// Storage faults.
pub async fn is_current(
    db: &mut InstanceConnection<'_>,
    target: &str,
    verification: &VerificationId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select (exists (select from sign_ins where instance_id = $1 and id = $2 and replaced_at is null
                   and completed_at is null)
               or exists (select from sign_ups where instance_id = $1 and id = $2 and replaced_at is null
                   and completed_at is null))
               and exists (select from verifications where instance_id = $1 and id = $3 and superseded_at is null)
               as "is_current!""#,
        db.instance().as_str(),
        target,
        verification.as_str(),
    )
    .fetch_one(db)
    .await
}

/// What is known about a state that could not be consumed.
#[derive(Clone, Debug)]
pub struct Unconsumed {
    /// The client that began.
    pub client_id: ClientId,
    /// It was consumed before.
    pub is_consumed: bool,
    /// The consumer has finished.
    pub is_finished: bool,
    /// Its ten minutes are over.
    pub is_expired: bool,
    /// The presenting browser is the one that began.
    pub is_same_browser: bool,
    /// A nonce binds it, not the browser.
    pub hands_over_nonce: bool,
    /// It was to connect an account, and the session that began it is no longer active.
    pub is_session_over: bool,
    /// Where the consumer sent the browser.
    pub outcome_url: Option<String>,
    /// The recorded flow.
    pub flow_id: Option<FlowId>,
}

/// Why [`consume`] found nothing; `None` if the instance does not know the state at all.
///
/// # Errors
/// Storage faults.
pub async fn why_not(
    db: &mut InstanceConnection<'_>,
    state: &LookupHash,
    token: Option<&LookupHash>,
) -> sqlx::Result<Option<Unconsumed>> {
    sqlx::query_as!(
        Unconsumed,
        r#"select f.consumed_at is not null as "is_consumed!", f.finished_at is not null as "is_finished!",
               f.expires_at <= now() + $4 as "is_expired!",
               exists (select from client_tokens t where t.instance_id = $1 and t.hash = $3
                   and t.client_id = f.client_id) as "is_same_browser!",
               f.transport = 'nonce' as "hands_over_nonce!",
               f.session_id is not null and not exists (select from sessions s where s.instance_id = $1
                   and s.id = f.session_id and s.status = 'active' and s.expire_at > now() + $4) as "is_session_over!",
               f.outcome_url, f.flow_id as "flow_id: FlowId", f.client_id as "client_id: ClientId"
           from provider_authorizations f where f.instance_id = $1 and f.state_hash = $2"#,
        db.instance().as_str(),
        state.as_bytes(),
        token.map(|hash| hash.as_bytes().as_slice()),
        db.offset(),
    )
    .fetch_optional(db)
    .await
}

/// Finishes an authorization: what came back (stored only while a transfer may need it), and where the browser was
/// sent. What verified the exchange has done its part.
///
/// # Errors
/// Storage faults.
pub async fn finish(
    db: &mut InstanceConnection<'_>,
    id: &ProviderAuthorizationId,
    received: Option<(&str, &Value, &[u8])>,
    outcome_url: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update provider_authorizations set finished_at = now() + $7, outcome_url = $6, provider_user_id = $3, profile = $4,
               tokens_sealed = $5, pkce_verifier_sealed = null, callback_sealed = null
           where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
        received.map(|received| received.0),
        received.map(|received| received.1),
        received.map(|received| received.2),
        outcome_url,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads an authorization.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut InstanceConnection<'_>, id: &ProviderAuthorizationId) -> sqlx::Result<ProviderAuthorization> {
    sqlx::query_as!(
        ProviderAuthorization,
        r#"select id as "id: ProviderAuthorizationId", verification_id as "verification_id: VerificationId",
               intent as "intent: Intent", target_id,
               client_id as "client_id: ClientId", user_id as "user_id: UserId", session_id as "session_id: SessionId",
               transport as "transport: Transport", origin,
               provider as "provider: ProviderSlug", pkce_verifier_sealed, nonce_hash, callback_url, redirect_url,
               action_complete_redirect_url, scopes, profile, tokens_sealed,
               flow_id as "flow_id: FlowId"
           from provider_authorizations where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_one(db)
    .await
}

/// The authorization whose verification still waits for what the attempt `target` lacks. What waits behind a nonce that
/// nobody has presented belongs to nobody yet.
///
/// # Errors
/// Storage faults.
pub async fn waiting(db: &mut InstanceConnection<'_>, target: &str) -> sqlx::Result<Option<ProviderAuthorization>> {
    sqlx::query_as!(
        ProviderAuthorization,
        r#"select id as "id: ProviderAuthorizationId", verification_id as "verification_id: VerificationId",
               intent as "intent: Intent", target_id,
               client_id as "client_id: ClientId", user_id as "user_id: UserId", session_id as "session_id: SessionId",
               transport as "transport: Transport", origin,
               provider as "provider: ProviderSlug", pkce_verifier_sealed, nonce_hash, callback_url, redirect_url,
               action_complete_redirect_url, scopes, profile, tokens_sealed,
               flow_id as "flow_id: FlowId"
           from provider_authorizations where instance_id = $1 and target_id = $2 and tokens_sealed is not null
               and (transport = 'cookie' or rotating_token_nonce_used_at is not null)
           order by id desc limit 1"#,
        db.instance().as_str(),
        target,
    )
    .fetch_optional(db)
    .await
}

/// Transfers an authorization's verification to another attempt of the same client.
///
/// # Errors
/// Storage faults.
pub async fn transfer(
    db: &mut InstanceConnection<'_>,
    id: &ProviderAuthorizationId,
    target: &str,
    verification: &VerificationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update provider_authorizations set target_id = $3, verification_id = $4 where instance_id = $1 and id = $2",
        db.instance().as_str(),
        id.as_str(),
        target,
        verification.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the tokens of an authorization that nothing waits for any more.
///
/// # Errors
/// Storage faults.
pub async fn forget_tokens(db: &mut InstanceConnection<'_>, id: &ProviderAuthorizationId) -> sqlx::Result<()> {
    sqlx::query!(
        "update provider_authorizations set tokens_sealed = null where instance_id = $1 and id = $2",
        db.instance().as_str(),
        id.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the tokens of every authorization for `target`: another one takes their place, or it is complete.
///
/// # Errors
/// Storage faults.
pub async fn forget_waiting(db: &mut InstanceConnection<'_>, target: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update provider_authorizations set tokens_sealed = null
         where instance_id = $1 and target_id = $2 and tokens_sealed is not null",
        db.instance().as_str(),
        target,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends an authorization that came to nothing; one that was finished after all stays as it is.
///
/// # Errors
/// Storage faults.
pub async fn close(
    db: &mut InstanceConnection<'_>,
    id: &ProviderAuthorizationId,
    outcome_url: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update provider_authorizations set finished_at = now() + $4, outcome_url = $3, pkce_verifier_sealed = null,
               callback_sealed = null
           where instance_id = $1 and id = $2 and finished_at is null"#,
        db.instance().as_str(),
        id.as_str(),
        outcome_url,
        db.offset(),
    )
    .execute(db)
    .await?;
    Ok(())
}
