//! What is over is removed: a remover per table that grows, each one statement that takes a page of rows in the order of
//! an index, oldest first, and removes those of the page that are over.
//!
//! No statement reads more than a page, however large the table is, and how long it takes does not depend on what is left
//! in it. [`Walk`] takes one page after the other through every instance, on that instance's clock; it can stop after any
//! page and go on from its position later, in another process too.

mod scope;
mod statements;
mod walk;

use std::time::Duration;

use crate::config::Retention;

pub use statements::{REMOVERS, Remover};
pub use walk::{Batch, Mode, Position, Waiting, Walk};

/// Rows looked at in one statement.
pub const PAGE: i64 = 1_000;

/// Tables without a remover of their own, and why they need none.
pub const WITHOUT_REMOVER: &[(&str, &str)] = &[
    ("_sqlx_migrations", "one row per migration"),
    ("instances", "made by operators"),
    ("instance_hosts", "made by operators"),
    ("instance_origins", "made by operators"),
    ("secret_keys", "made by operators; kept after revocation, so that the audit log can name it"),
    ("signing_keys", "made by operators; a removed one is still published for a while"),
    ("ring_keys", "one row per key of the ring"),
    ("provider_configs", "one row per provider that operators enabled"),
    ("redirect_urls", "made by operators"),
    ("oauth_applications", "made by operators"),
    ("users", "people; they go when they are deleted"),
    ("identifications", "goes with its user"),
    ("user_passwords", "goes with its user"),
    ("user_listings", "goes with its user"),
    ("provider_tokens", "one row per external account, and goes with it"),
    ("oauth_consents", "one row per user and application, and goes with either"),
    ("known_clients", "one row per user and client, and goes with either"),
    ("session_activities", "one row per session, and goes with it"),
    ("counters", "a fixed number of rows per instance"),
    ("jobs", "one row per periodic task"),
    ("simulator_providers", "one row per simulated provider of a development instance"),
];

/// How often a remover runs: what holds a secret or somebody's data soonest, large tables that are walked whole seldom.
const SOON: Duration = Duration::from_secs(600);
const HOURLY: Duration = Duration::from_secs(3600);
const WHOLE: Duration = Duration::from_secs(6 * 3600);

/// The life of a sign-in or sign-up.
const ATTEMPT: time::Duration = time::Duration::hours(24);
/// The life of a verification, and of a state.
const PROOF: time::Duration = time::Duration::minutes(10);
/// Small tables whose rows live for minutes: kept for so long after their end.
const SHORTLY: Duration = Duration::from_secs(3600);

impl Remover {
    /// Names it in `jobs`.
    pub fn job(self) -> String {
        format!("retention_{}", self.name())
    }

    /// After which time it is due again.
    pub fn period(self) -> Duration {
        match self {
            Self::ProviderAuthorizationSecrets | Self::ExternalAccounts | Self::Messages => SOON,
            Self::Visitors
            | Self::Clients
            | Self::Sessions
            | Self::ClientTokens
            | Self::OauthCodes
            | Self::OauthGrants
            | Self::OutboxPayloads => WHOLE,
            _ => HOURLY,
        }
    }

    /// How long its rows stay after their end.
    fn keep(self, retention: &Retention) -> Duration {
        match self {
            // A callback that came in the last moment may take half a minute, and a nonce works for five minutes.
            Self::ProviderAuthorizationSecrets => PROOF.unsigned_abs(),
            Self::ProviderAuthorizations
            | Self::SignIns
            | Self::SignUps
            | Self::Verifications
            | Self::ExternalAccounts
            | Self::OauthCodes => retention.attempts,
            Self::OauthAccessTokens => retention.access_tokens,
            Self::OauthRefreshTokens | Self::OauthGrants => retention.grants,
            Self::Sessions => retention.sessions,
            Self::Visitors => retention.visitors,
            Self::Clients => retention.clients,
            Self::Flows | Self::FlowSteps => retention.flows,
            Self::AuditEvents => retention.audit,
            Self::Messages => retention.messages,
            Self::Outbox => retention.outbox,
            Self::OutboxPayloads => retention.outbox_payloads,
            Self::InboxMessages => retention.inbox,
            Self::SimulatorTokens | Self::SimulatorPeople => retention.grants,
            Self::Handshakes | Self::ClientTokens | Self::RateLimits => SHORTLY,
        }
    }
}
