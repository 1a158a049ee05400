//! Trips to providers: the state is consumed once, by the browser that began.

use serde_json::Value;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgPool};

use crate::crypto::LookupHash;
use crate::model::id::{ClientId, FlowId, InstanceId, SocialFlowId, VerificationId};

/// A trip about to begin.
pub struct NewFlow<'a> {
    /// Names it.
    pub id: &'a SocialFlowId,
    /// The proof it is for.
    pub verification: &'a VerificationId,
    /// `sign_in`, `sign_up`.
    pub intent: &'static str,
    /// The attempt's id.
    pub target: &'a str,
    /// The browser that begins.
    pub client: &'a ClientId,
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
    /// The flow on the inspector's record.
    pub flow: Option<&'a FlowId>,
}

/// Stores a trip; it ends after ten minutes.
///
/// # Errors
/// Storage faults.
pub async fn begin(
    db: &mut PgConnection,
    instance: &InstanceId,
    new: &NewFlow<'_>,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into social_flows (instance_id, id, verification_id, intent, target_id, client_id, provider,
               provider_config_version, state_hash, pkce_verifier_sealed, nonce_hash, callback_url, redirect_url,
               action_complete_redirect_url, scopes, flow_id, expires_at, created_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17,
               now() + $16 + interval '10 min', now() + $16)"#,
        instance.as_str(),
        new.id.as_str(),
        new.verification.as_str(),
        new.intent,
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
        offset,
        new.flow.map(FlowId::as_str),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A trip as it was stored.
#[derive(Clone, Debug)]
pub struct SocialFlow {
    /// Names it.
    pub id: SocialFlowId,
    /// The proof it is for.
    pub verification_id: VerificationId,
    /// `sign_in`, `sign_up`.
    pub intent: String,
    /// The attempt's id.
    pub target_id: String,
    /// The browser that began.
    pub client_id: ClientId,
    /// Slug.
    pub provider: String,
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
    /// The flow on the inspector's record.
    pub flow_id: Option<FlowId>,
}

/// Which of these hashes, one per key of the ring, a state is stored under.
///
/// # Errors
/// Storage faults.
pub async fn stored_under(
    db: &PgPool,
    instance: &InstanceId,
    hashes: &[LookupHash],
) -> sqlx::Result<Option<LookupHash>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_bytes().as_slice()).collect();
    sqlx::query_scalar!(
        r#"select state_hash as "hash: LookupHash" from social_flows where instance_id = $1 and state_hash = any($2)"#,
        instance.as_str(),
        hashes as Vec<&[u8]>,
    )
    .fetch_optional(db)
    .await
}

/// Consumes a state: once, in time, by the browser that began, and only while its attempt is the current one. This one
/// statement is all that stands between a stolen link and an account (security.md section 2). A replaced client token
/// has no grace here: the callback hands out the next one.
///
/// # Errors
/// Storage faults.
pub async fn consume(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    state: &LookupHash,
    token: &LookupHash,
    offset: PgInterval,
) -> sqlx::Result<Option<SocialFlow>> {
    sqlx::query_as!(
        SocialFlow,
        r#"update social_flows f set consumed_at = now() + $4
           from client_tokens t
           where t.instance_id = $1 and t.hash = $3 and t.superseded_at is null
               and f.instance_id = $1 and f.state_hash = $2 and f.client_id = t.client_id
               and f.consumed_at is null and f.expires_at > now() + $4
               and (exists (select from sign_ins s where s.instance_id = $1 and s.id = f.target_id
                       and s.replaced_at is null and s.completed_at is null)
                   or exists (select from sign_ups s where s.instance_id = $1 and s.id = f.target_id
                       and s.replaced_at is null and s.completed_at is null))
           returning f.id as "id: SocialFlowId", f.verification_id as "verification_id: VerificationId", f.intent,
               f.target_id, f.client_id as "client_id: ClientId", f.provider, f.pkce_verifier_sealed, f.nonce_hash,
               f.callback_url, f.redirect_url, f.action_complete_redirect_url, f.scopes, f.profile, f.tokens_sealed,
               f.flow_id as "flow_id: FlowId""#,
        instance.as_str(),
        state.as_bytes(),
        token.as_bytes(),
        offset,
    )
    .fetch_optional(db)
    .await
}

/// True while `target` is an attempt that was neither replaced nor finished. Asked with its client locked, because every
/// start, transfer and sign-out takes that lock.
///
/// # Errors
/// Storage faults.
pub async fn is_current(db: &mut PgConnection, instance: &InstanceId, target: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from sign_ins where instance_id = $1 and id = $2 and replaced_at is null
                   and completed_at is null)
               or exists (select from sign_ups where instance_id = $1 and id = $2 and replaced_at is null
                   and completed_at is null) as "is_current!""#,
        instance.as_str(),
        target,
    )
    .fetch_one(db)
    .await
}

