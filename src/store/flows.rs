//! The flow log of browser flows and their steps. Written in batches; what is lost is lost, and nothing but
//! the flow reader reads it.

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use time::serde::rfc3339;

use super::InstanceConnection;
use super::pool::PgConnection;
use crate::model::flow::{Kind, Status, StepName, StepOutcome};
use crate::model::id::{ClientId, FlowId, FlowStepId, InstanceId, RequestId};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// What is new about a flow; members that are `None` stay as they are.
#[derive(Clone, Debug, Serialize)]
pub struct FlowChange {
    /// The instance.
    pub instance_id: InstanceId,
    /// The flow.
    pub id: FlowId,
    /// What it began as, as far as this request knows.
    pub kind: Kind,
    /// How it stands.
    pub status: Status,
    /// Why it failed, or what it waits for.
    pub reason: Option<Reason>,
    /// Which of the reason's conditions.
    pub detail: Option<&'static str>,
    /// Slug.
    pub provider: Option<String>,
    /// The OAuth application it is for.
    pub application_id: Option<String>,
    /// The browser.
    pub client_id: Option<String>,
    /// Who it is about, once known.
    pub user_id: Option<String>,
    /// The session it made.
    pub session_id: Option<String>,
    /// SHA-256 of the configuration it ran under, as `\x…`.
    pub config_hash: Option<String>,
    /// The inputs of its decision, sealed, as `\x…`.
    pub decision_sealed: Option<String>,
    /// The first thing known of it, on the instance's clock.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// When it ended, if it did.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
}

impl FlowChange {
    /// Nothing new yet.
    pub fn new(instance_id: InstanceId, id: FlowId, kind: Kind, at: Timestamp) -> Self {
        Self {
            instance_id,
            id,
            kind,
            status: Status::Open,
            reason: None,
            detail: None,
            provider: None,
            application_id: None,
            client_id: None,
            user_id: None,
            session_id: None,
            config_hash: None,
            decision_sealed: None,
            at,
            ended_at: None,
        }
    }

    /// Takes over what `later` knows of the same flow.
    pub fn merge(&mut self, later: Self) {
        if self.kind == Kind::Unknown {
            self.kind = later.kind;
        }
        let is_news = later.status != Status::Open || later.reason.is_some();
        if (self.status != Status::Succeeded || self.kind == Kind::Authorize) && is_news {
            if later.status != Status::Open {
                self.status = later.status;
                self.ended_at = later.ended_at;
            }
            (self.reason, self.detail) = (later.reason, later.detail);
        }
        let take = |mine: &mut Option<String>, theirs: Option<String>| {
            if theirs.is_some() {
                *mine = theirs;
            }
        };
        take(&mut self.provider, later.provider);
        take(&mut self.application_id, later.application_id);
        take(&mut self.client_id, later.client_id);
        take(&mut self.user_id, later.user_id);
        take(&mut self.session_id, later.session_id);
        take(&mut self.config_hash, later.config_hash);
        take(&mut self.decision_sealed, later.decision_sealed);
    }
}

/// A step of a flow's steps.
#[derive(Clone, Debug, Serialize)]
pub struct NewStep {
    /// The instance.
    pub instance_id: InstanceId,
    /// The flow.
    pub flow_id: FlowId,
    /// Names it.
    pub id: FlowStepId,
    /// What happened.
    pub name: StepName,
    /// How it went.
    pub outcome: StepOutcome,
    /// Why it failed or waits.
    pub reason: Option<Reason>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// What is worth knowing about it; never a secret, a full address or a URL with its query.
    pub detail: Value,
    /// The request that noted it; with the first step of each request only.
    pub request_id: Option<RequestId>,
    /// When, on the instance's clock.
    #[serde(with = "rfc3339")]
    pub occurred_at: Timestamp,
}

