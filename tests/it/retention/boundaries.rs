//! Each remover, with a row that is just over and one that is not yet.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};
use vestibule::model::id::{
    AuditEventId, ClientId, ExternalAccountId, FlowId, GrantId, InboxMessageId, OutboxId, ProviderAuthorizationId,
    SessionId, SignInId, SignUpId, VerificationId,
};
use vestibule::model::time::{Timestamp, epoch_day, midnight};
use vestibule::store::retention::{REMOVERS, Remover};

use crate::support::TestApp;
use crate::support::person::sign_up;
use crate::support::retention::remove;

const SECOND: time::Duration = time::Duration::SECOND;
const MINUTE: time::Duration = time::Duration::MINUTE;
const HOUR: time::Duration = time::Duration::HOUR;
const DAY: time::Duration = time::Duration::DAY;

/// How a row of a remover's table is made, and when it goes.
struct Case {
    remover: Remover,
    /// After how long.
    after: time::Duration,
    /// How long it lived before its end.
    life: time::Duration,
    /// The id that it got at its beginning.
    id: fn(Timestamp) -> String,
    /// The table and columns.
    into: &'static str,
    /// Their values: `i` the instance, `id`, `e` its end, `u` a user, `c` a client with a session, `d` the day of its end.
    values: &'static str,
}

/// Names a row whose key is a hash.
fn any(moment: Timestamp) -> String {
    moment.unix_timestamp_nanos().to_string()
}

macro_rules! cases {
    ($($remover:ident after $after:expr, $life:expr, $id:expr, $into:literal, $values:literal;)*) => {
        const CASES: &[Case] = &[$(Case {
            remover: Remover::$remover, after: $after, life: $life, id: $id, into: $into, values: $values,
        },)*];
    };
}

