//! Simulated providers of development instances: people, codes, tokens and switches.

use sqlx::postgres::types::PgInterval;

use super::pool::PgConnection;
use crate::crypto::LookupHash;
use crate::model::id::InstanceId;
use crate::model::text_enum::text_enum;

text_enum! {
    /// What a row of `simulator_tokens` is.
    pub enum TokenKind {
        /// An authorization code.
        Code = "code",
        /// An access token.
        Access = "access",
        /// A refresh token.
        Refresh = "refresh",
    }
}

/// Which simulated provider of which instance, and how far the instance's clock is moved.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The instance.
    pub instance: &'a InstanceId,
    /// The provider's slug.
    pub provider: &'a str,
    /// The instance's clock offset: `now() + offset` decides what has expired.
    pub offset: &'a PgInterval,
}

/// What a code or token stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// All that came of one approval.
    pub family_id: String,
    /// Who approved.
    pub provider_user_id: String,
    /// For which client.
    pub client_id: String,
    /// What was granted.
    pub scopes: Vec<String>,
    /// What the approval carried (redirect URI, challenge, nonce, fault).
    pub details: serde_json::Value,
    /// How many refreshes of this approval came before.
    pub generation: i32,
}

/// Keeps a new code or token for `seconds`, or for good.
///
/// # Errors
/// Storage faults.
pub async fn issue(
    db: &mut PgConnection,
    place: Place<'_>,
    kind: TokenKind,
    hash: LookupHash,
    issued: &Issued,
    seconds: Option<u32>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_tokens (instance_id, hash, provider, kind, family_id, provider_user_id, client_id, scopes,
                                       details, expires_at, generation, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + $10 + make_interval(secs => $11), $12, now() + $10)",
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
        kind as TokenKind,
        issued.family_id,
        issued.provider_user_id,
        issued.client_id,
        &issued.scopes,
        issued.details,
        place.offset as &PgInterval,
        seconds.map(f64::from),
        issued.generation,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses up a code or a single-use refresh token: of any number of callers one gets it, once. With a grace in seconds it
/// goes on working for so long after its first use.
///
/// # Errors
/// Storage faults.
pub async fn consume(
    db: &mut PgConnection,
    place: Place<'_>,
    kind: TokenKind,
    hash: LookupHash,
    grace: u32,
) -> sqlx::Result<Option<Issued>> {
    sqlx::query_as!(
        Issued,
        "update simulator_tokens set used_at = coalesce(used_at, now() + $5)
         where instance_id = $1 and hash = $2 and provider = $3 and kind = $4
           and (used_at is null or ($6::float8 > 0 and used_at + make_interval(secs => $6) > now() + $5))
           and revoked_at is null and (expires_at is null or expires_at > now() + $5)
         returning family_id, provider_user_id, client_id, scopes, details, generation",
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
        kind as TokenKind,
        place.offset as &PgInterval,
        f64::from(grace),
    )
    .fetch_optional(db)
    .await
}

/// What a token stands for, if it is good now. Access tokens from before the switch "expire all" are not.
///
/// # Errors
/// Storage faults.
pub async fn valid(
    db: &mut PgConnection,
    place: Place<'_>,
    kind: TokenKind,
    hash: LookupHash,
) -> sqlx::Result<Option<Issued>> {
    sqlx::query_as!(
        Issued,
        "select t.family_id, t.provider_user_id, t.client_id, t.scopes, t.details, t.generation
         from simulator_tokens t
         where t.instance_id = $1 and t.hash = $2 and t.provider = $3 and t.kind = $4
           and t.used_at is null and t.revoked_at is null and (t.expires_at is null or t.expires_at > now() + $5)
           and not exists (select 1 from simulator_providers p
                           where p.instance_id = $1 and p.provider = $3 and t.kind = 'access'
                             and t.created_at <= p.tokens_expired_before)",
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
        kind as TokenKind,
        place.offset as &PgInterval,
    )
    .fetch_optional(db)
    .await
}

/// Remembers somebody who signed in. Of somebody known only the flag of the address is changed.
///
/// # Errors
/// Storage faults.
pub async fn remember_person(
    db: &mut PgConnection,
    place: Place<'_>,
    provider_user_id: &str,
    login_hint: &str,
    person: &serde_json::Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_people (instance_id, provider, provider_user_id, login_hint, person, created_at)
         values ($1, $2, $3, $4, $5, now() + $6)
         on conflict on constraint simulator_people_pkey do update
         set person = jsonb_set(simulator_people.person, '{email_verified}', excluded.person -> 'email_verified')",
        place.instance.as_str(),
        place.provider,
        provider_user_id,
        login_hint,
        person,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody who signed in before.
///
/// # Errors
/// Storage faults.
pub async fn person(
    db: &mut PgConnection,
    place: Place<'_>,
    provider_user_id: &str,
) -> sqlx::Result<Option<serde_json::Value>> {
    sqlx::query_scalar!(
        "select person from simulator_people where instance_id = $1 and provider = $2 and provider_user_id = $3",
        place.instance.as_str(),
        place.provider,
        provider_user_id,
    )
    .fetch_optional(db)
    .await
}

/// True for the first time this person's consent is recorded, once.
///
/// # Errors
/// Storage faults.
pub async fn consent_first(db: &mut PgConnection, place: Place<'_>, provider_user_id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update simulator_people set person = jsonb_set(person, '{consented}', 'true')
         where instance_id = $1 and provider = $2 and provider_user_id = $3
           and not coalesce((person ->> 'consented')::boolean, false)",
        place.instance.as_str(),
        place.provider,
        provider_user_id,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The sealed key with which the provider signs.
///
/// # Errors
/// Storage faults.
pub async fn signing_key(db: &mut PgConnection, place: Place<'_>) -> sqlx::Result<Option<Vec<u8>>> {
    let row = sqlx::query_scalar!(
        "select signing_key_sealed from simulator_providers where instance_id = $1 and provider = $2",
        place.instance.as_str(),
        place.provider,
    );
    Ok(row.fetch_optional(db).await?.flatten())
}

/// Keeps a new signing key unless there is one, and returns the one that is stored.
///
/// # Errors
/// Storage faults.
pub async fn keep_signing_key(db: &mut PgConnection, place: Place<'_>, sealed: &[u8]) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "insert into simulator_providers (instance_id, provider, signing_key_sealed, updated_at)
         values ($1, $2, $3, now() + $4)
         on conflict on constraint simulator_providers_pkey do update
         set signing_key_sealed = coalesce(simulator_providers.signing_key_sealed, excluded.signing_key_sealed)
         returning signing_key_sealed",
        place.instance.as_str(),
        place.provider,
        sealed,
        place.offset as &PgInterval,
    )
    .fetch_one(db)
    .await
}

/// Ends every access token issued until now.
///
/// # Errors
/// Storage faults.
pub async fn expire_access_tokens(db: &mut PgConnection, place: Place<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_providers (instance_id, provider, tokens_expired_before, updated_at)
         values ($1, $2, now() + $3, now() + $3)
         on conflict on constraint simulator_providers_pkey do update
         set tokens_expired_before = excluded.tokens_expired_before, updated_at = excluded.updated_at",
        place.instance.as_str(),
        place.provider,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Revokes every refresh token of a person. Returns how many there were.
///
/// # Errors
/// Storage faults.
pub async fn revoke_refresh_tokens(
    db: &mut PgConnection,
    place: Place<'_>,
    provider_user_id: &str,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update simulator_tokens set revoked_at = now() + $4
         where instance_id = $1 and provider = $2 and provider_user_id = $3 and kind = 'refresh' and revoked_at is null",
        place.instance.as_str(),
        place.provider,
        provider_user_id,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The place of the tokens that come next of an approval. Until the end of the transaction the person's others wait, so
/// that no place is given twice.
///
/// # Errors
/// Storage faults.
pub async fn next_generation(db: &mut PgConnection, place: Place<'_>, issued: &Issued) -> sqlx::Result<i32> {
    sqlx::query!(
        "select provider_user_id from simulator_people
         where instance_id = $1 and provider = $2 and provider_user_id = $3 for update",
        place.instance.as_str(),
        place.provider,
        issued.provider_user_id,
    )
    .fetch_optional(&mut *db)
    .await?;
    sqlx::query_scalar!(
        r#"select coalesce(max(generation), 0) + 1 as "next!" from simulator_tokens
           where instance_id = $1 and family_id = $2"#,
        place.instance.as_str(),
        issued.family_id,
    )
    .fetch_one(db)
    .await
}

/// Revokes everything that came of the approval behind a token, or its tokens of one kind.
///
/// # Errors
/// Storage faults.
pub async fn end_family(
    db: &mut PgConnection,
    place: Place<'_>,
    hash: LookupHash,
    kind: Option<TokenKind>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update simulator_tokens set revoked_at = now() + $4
         where instance_id = $1 and revoked_at is null and ($5::text is null or kind = $5)
           and family_id = (select family_id from simulator_tokens
                            where instance_id = $1 and hash = $2 and provider = $3)",
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
        place.offset as &PgInterval,
        kind as Option<TokenKind>,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a code or token carries, whether or not it is good.
///
/// # Errors
/// Storage faults.
pub async fn details(
    db: &mut PgConnection,
    place: Place<'_>,
    hash: LookupHash,
) -> sqlx::Result<Option<serde_json::Value>> {
    sqlx::query_scalar!(
        "select details from simulator_tokens where instance_id = $1 and hash = $2 and provider = $3",
        place.instance.as_str(),
        hash as LookupHash,
        place.provider,
    )
    .fetch_optional(db)
    .await
}

/// Keeps a new signing key in place of the one that is stored.
///
/// # Errors
/// Storage faults.
pub async fn replace_signing_key(db: &mut PgConnection, place: Place<'_>, sealed: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into simulator_providers (instance_id, provider, signing_key_sealed, updated_at)
         values ($1, $2, $3, now() + $4)
         on conflict on constraint simulator_providers_pkey do update
         set signing_key_sealed = excluded.signing_key_sealed, updated_at = excluded.updated_at",
        place.instance.as_str(),
        place.provider,
        sealed,
        place.offset as &PgInterval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a provider was switched to, as a call finds it.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The fault of every call.
    pub fault: Option<String>,
    /// The fault of this one.
    pub fail_next: Option<String>,
    /// How tokens are refreshed.
    pub refresh: Option<String>,
}

/// Counts a call. Of any number at once, no more than the counted ones get the fault of the next.
///
/// # Errors
/// Storage faults.
pub async fn note_call(db: &mut PgConnection, place: Place<'_>, call: &str) -> sqlx::Result<Noted> {
    sqlx::query_as!(
        Noted,
        r#"insert into simulator_providers as p (instance_id, provider, calls, updated_at)
           values ($1, $2, jsonb_build_object($3::text, 1), now() + $4)
           on conflict on constraint simulator_providers_pkey do update
           set calls = jsonb_set(p.calls, array[$3], to_jsonb(coalesce((p.calls ->> $3)::int, 0) + 1)),
               fail_next = case when p.fail_next -> 'calls' ? $3
                           then jsonb_set(p.fail_next, '{count}',
                                          to_jsonb(greatest((p.fail_next ->> 'count')::int - 1, -1)))
                           else p.fail_next end
           returning fault, refresh,
                     case when fail_next -> 'calls' ? $3 and (fail_next ->> 'count')::int >= 0
                          then fail_next ->> 'fault' end as fail_next"#,
        place.instance.as_str(),
        place.provider,
        call,
        place.offset as &PgInterval,
    )
    .fetch_one(db)
    .await
}