/// Writes changes of flows, at most one per flow.
///
/// # Errors
/// Storage faults.
pub async fn write(db: &mut PgConnection, changes: &[FlowChange]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into flows (instance_id, id, kind, status, reason, detail, provider, application_id, client_id,
               user_id, session_id, config_hash, decision_sealed, started_at, ended_at)
           select instance_id, id, kind, status, reason, detail, provider, application_id, client_id, user_id,
               session_id, config_hash, decision_sealed, at, ended_at
           from jsonb_to_recordset($1) as change (instance_id text, id text, kind text, status text, reason text,
               detail text, provider text, application_id text, client_id text, user_id text, session_id text,
               config_hash bytea, decision_sealed bytea, at timestamptz, ended_at timestamptz)
           on conflict (instance_id, id) do update set
               kind = case when flows.kind = 'unknown' then excluded.kind else flows.kind end,
               status = case when (flows.status = 'succeeded' and flows.kind <> 'authorize')
                   or excluded.status = 'open' then flows.status else excluded.status end,
               reason = case when (flows.status = 'succeeded' and flows.kind <> 'authorize')
                   or excluded.status = 'succeeded' then null else coalesce(excluded.reason, flows.reason) end,
               detail = case when (flows.status = 'succeeded' and flows.kind <> 'authorize')
                   or excluded.status = 'succeeded' then null
                   when excluded.reason is not null then excluded.detail else flows.detail end,
               provider = coalesce(excluded.provider, flows.provider),
               application_id = coalesce(excluded.application_id, flows.application_id),
               client_id = coalesce(excluded.client_id, flows.client_id),
               user_id = coalesce(excluded.user_id, flows.user_id),
               session_id = coalesce(excluded.session_id, flows.session_id),
               config_hash = coalesce(excluded.config_hash, flows.config_hash),
               decision_sealed = coalesce(excluded.decision_sealed, flows.decision_sealed),
               started_at = least(flows.started_at, excluded.started_at),
               ended_at = case when flows.status = 'succeeded' and flows.kind <> 'authorize' then flows.ended_at
                   else coalesce(excluded.ended_at, flows.ended_at) end"#,
        Json(changes) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes steps.
///
/// # Errors
/// Storage faults.
pub async fn write_steps(db: &mut PgConnection, steps: &[NewStep]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into flow_steps (instance_id, flow_id, id, name, outcome, reason, duration_ms, detail, request_id,
               occurred_at)
           select instance_id, flow_id, id, name, outcome, reason, duration_ms, detail, request_id, occurred_at
           from jsonb_to_recordset($1) as step (instance_id text, flow_id text, id text, name text, outcome text,
               reason text, duration_ms int, detail jsonb, request_id text, occurred_at timestamptz)
           on conflict do nothing"#,
        Json(steps) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A flow as it is read.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Names it; the reference on error pages.
    pub id: FlowId,
    /// What it began as.
    pub kind: Kind,
    /// How it stands on the record.
    pub status: Status,
    /// Why it failed, or what it waits for.
    pub reason: Option<Reason>,
    /// Which of the reason's conditions.
    pub detail: Option<String>,
    /// Slug.
    pub provider: Option<String>,
    /// The OAuth application it is for.
    pub application_id: Option<String>,
    /// The browser.
    pub client_id: Option<ClientId>,
    /// Who it is about.
    pub user_id: Option<String>,
    /// The session it made.
    pub session_id: Option<String>,
    /// SHA-256 of the configuration it ran under.
    pub config_hash: Option<Vec<u8>>,
    /// The inputs of its decision, sealed.
    pub decision_sealed: Option<Vec<u8>>,
    /// The first thing known of it.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its last step was, and which.
    pub last_step_at: Option<Timestamp>,
    /// The last step's name.
    pub last_step: Option<StepName>,
}

/// Which flows to list.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// How they stand on the record.
    pub status: Option<Status>,
    /// Slug.
    pub provider: Option<&'a str>,
    /// The reason's name.
    pub reason: Option<&'a str>,
    /// The user's id.
    pub user: Option<&'a str>,
    /// The OAuth application's id.
    pub application: Option<&'a str>,
    /// Exactly this one.
    pub id: Option<&'a str>,
    /// Older than this one.
    pub before: Option<&'a str>,
}