cases! {
    ProviderAuthorizationSecrets after MINUTE.saturating_mul(10), MINUTE.saturating_mul(10), ProviderAuthorizationId::floor,
        "provider_authorizations (instance_id, id, verification_id, intent, target_id, client_id, provider, provider_config_version,
            state_hash, callback_url, redirect_url, scopes, expires_at, created_at, profile)",
        "i, id, 'ver_none', 'sign_in', 'sia_none', c, 'google', 1, sha256(id::bytea), '', '', '{}', e, e, '{}'";
    ProviderAuthorizations after DAY, MINUTE.saturating_mul(10), ProviderAuthorizationId::floor,
        "provider_authorizations (instance_id, id, verification_id, intent, target_id, client_id, provider, provider_config_version,
            state_hash, callback_url, redirect_url, scopes, expires_at, created_at)",
        "i, id, 'ver_none', 'sign_in', 'sia_none', c, 'google', 1, sha256(id::bytea), '', '', '{}', e, e";
    ExternalAccounts after HOUR, MINUTE.saturating_mul(10), ExternalAccountId::floor,
        "external_accounts (instance_id, id, identification_id, user_id, provider, status, expires_at, created_at, updated_at)",
        "i, id, 'idn_' || id, u, 'notion', 'pending', e, e, e";
    ExternalAccounts after DAY, MINUTE.saturating_mul(10), ExternalAccountId::floor,
        "external_accounts (instance_id, id, identification_id, user_id, provider, status, expires_at, created_at, updated_at,
            error)",
        "i, id, 'idn_' || id, u, 'notion', 'pending', e, e, e, '{}'";
    Verifications after DAY, MINUTE.saturating_mul(10), VerificationId::floor,
        "verifications (instance_id, id, owner_id, role, strategy, status, expires_at, created_at)",
        "i, id, 'sia_' || id, 'first_factor', 'email_code', 'unverified', e, e";
    SignIns after DAY, DAY, SignInId::floor,
        "sign_ins (instance_id, id, client_id, status, abandon_at, created_at, updated_at, replaced_at)",
        "i, id, c, 'needs_identifier', e, e, e, e";
    SignUps after DAY, DAY, SignUpId::floor,
        "sign_ups (instance_id, id, client_id, status, abandon_at, created_at, updated_at, replaced_at)",
        "i, id, c, 'missing_requirements', e, e, e, e";
    Handshakes after HOUR, MINUTE, any, "handshakes (instance_id, hash, directives_sealed, expires_at)",
        "i, sha256(id::bytea), ''::bytea, e";
    OauthCodes after DAY, MINUTE, any,
        "oauth_codes (instance_id, expires_day, hash, grant_id, expires_at, created_at, application_id, user_id,
            redirect_uri, registered_redirect_uri, scopes, authenticated_at)",
        "i, d, sha256(id::bytea), 'ogr_' || id, e, e, 'oa_x', u, '', '', '{}', e";
    OauthAccessTokens after DAY.saturating_mul(7), HOUR, any,
        "oauth_access_tokens (instance_id, expires_day, hash, id, grant_id, format, scopes, expires_at, created_at)",
        "i, d, sha256(id::bytea), 'oat_' || id, 'ogr_x', 'opaque', '{}', e, e";
    OauthRefreshTokens after DAY.saturating_mul(30), HOUR, any,
        "oauth_refresh_tokens (instance_id, expires_day, hash, grant_id, generation, expires_at, created_at)",
        "i, d, sha256(id::bytea), 'ogr_' || id, 1, e, e";
    OauthGrants after DAY.saturating_mul(30), DAY.saturating_mul(40), GrantId::floor,
        "oauth_grants (instance_id, id, application_id, user_id, scopes, authenticated_at, refresh_issued_at,
            refresh_expires_at, refresh_expires_day, created_at)",
        "i, id, 'oa_x', u, '{}', e, e, e, d, e";
    OauthGrants after DAY.saturating_mul(30), HOUR, GrantId::floor,
        "oauth_grants (instance_id, id, application_id, user_id, scopes, authenticated_at, refresh_issued_at,
            refresh_expires_at, refresh_expires_day, created_at, revoked_at, revoked_reason)",
        "i, id, 'oa_x', u, '{}', e, e, e + interval '3 d', d, e, e, 'test'";
    Sessions after DAY.saturating_mul(30), DAY.saturating_mul(7), SessionId::floor,
        "sessions (instance_id, id, client_id, user_id, status, authenticated_at, expire_at, last_active_at, created_at,
            updated_at)",
        "i, id, c, u, 'active', e, e, e, e, e";
    Sessions after DAY.saturating_mul(30), HOUR, SessionId::floor,
        "sessions (instance_id, id, client_id, user_id, status, authenticated_at, expire_at, last_active_at, created_at,
            updated_at, ended_at)",
        "i, id, c, u, 'ended', e, e + interval '6 d', e, e, e, e";
    Visitors after DAY, HOUR, ClientId::floor, "clients (instance_id, id, created_at, updated_at)", "i, id, e, e";
    Clients after DAY.saturating_mul(30), HOUR, ClientId::floor,
        "clients (instance_id, id, created_at, updated_at, client_uat_at)", "i, id, e, e, e";
    ClientTokens after HOUR, HOUR, any,
        "client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, superseded_at, created_at)",
        "i, sha256(id::bytea), 'k', c, 'dev_browser', abs(hashtext(id) / 2), e, e";
    RateLimits after HOUR, HOUR, any, "rate_limits (instance_id, kind, key_hash, hits, expires_at)",
        "i, 'send_again', sha256(id::bytea), '{}', e";
    Flows after DAY.saturating_mul(7), time::Duration::ZERO, FlowId::floor,
        "flows (instance_id, id, kind, status, started_at)", "i, id, 'sign_in', 'open', e";
    FlowSteps after DAY.saturating_mul(7), time::Duration::ZERO, FlowId::floor,
        "flow_steps (instance_id, flow_id, id, name, outcome, occurred_at)",
        "i, id, 'fst_x', 'started', 'ok', e + interval '2 d'";
    AuditEvents after DAY.saturating_mul(90), time::Duration::ZERO, AuditEventId::floor,
        "audit_events (instance_id, id, action, outcome, actor_kind, created_at)", "i, id, 'test', 'success', 'system', e";
    AuditEvents after DAY.saturating_mul(90), SECOND, AuditEventId::floor,
        "audit_events (instance_id, id, action, outcome, actor_kind, created_at)",
        "'deployment', id, 'test', 'success', 'system', e";
    Messages after DAY, MINUTE, OutboxId::floor,
        "outbox (instance_id, id, kind, payload_sealed, run_at, done_at, created_at)", "i, id, 'mail', ''::bytea, e, e, e";
    Messages after DAY, MINUTE, OutboxId::floor,
        "outbox (instance_id, id, kind, payload_sealed, run_at, created_at)", "i, id || 'x', 'mail', ''::bytea, e, e";
    OutboxPayloads after DAY.saturating_mul(7), MINUTE, OutboxId::floor,
        "outbox (instance_id, id, kind, payload, run_at, done_at, created_at)", "i, id, 'event', '{\"id\": 1}', e, e, e";
    Outbox after DAY.saturating_mul(30), MINUTE, OutboxId::floor,
        "outbox (instance_id, id, kind, payload, run_at, done_at, created_at)", "i, id, 'event', '{}', e, e, e";
    Outbox after DAY.saturating_mul(30), HOUR, OutboxId::floor,
        "outbox (instance_id, id, kind, payload, run_at, failed_at, created_at)", "i, id, 'event', '{}', e, e, e";
    InboxMessages after DAY.saturating_mul(7), time::Duration::ZERO, InboxMessageId::floor,
        "inbox_messages (instance_id, id, kind, recipient, content_sealed, created_at)", "i, id, 'mail', '', ''::bytea, e";
    SimulatorTokens after DAY.saturating_mul(30), HOUR, any,
        "simulator_tokens (instance_id, hash, provider, kind, family_id, provider_user_id, client_id, scopes, expires_at,
            created_at)",
        "i, sha256(id::bytea), 'google', 'access', id, '', '', '{}', e, e";
    SimulatorPeople after DAY.saturating_mul(30), time::Duration::ZERO, any,
        "simulator_people (instance_id, provider, provider_user_id, login_hint, person, created_at)",
        "i, 'google', id, id, '{}', e";
}

