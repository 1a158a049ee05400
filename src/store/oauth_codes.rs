//! Authorization codes: what stands before one is made, making one, and why one was not redeemed.

use sqlx::postgres::types::PgInterval;

use super::InstanceConnection;
use crate::crypto::LookupHash;
use crate::model::id::{ApplicationId, FlowId, GrantId, SessionId, UserId};
use crate::model::oauth::application::{Application, IdTokenClaims, Kind};
use crate::model::oauth::authorize::AuthorizationRequest;
use crate::model::oauth::consent::RememberedConsent;
use crate::model::oauth::scope::Scopes;
use crate::model::time::Timestamp;

use super::oauth_applications::Row;

/// An active session of a user who may sign in, as far as authorization needs it.
#[derive(Clone, Debug)]
pub struct Person {
    /// The session.
    pub session_id: SessionId,
    /// The user.
    pub user_id: UserId,
    /// When they last signed in (`auth_time`).
    pub authenticated_at: Timestamp,
    /// How (`amr`).
    pub amr: Vec<String>,
    /// The account in words: primary address, else username, else nothing.
    pub account: Option<String>,
}

/// Everything that decides about an authorization request.
#[derive(Clone, Debug)]
pub struct AuthorizationFacts {
    /// The application that asks.
    pub application: Application,
    /// Who is signed in on this browser.
    pub person: Option<Person>,
    /// What that person allowed the application before.
    pub remembered: Option<RememberedConsent>,
    /// The moment of the read.
    pub now: Timestamp,
}

/// The flat form of [`AuthorizationFacts`].
struct AuthorizationFactsRow {
    now: Timestamp,
    id: ApplicationId,
    client_id: String,
    kind: Kind,
    name: String,
    is_public: bool,
    pkce_required: bool,
    consent_screen_enabled: bool,
    redirect_uris: Vec<String>,
    scopes: Vec<String>,
    client_uri: Option<String>,
    id_token_claims: IdTokenClaims,
    created_at: Timestamp,
    updated_at: Timestamp,
    session_id: Option<SessionId>,
    user_id: Option<UserId>,
    authenticated_at: Option<Timestamp>,
    amr: Option<Vec<String>>,
    account: Option<String>,
    allowed_scopes: Option<Vec<String>>,
    allowed_resources: Option<Vec<String>>,
    fingerprint: Option<Vec<u8>>,
}