/// The newest flows that fit, at most `limit`.
///
/// # Errors
/// Storage faults.
pub async fn list(db: &mut InstanceConnection<'_>, filter: &Filter<'_>, limit: i64) -> sqlx::Result<Vec<Flow>> {
    sqlx::query_as!(
        Flow,
        r#"select f.id as "id: FlowId", f.kind as "kind: Kind", f.status as "status: Status",
               f.reason as "reason: Reason", f.detail, f.provider, f.application_id,
               f.client_id as "client_id: ClientId", f.user_id, f.session_id, f.config_hash, f.decision_sealed,
               f.started_at, f.ended_at, s.occurred_at as "last_step_at?", s.name as "last_step?: StepName"
           from flows f
           left join lateral (select name, occurred_at from flow_steps
               where instance_id = $1 and flow_id = f.id order by occurred_at desc limit 1) s on true
           where f.instance_id = $1 and ($2::text is null or f.status = $2) and ($3::text is null or f.provider = $3)
               and ($4::text is null or f.reason = $4) and ($5::text is null or f.user_id = $5)
               and ($6::text is null or f.application_id = $6) and ($7::text is null or f.id = $7)
               and ($8::text is null or f.id < $8)
           order by f.id desc limit $9"#,
        db.instance().as_str(),
        filter.status as Option<Status>,
        filter.provider,
        filter.reason,
        filter.user,
        filter.application,
        filter.id,
        filter.before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// A step as it is read.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What happened.
    pub name: StepName,
    /// How it went.
    pub outcome: StepOutcome,
    /// Why it failed or waits.
    pub reason: Option<Reason>,
    /// Milliseconds.
    pub duration_ms: Option<i32>,
    /// What is worth knowing about it.
    pub detail: Value,
    /// The request that noted it; with the first step of each request only.
    pub request_id: Option<String>,
    /// When.
    #[serde(with = "rfc3339")]
    pub occurred_at: Timestamp,
}

/// A flow's steps, first to last.
///
/// # Errors
/// Storage faults.
pub async fn steps(db: &mut InstanceConnection<'_>, flow: &FlowId) -> sqlx::Result<Vec<Step>> {
    sqlx::query_as!(
        Step,
        r#"select name as "name: StepName", outcome as "outcome: StepOutcome", reason as "reason: Reason", duration_ms,
               detail, request_id, occurred_at
           from flow_steps
           where instance_id = $1 and flow_id = $2 order by occurred_at, id"#,
        db.instance().as_str(),
        flow.as_str(),
    )
    .fetch_all(db)
    .await
}

/// The flow that a request belonged to.
///
/// # Errors
/// Storage faults.
pub async fn of_request(db: &mut InstanceConnection<'_>, request: &RequestId) -> sqlx::Result<Option<FlowId>> {
    sqlx::query_scalar!(
        r#"select flow_id as "flow: FlowId" from flow_steps where instance_id = $1 and request_id = $2 limit 1"#,
        db.instance().as_str(),
        request.as_str(),
    )
    .fetch_optional(db)
    .await
}

/// How many flows ended for `reason` since `from`.
///
/// # Errors
/// Storage faults.
pub async fn count_since(db: &mut InstanceConnection<'_>, reason: Reason, from: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from flows where instance_id = $1 and reason = $2 and id >= $3"#,
        db.instance().as_str(),
        reason as Reason,
        FlowId::floor(from),
    )
    .fetch_one(db)
    .await
}

/// A page of an instance's addresses in order of their canonical form, after `after`: a recorded decision knows its
/// address by a keyed hash only.
///
/// # Errors
/// Storage faults.
pub async fn addresses(db: &mut InstanceConnection<'_>, after: &str, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select distinct value_key from identifications
           where instance_id = $1 and kind = 'email_address' and value_key > $2 order by value_key limit $3"#,
        db.instance().as_str(),
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