impl Case {
    /// The ends of a row that is over and of one that is not yet. Tokens and codes go by the day.
    fn ends(&self, now: Timestamp) -> [Timestamp; 2] {
        let edge = now - self.after;
        if self.into.contains("expires_day,") && self.remover != Remover::OauthGrants {
            return [midnight(edge) - SECOND, midnight(edge) + SECOND];
        }
        [edge - MINUTE, edge + MINUTE]
    }

    async fn insert(&self, app: &TestApp, end: Timestamp) {
        let statement = format!(
            "with p as (select $1::text as i, $2::text as id, $3::timestamptz as e, $4::int as d,
                 (select id from users limit 1) as u, (select client_id from sessions order by created_at limit 1) as c)
             insert into {} select {} from p",
            self.into, self.values
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(app.instance.as_str())
            .bind((self.id)(end - self.life))
            .bind(end)
            .bind(epoch_day(end))
            .execute(&app.app().db)
            .await
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.remover));
    }
}

/// A number that changes with any row of any table, for each table: its rows and a sum over their text.
async fn contents(app: &TestApp) -> BTreeMap<String, (i64, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'vestibule' and table_type = 'BASE TABLE'",
    )
    .fetch_all(&app.app().db)
    .await
    .unwrap();
    let one =
        |table: &String| format!("select '{table}', count(*), coalesce(sum(hashtext(t::text)), 0) from {table} t");
    let all = tables.iter().map(one).collect::<Vec<_>>().join(" union all ");
    let rows = sqlx::query(AssertSqlSafe(all)).fetch_all(&app.app().db).await.unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