/// What is known about a state that could not be consumed.
#[derive(Clone, Debug)]
pub struct Unconsumed {
    /// It was consumed before.
    pub is_consumed: bool,
    /// The consumer has finished.
    pub is_finished: bool,
    /// Its ten minutes are over.
    pub is_expired: bool,
    /// The presenting browser is the one that began.
    pub is_same_browser: bool,
    /// Where the consumer sent the browser.
    pub outcome_url: Option<String>,
    /// The flow on the inspector's record.
    pub flow_id: Option<FlowId>,
}

/// Why [`consume`] found nothing; `None` if the instance does not know the state at all.
///
/// # Errors
/// Storage faults.
pub async fn why_not(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    state: &LookupHash,
    token: Option<&LookupHash>,
    offset: PgInterval,
) -> sqlx::Result<Option<Unconsumed>> {
    sqlx::query_as!(
        Unconsumed,
        r#"select f.consumed_at is not null as "is_consumed!", f.finished_at is not null as "is_finished!",
               f.expires_at <= now() + $4 as "is_expired!",
               exists (select from client_tokens t where t.instance_id = $1 and t.hash = $3
                   and t.client_id = f.client_id) as "is_same_browser!",
               f.outcome_url, f.flow_id as "flow_id: FlowId"
           from social_flows f where f.instance_id = $1 and f.state_hash = $2"#,
        instance.as_str(),
        state.as_bytes(),
        token.map(|hash| hash.as_bytes().as_slice()),
        offset,
    )
    .fetch_optional(db)
    .await
}

/// Finishes a trip: what came back (kept only while a transfer may need it), and where the browser was sent.
///
/// # Errors
/// Storage faults.
pub async fn finish(
    db: &mut PgConnection,
    instance: &InstanceId,
    id: &SocialFlowId,
    kept: Option<(&str, &Value, &[u8])>,
    outcome_url: &str,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update social_flows set finished_at = now() + $7, outcome_url = $6, provider_user_id = $3, profile = $4,
               tokens_sealed = $5
           where instance_id = $1 and id = $2"#,
        instance.as_str(),
        id.as_str(),
        kept.map(|kept| kept.0),
        kept.map(|kept| kept.1),
        kept.map(|kept| kept.2),
        outcome_url,
        offset,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads a trip.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut PgConnection, instance: &InstanceId, id: &SocialFlowId) -> sqlx::Result<SocialFlow> {
    sqlx::query_as!(
        SocialFlow,
        r#"select id as "id: SocialFlowId", verification_id as "verification_id: VerificationId", intent, target_id,
               client_id as "client_id: ClientId", provider, pkce_verifier_sealed, nonce_hash, callback_url,
               redirect_url, action_complete_redirect_url, scopes, profile, tokens_sealed, flow_id as "flow_id: FlowId"
           from social_flows where instance_id = $1 and id = $2"#,
        instance.as_str(),
        id.as_str(),
    )
    .fetch_one(db)
    .await
}

/// The trip whose proof still waits for what the attempt `target` lacks.
///
/// # Errors
/// Storage faults.
pub async fn waiting(db: &mut PgConnection, instance: &InstanceId, target: &str) -> sqlx::Result<Option<SocialFlow>> {
    sqlx::query_as!(
        SocialFlow,
        r#"select id as "id: SocialFlowId", verification_id as "verification_id: VerificationId", intent, target_id,
               client_id as "client_id: ClientId", provider, pkce_verifier_sealed, nonce_hash, callback_url,
               redirect_url, action_complete_redirect_url, scopes, profile, tokens_sealed,
               flow_id as "flow_id: FlowId"
           from social_flows where instance_id = $1 and target_id = $2 and tokens_sealed is not null
           order by id desc limit 1"#,
        instance.as_str(),
        target,
    )
    .fetch_optional(db)
    .await
}

/// Carries a trip's proof over to another attempt of the same client.
///
/// # Errors
/// Storage faults.
pub async fn carry(
    db: &mut PgConnection,
    instance: &InstanceId,
    id: &SocialFlowId,
    target: &str,
    verification: &VerificationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update social_flows set target_id = $3, verification_id = $4 where instance_id = $1 and id = $2",
        instance.as_str(),
        id.as_str(),
        target,
        verification.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the tokens of a trip that nothing waits for any more.
///
/// # Errors
/// Storage faults.
pub async fn forget_tokens(db: &mut PgConnection, instance: &InstanceId, id: &SocialFlowId) -> sqlx::Result<()> {
    sqlx::query!(
        "update social_flows set tokens_sealed = null where instance_id = $1 and id = $2",
        instance.as_str(),
        id.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}