impl From<AuthorizationFactsRow> for AuthorizationFacts {
    fn from(row: AuthorizationFactsRow) -> Self {
        let session = row.session_id.zip(row.user_id).zip(row.authenticated_at);
        let person = session.map(|((session_id, user_id), authenticated_at)| Person {
            session_id,
            user_id,
            authenticated_at,
            amr: row.amr.unwrap_or_default(),
            account: row.account,
        });
        let remembered = row.allowed_scopes.zip(row.fingerprint).map(|(scopes, fingerprint)| RememberedConsent {
            scopes: Scopes::stored(scopes),
            resources: row.allowed_resources.unwrap_or_default(),
            fingerprint,
        });
        let application = Application::from(Row {
            id: row.id,
            client_id: row.client_id,
            kind: row.kind,
            name: row.name,
            is_public: row.is_public,
            pkce_required: row.pkce_required,
            consent_screen_enabled: row.consent_screen_enabled,
            redirect_uris: row.redirect_uris,
            scopes: row.scopes,
            client_uri: row.client_uri,
            id_token_claims: row.id_token_claims,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
        Self { application, person, remembered, now: row.now }
    }
}

/// Whom a browser's request is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The hash of the client token.
    pub client_token: Option<&'a LookupHash>,
    /// Only this session counts (consent names the one it showed).
    pub session: Option<&'a SessionId>,
    /// Of several sessions, this user's comes first (`id_token_hint`).
    pub preferred_user: Option<&'a UserId>,
}

/// The application behind `client_id`, who is signed in on the browser, and what they allowed before: one read.
///
/// A session counts only if it is `active`: one that still lacks a second factor or another task is none here, and
/// neither is one of a banned or locked user. A token superseded by rotation still shows older sessions for 10 s.
///
/// # Errors
/// Storage faults.
pub async fn facts(
    db: &mut InstanceConnection<'_>,
    client_id: &str,
    presented: Presented<'_>,
) -> sqlx::Result<Option<AuthorizationFacts>> {
    let row = sqlx::query_as!(
        AuthorizationFactsRow,
        r#"with token as materialized (
               select client_id, superseded_at from client_tokens
               where instance_id = $1 and hash = $3
                 and (superseded_at is null or superseded_at + interval '10 s' > now() + $4))
           select now() + $4 as "now!", a.id as "id: ApplicationId", a.client_id,
               a.kind as "kind: Kind", a.name, a.is_public, a.pkce_required,
               a.consent_screen_enabled, a.redirect_uris, a.scopes, a.client_uri,
               a.id_token_claims as "id_token_claims: IdTokenClaims", a.created_at, a.updated_at, p.session_id as "session_id?: SessionId", p.user_id as "user_id?: UserId",
               p.authenticated_at as "authenticated_at?", p.amr as "amr?", p.account as "account?",
               k.scopes as "allowed_scopes?", k.resources as "allowed_resources?",
               k.application_fingerprint as "fingerprint?"
           from oauth_applications a
           left join lateral (
               select s.id as session_id, s.user_id, s.authenticated_at, s.amr, coalesce(e.value, u.username) as account
               from token t
               join clients c on c.instance_id = $1 and c.id = t.client_id and c.removed_at is null
               join sessions s on s.instance_id = $1 and s.client_id = c.id and s.status = 'active'
                   and s.expire_at > now() + $4 and (t.superseded_at is null or s.created_at < t.superseded_at)
                   and ($5::text is null or s.id = $5)
               join users u on u.instance_id = $1 and u.id = s.user_id and u.banned_at is null
                   and (u.locked_at is null or u.locked_until <= now() + $4 or u.lock_reason = 'attempts')
               left join identifications e on e.instance_id = $1 and e.user_id = u.id and e.kind = 'email_address'
                   and e.is_primary
               order by (s.user_id = $6) desc nulls last, (s.id = c.last_active_session_id) desc nulls last,
                   s.last_active_at desc, s.id
               limit 1) p on true
           left join oauth_consents k on k.instance_id = $1 and k.user_id = p.user_id and k.application_id = a.id
           where a.instance_id = $1 and a.client_id = $2 and a.blocked_at is null"#,
        db.instance().as_str(),
        client_id,
        presented.client_token.map(|hash| hash.as_bytes().as_slice()),
        db.offset(),
        presented.session.map(SessionId::as_str),
        presented.preferred_user.map(UserId::as_str),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(AuthorizationFacts::from))
}

/// A code to be stored.
pub struct NewCode<'a> {
    /// The day its text names.
    pub day: i32,
    /// Its hash.
    pub hash: LookupHash,
    /// The id its grant will have.
    pub grant_id: &'a GrantId,
    /// Whose it is.
    pub application_id: &'a ApplicationId,
    /// Who gave it.
    pub person: &'a Person,
    /// For what.
    pub request: &'a AuthorizationRequest,
    /// For how long.
    pub lifetime: PgInterval,
    /// The flow it comes from.
    pub flow: Option<&'a FlowId>,
}