#[tokio::test]
async fn a_row_goes_after_its_time_and_nothing_else_with_it() {
    let app = TestApp::start().await;
    let browser = app.browser();
    sign_up(&app, &browser, "oauth_google", "ada@example.com").await;
    app.execute(
        "insert into oauth_applications (instance_id, id, client_id, kind, name, client_secret_hash, redirect_uris,
             scopes, created_at, updated_at)
         select $1, 'oa_x', $2, 'managed', 'x', sha256(''), array['https://x.example'], '{}', now(), now()",
        "client",
    )
    .await;
    app.app().recorder.flush().await;
    let mut untested: Vec<Remover> = REMOVERS.to_vec();
    for case in CASES {
        untested.retain(|remover| *remover != case.remover);
        let [over, not_yet] = case.ends(app.app().clock.now());
        case.insert(&app, not_yet).await;
        let before = contents(&app).await;
        case.insert(&app, over).await;
        let what = format!("{:?} after {}", case.remover, case.after);
        assert_eq!(remove(&app, case.remover).await, 1, "{what}");
        let mut after = contents(&app).await;
        if [Remover::ProviderAuthorizationSecrets, Remover::OutboxPayloads, Remover::Messages].contains(&case.remover) {
            let statement =
                "select bool_and(profile is null) from provider_authorizations where instance_id = $1 and expires_at < $2
                union all select bool_and(payload = '{}') from outbox where instance_id = $1 and created_at < $2";
            let empty: Vec<Option<bool>> = sqlx::query_scalar(statement)
                .bind(app.instance.as_str())
                .bind(over + SECOND)
                .fetch_all(&app.app().db)
                .await
                .unwrap();
            assert!(empty.iter().flatten().all(|empty| *empty) && empty.iter().flatten().count() > 0, "{what}");
            after.insert(case.remover.table().to_owned(), before[case.remover.table()]);
        }
        assert_eq!(after, before, "{what}: what is not over stays as it is");
        assert_eq!(remove(&app, case.remover).await, 0, "{what}: once");
    }
    assert!(untested.is_empty(), "{untested:?}");
    let before = contents(&app).await;
    for remover in REMOVERS {
        assert_eq!(remove(&app, *remover).await, 0, "{remover:?}");
    }
    assert_eq!(contents(&app).await, before);
    // Nothing opens these, which were never sealed; and nobody connects the accounts.
    sqlx::raw_sql(
        "delete from handshakes; delete from inbox_messages; delete from outbox; delete from external_accounts where status = 'pending'",
    )
    .execute(&app.db.pool().await)
    .await
    .unwrap();
}

/// Time travel: what an instance's clock says decides, and each instance has its own.
#[tokio::test]
async fn an_instance_goes_by_its_own_clock() {
    let app = TestApp::start().await;
    app.second_instance().await;
    let insert = "insert into flows (instance_id, id, kind, status, started_at)
        select id, $1, 'sign_in', 'open', now() from instances";
    let id = FlowId::floor(app.app().clock.now());
    sqlx::query(insert).bind(&id).execute(&app.app().db).await.unwrap();
    app.advance(std::time::Duration::from_secs(7 * 86_400 + 60)).await;
    assert_eq!(remove(&app, Remover::Flows).await, 1);
    let left: Vec<String> = sqlx::query_scalar("select instance_id from flows").fetch_all(&app.app().db).await.unwrap();
    assert!(left.len() == 1 && left[0] != app.instance.as_str(), "{left:?}");
}

/// Whoever presents a used code once more ends the grant made from it, as long as that lives: the code stays so long.
#[tokio::test]
async fn a_used_code_stays_as_long_as_its_grant_lives() {
    let app = TestApp::start().await;
    sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    for statement in [
        "insert into oauth_applications (instance_id, id, client_id, kind, name, client_secret_hash, redirect_uris,
             scopes, created_at, updated_at)
         select $1, 'oa_x', $2, 'managed', 'x', sha256(''), array['https://x.example'], '{}', now(), now()",
        "insert into oauth_grants (instance_id, id, application_id, user_id, scopes, authenticated_at, refresh_issued_at,
             refresh_expires_at, refresh_expires_day, created_at)
         select $1, $2, 'oa_x', id, '{}', now(), now(), now() + interval '3 d', 30000, now() from users",
        "insert into oauth_codes (instance_id, expires_day, hash, grant_id, expires_at, created_at, consumed_at,
             application_id, user_id, redirect_uri, registered_redirect_uri, scopes, authenticated_at)
         select $1, 20000, sha256(''), $2, now() - interval '50 d', now(), now(), 'oa_x', id, '', '', '{}', now()
         from users",
    ] {
        app.execute(statement, "ogr_live").await;
    }
    assert_eq!(remove(&app, Remover::OauthCodes).await, 0, "the grant is refreshed and lives");
    let end = "update oauth_grants set revoked_at = now(), revoked_reason = 'test' where instance_id = $1 and id = $2";
    app.execute(end, "ogr_live").await;
    assert_eq!(remove(&app, Remover::OauthCodes).await, 1);
}
