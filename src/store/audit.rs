//! The audit log: who did what to whom. Append-only; written in the transaction of the change.

use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::ipnet::IpNet;

use super::outbox::Effort;
use crate::model::id::{AuditEventId, UserId};
use crate::model::random::Rng;
use crate::model::request::Origin;
use crate::model::text_enum::text_enum;
use crate::model::time::Timestamp;

/// The `instance_id` of events that are about the whole deployment.
pub const DEPLOYMENT: &str = "deployment";

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in or signing-in user.
    User(UserId),
    /// A backend with this secret key.
    SecretKey(String),
    /// An OAuth application, by its id.
    Application(String),
    /// The command line: `<os user>@<host>`.
    Cli(String),
    /// The server itself.
    System,
}

impl Actor {
    fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::SecretKey(_) => "secret_key",
            Self::Application(_) => "oauth_application",
            Self::Cli(_) => "cli",
            Self::System => "system",
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::User(id) => Some(id.as_str()),
            Self::SecretKey(id) | Self::Application(id) | Self::Cli(id) => Some(id),
            Self::System => None,
        }
    }
}

text_enum! {
    /// How it ended.
    pub enum Outcome {
        /// Done.
        Success = "success",
        /// Refused or failed.
        Failure = "failure",
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct AuditEvent<'a> {
    /// The instance, or [`DEPLOYMENT`].
    pub instance: &'a str,
    /// What was done: `session.created`, `oauth_application.updated`.
    pub action: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed: a label of [`Reason`](crate::model::reason).
    pub reason: Option<&'a str>,
    /// Who did it.
    pub actor: Actor,
    /// Whom it is about.
    pub user: Option<&'a UserId>,
    /// What was changed: its kind and id.
    pub target: Option<(&'a str, &'a str)>,
    /// Where the request came from; `None` for acts without one.
    pub from: Option<&'a Origin>,
    /// The flow it belongs to.
    pub flow: Option<&'a str>,
    /// Safe fields before and after; `{}` for none. Never a secret.
    pub changes: Value,
    /// When, on the server's clock.
    pub at: Timestamp,
    /// Whether it is written down, or only takes as long as if it were.
    pub effort: Effort,
}

impl<'a> AuditEvent<'a> {
    /// A successful act without further detail.
    pub fn new(instance: &'a str, action: &'a str, actor: Actor, at: Timestamp) -> Self {
        Self {
            instance,
            action,
            outcome: Outcome::Success,
            reason: None,
            actor,
            user: None,
            target: None,
            from: None,
            flow: None,
            changes: Value::Object(serde_json::Map::new()),
            at,
            effort: Effort::Real,
        }
    }
}

/// Appends an event.
///
/// # Errors
/// Storage faults.
pub async fn append(db: impl PgExecutor<'_>, rng: &dyn Rng, event: AuditEvent<'_>) -> sqlx::Result<()> {
    let id = AuditEventId::new(event.at, rng);
    sqlx::query!(
        r#"insert into audit_events (instance_id, id, action, outcome, reason, actor_kind, actor_id, user_id,
               target_kind, target_id, ip_address, user_agent, request_id, flow_id, changes, created_at)
           select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16 where $17"#,
        event.instance,
        id.as_str(),
        event.action,
        event.outcome as Outcome,
        event.reason,
        event.actor.kind(),
        event.actor.id(),
        event.user.map(UserId::as_str),
        event.target.map(|(kind, _)| kind),
        event.target.map(|(_, id)| id),
        event.from.and_then(|from| from.ip).map(IpNet::from),
        event.from.and_then(|from| from.user_agent.as_deref()),
        event.from.map(|from| from.request_id.as_str()),
        event.flow,
        event.changes,
        event.at,
        event.effort == Effort::Real,
    )
    .execute(db)
    .await?;
    Ok(())
}
