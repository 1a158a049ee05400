//! Provider tokens handed out or refused, on their way into the audit log. A read must not become a write: what is the
//! same (who, which account, how it ended) is written once an hour, and written by a background task within a second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::id::{ExternalAccountId, InstanceId, UserId};
use crate::model::request::Origin;
use crate::model::time::Timestamp;
use crate::store::audit::Actor;

/// For how long the same is not written again.
const SILENCE: Duration = Duration::from_secs(3600);
/// What is remembered at most; beyond it, repetitions are written.
const REMEMBERED: usize = 100_000;
/// What waits at most while the database is away.
const WAITING: usize = 10_000;

/// One event.
#[derive(Clone, Debug)]
pub struct TokenAccess {
    /// The instance.
    pub instance: InstanceId,
    /// Whose token.
    pub user: UserId,
    /// Of which account.
    pub account: ExternalAccountId,
    /// To whom.
    pub actor: Actor,
    /// Why it was refused; `None` if it was handed out.
    pub refusal: Option<String>,
    /// Where the request came from.
    pub from: Origin,
    /// When, on the server's clock.
    pub at: Timestamp,
}

type Key = (ExternalAccountId, String, Option<String>);

/// The events not yet written.
#[derive(Default)]
pub struct TokenAccessLog(Mutex<State>);

#[derive(Default)]
struct State {
    logged: HashMap<Key, Instant>,
    waiting: Vec<TokenAccess>,
    lost: usize,
}

impl TokenAccessLog {
    /// Notes an event, unless the same was written within the hour.
    pub fn note(&self, access: TokenAccess) {
        let now = Instant::now();
        let key = (access.account.clone(), format!("{:?}", access.actor), access.refusal.clone());
        let mut state = self.lock();
        if state.logged.get(&key).is_some_and(|logged| now.duration_since(*logged) < SILENCE) {
            return;
        }
        if state.logged.len() >= REMEMBERED {
            state.logged.retain(|_, logged| now.duration_since(*logged) < SILENCE);
        }
        if state.logged.len() < REMEMBERED {
            state.logged.insert(key, now);
        }
        if state.waiting.len() < WAITING { state.waiting.push(access) } else { state.lost += 1 }
    }

    /// What waits to be written.
    pub fn take(&self) -> Vec<TokenAccess> {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.lost);
        if lost > 0 {
            tracing::warn!(lost, "the audit log misses provider tokens handed out");
        }
        std::mem::take(&mut state.waiting)
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, mut token_access_log: Vec<TokenAccess>) {
        let mut state = self.lock();
        token_access_log.append(&mut state.waiting);
        state.lost += token_access_log.len().saturating_sub(WAITING);
        token_access_log.truncate(WAITING);
        state.waiting = token_access_log;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole after every statement: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
