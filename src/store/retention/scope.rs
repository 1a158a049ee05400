//! How far a remover may look in each instance: by its clock, as the first key that is too young.

use super::{ATTEMPT, PROOF, Remover};
use crate::config::Retention;
use crate::model::id::{
    AuditEventId, ClientId, ExternalAccountId, FlowId, GrantId, InboxMessageId, OutboxId, ProviderAuthorizationId,
    SessionId, SignInId, SignUpId, VerificationId,
};
use crate::model::time::{Timestamp, epoch_day};
use crate::store::audit::DEPLOYMENT;
use crate::store::pool::PgPool;

/// An instance, and where its rows that may be over end.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) instance: String,
    /// Keys from here on are too young; unused where keys do not grow with time.
    pub(super) before: String,
    /// What time it is there.
    pub(super) moment: Timestamp,
}

/// An instance's own time, and the server's.
#[derive(Clone, Copy)]
struct Now {
    instance: Timestamp,
    server: Timestamp,
}

/// The scopes of all instances, in the order of their ids.
pub(super) async fn all(db: &PgPool, remover: Remover, retention: &Retention) -> sqlx::Result<Vec<Scope>> {
    let rows = sqlx::query!(
        r#"select id, now() + clock_offset as "instance!", now() as "server!" from instances
           union all select $1, now(), now()"#,
        DEPLOYMENT
    )
    .fetch_all(db)
    .await?;
    let scope = |id: Option<String>, now: Now| {
        Some(Scope { instance: id?, before: before(remover, retention, now), moment: moment(remover, now) })
    };
    let mut scopes: Vec<Scope> =
        rows.into_iter().filter_map(|row| scope(row.id, Now { instance: row.instance, server: row.server })).collect();
    scopes.sort_by(|one, other| one.instance.cmp(&other.instance));
    Ok(scopes)
}

/// Work and audit go by the server's clock, whatever an instance's says.
fn moment(remover: Remover, now: Now) -> Timestamp {
    match remover {
        Remover::AuditEvents | Remover::Messages | Remover::Outbox | Remover::OutboxPayloads => now.server,
        _ => now.instance,
    }
}

/// The first key that is too young. Ids tell when something began, and it ends at a known time after that, at the
/// earliest; tokens and codes tell the day of their end.
fn before(remover: Remover, retention: &Retention, now: Now) -> String {
    let keep = remover.keep(retention);
    let moment = moment(remover, now);
    let past = moment - keep;
    match remover {
        Remover::ProviderAuthorizationSecrets | Remover::ProviderAuthorizations => {
            ProviderAuthorizationId::floor(past - PROOF)
        }
        // A pending account without an error is over an hour after its state.
        Remover::ExternalAccounts => ExternalAccountId::floor(moment - time::Duration::HOUR - PROOF),
        Remover::SignIns => SignInId::floor(past - ATTEMPT),
        Remover::SignUps => SignUpId::floor(past - ATTEMPT),
        // It counts as long as the attempt that it was asked in.
        Remover::Verifications => VerificationId::floor((past - PROOF).min(moment - ATTEMPT)),
        Remover::Sessions => SessionId::floor(past),
        Remover::Visitors => ClientId::floor(past),
        // One that was removed goes as soon as its sessions are gone.
        Remover::Clients => ClientId::floor(moment - time::Duration::DAY),
        Remover::OauthGrants => GrantId::floor(past),
        Remover::OauthCodes | Remover::OauthRefreshTokens | Remover::OauthAccessTokens => epoch_day(past).to_string(),
        Remover::Flows | Remover::FlowSteps => FlowId::floor(past),
        Remover::AuditEvents => AuditEventId::floor(past),
        Remover::Messages | Remover::Outbox | Remover::OutboxPayloads => OutboxId::floor(past),
        Remover::InboxMessages => InboxMessageId::floor(past),
        Remover::Handshakes
        | Remover::ClientTokens
        | Remover::RateLimits
        | Remover::SimulatorTokens
        | Remover::SimulatorPeople => String::new(),
    }
}