/// Stores a code, and with it what the person allowed, if that is new: one statement. `false`, and nothing written, if
/// the session has ended. Its shared lock makes whoever ends it wait, or is granted after the end and sees it.
///
/// # Errors
/// Storage faults.
pub async fn insert(
    db: &mut InstanceConnection<'_>,
    code: &NewCode<'_>,
    allowed: Option<&RememberedConsent>,
) -> sqlx::Result<bool> {
    let nothing = RememberedConsent { scopes: Scopes::default(), resources: Vec::new(), fingerprint: Vec::new() };
    let consent = allowed.unwrap_or(&nothing);
    let stored = sqlx::query!(
        r#"with person as materialized (
               select u.id as user_id, s.id as session_id
               from users u join sessions s on s.instance_id = $1 and s.user_id = u.id
               where u.instance_id = $1 and u.id = $6 and u.banned_at is null and s.id = $7 and s.status = 'active'
               for key share of u for share of s),
           consent as (
               insert into oauth_consents (instance_id, user_id, application_id, scopes, resources,
                   application_fingerprint, created_at, updated_at)
               select $1, user_id, $5, $17, $18, $19, now() + $16, now() + $16 from person where $20
               on conflict (instance_id, user_id, application_id) do update
               set scopes = excluded.scopes, resources = excluded.resources,
                   application_fingerprint = excluded.application_fingerprint, updated_at = excluded.updated_at)
           insert into oauth_codes (instance_id, expires_day, hash, grant_id, application_id, user_id, session_id,
               redirect_uri, registered_redirect_uri, scopes, resources, code_challenge, nonce, authenticated_at, amr,
               flow_id, expires_at, created_at)
           select $1, $2, $3, $4, $5, user_id, session_id, $8, $9, $10, $11, $12, $13, $14, $21, $22, now() + $16 + $15,
               now() + $16
           from person"#,
        db.instance().as_str(),
        code.day,
        code.hash.as_bytes().as_slice(),
        code.grant_id.as_str(),
        code.application_id.as_str(),
        code.person.user_id.as_str(),
        code.person.session_id.as_str(),
        code.request.target.redirect_uri,
        code.request.registered_redirect_uri,
        code.request.scopes.as_slice(),
        &code.request.resources,
        code.request.challenge.as_ref().map(|challenge| challenge.as_str()),
        code.request.nonce.as_deref(),
        code.person.authenticated_at,
        code.lifetime,
        db.offset(),
        consent.scopes.as_slice(),
        &consent.resources,
        consent.fingerprint,
        allowed.is_some(),
        &code.person.amr,
        code.flow.map(FlowId::as_str),
    )
    .execute(db)
    .await?;
    Ok(stored.rows_affected() == 1)
}

/// Why a code may not have been redeemed.
#[derive(Clone, Debug)]
pub struct CodeState {
    /// It belongs to the client that asks.
    pub is_own: bool,
    /// The id its grant has or would have.
    pub grant_id: GrantId,
    /// The user it is of.
    pub user_id: UserId,
    /// The flow it comes from.
    pub flow_id: Option<FlowId>,
    /// It was redeemed.
    pub is_consumed: bool,
    /// It is past its time.
    pub is_expired: bool,
    /// Wrong attempts so far.
    pub failures: i16,
    /// The redirect URI it was sent to.
    pub redirect_uri: String,
    /// Its challenge.
    pub challenge: Option<String>,
    /// Its resources.
    pub resources: Vec<String>,
}

/// Reads a code that was not redeemed. Only after the client has authenticated itself.
///
/// # Errors
/// Storage faults.
pub async fn state(
    db: &mut InstanceConnection<'_>,
    client_id: &str,
    day: i32,
    hash: &LookupHash,
) -> sqlx::Result<Option<CodeState>> {
    let row = sqlx::query_as!(
        CodeState,
        r#"select (a.client_id = $2) is true as "is_own!", c.grant_id as "grant_id: GrantId",
               c.user_id as "user_id: UserId", c.flow_id as "flow_id: FlowId", c.consumed_at is not null as "is_consumed!",
               c.expires_at <= now() + $5 as "is_expired!", c.failures, c.redirect_uri, c.code_challenge as challenge,
               c.resources
           from oauth_codes c
           left join oauth_applications a on a.instance_id = $1 and a.id = c.application_id
           where c.instance_id = $1 and c.expires_day = $3 and c.hash = $4"#,
        db.instance().as_str(),
        client_id,
        day,
        hash.as_bytes().as_slice(),
        db.offset(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

/// Counts a wrong attempt on a code that is still unused.
///
/// # Errors
/// Storage faults.
pub async fn count_failure(db: &mut InstanceConnection<'_>, day: i32, hash: &LookupHash) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update oauth_codes set failures = failures + 1
           where instance_id = $1 and expires_day = $2 and hash = $3 and consumed_at is null and failures < 5"#,
        db.instance().as_str(),
        day,
        hash.as_bytes().as_slice(),
    )
    .execute(db)
    .await?;
    Ok(())
}
