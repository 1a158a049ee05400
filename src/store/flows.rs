//! The inspector's record of browser flows and their steps. Written in batches; what is lost is lost, and nothing but
//! the inspector reads it.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::serde::rfc3339;

use crate::model::id::{FlowId, FlowStepId, InstanceId};
use crate::model::time::Timestamp;

/// What is new about a flow; members that are `None` stay as they are.
#[derive(Clone, Debug, Serialize)]
pub struct FlowChange {
    /// The instance.
    pub instance_id: InstanceId,
    /// The flow.
    pub id: FlowId,
    /// `sign_in`, `sign_up`, `connect`, …; `unknown` where a later request does not know.
    pub kind: &'static str,
    /// `open`, `succeeded`, `failed`. A success is never taken back.
    pub status: &'static str,
    /// Why it failed, or what it waits for.
    pub reason: Option<&'static str>,
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
    pub fn new(instance_id: InstanceId, id: FlowId, kind: &'static str, at: Timestamp) -> Self {
        Self {
            instance_id,
            id,
            kind,
            status: "open",
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
        if self.kind == "unknown" {
            self.kind = later.kind;
        }
        let is_news = later.status != "open" || later.reason.is_some();
        if self.status != "succeeded" && is_news {
            if later.status != "open" {
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

/// A step of a flow's timeline.
#[derive(Clone, Debug, Serialize)]
pub struct NewStep {
    /// The instance.
    pub instance_id: InstanceId,
    /// The flow.
    pub flow_id: FlowId,
    /// Names it.
    pub id: FlowStepId,
    /// `started`, `callback`, `token_exchange`, …
    pub name: &'static str,
    /// `ok`, `failed`, or `open` where the flow waits for more.
    pub outcome: &'static str,
    /// Why it failed or waits.
    pub reason: Option<&'static str>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// What is worth knowing about it; never a secret, a full address or a URL with its query.
    pub detail: Value,
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
               status = case when flows.status = 'succeeded' or excluded.status = 'open' then flows.status
                   else excluded.status end,
               reason = case when flows.status = 'succeeded' or excluded.status = 'succeeded' then null
                   else coalesce(excluded.reason, flows.reason) end,
               detail = case when flows.status = 'succeeded' or excluded.status = 'succeeded' then null
                   when excluded.reason is not null then excluded.detail else flows.detail end,
               provider = coalesce(excluded.provider, flows.provider),
               application_id = coalesce(excluded.application_id, flows.application_id),
               client_id = coalesce(excluded.client_id, flows.client_id),
               user_id = coalesce(excluded.user_id, flows.user_id),
               session_id = coalesce(excluded.session_id, flows.session_id),
               config_hash = coalesce(excluded.config_hash, flows.config_hash),
               decision_sealed = coalesce(excluded.decision_sealed, flows.decision_sealed),
               started_at = least(flows.started_at, excluded.started_at),
               ended_at = case when flows.status = 'succeeded' then flows.ended_at
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
        r#"insert into flow_steps (instance_id, flow_id, id, name, outcome, reason, duration_ms, detail, occurred_at)
           select instance_id, flow_id, id, name, outcome, reason, duration_ms, detail, occurred_at
           from jsonb_to_recordset($1) as step (instance_id text, flow_id text, id text, name text, outcome text,
               reason text, duration_ms int, detail jsonb, occurred_at timestamptz)
           on conflict do nothing"#,
        Json(steps) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}
