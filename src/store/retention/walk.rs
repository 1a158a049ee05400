//! One remover's walk through a table: page after page, instance after instance, from a position that can be stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::types::PgInterval;

use super::scope::{self, Scope};
use super::{PAGE, Remover};
use crate::config::Retention;
use crate::model::time::Timestamp;
use crate::store::interval;
use crate::store::pool::PgPool;

/// Instances asked about in one statement: each costs one look into an index.
const INSTANCES: usize = 500;

/// Whether rows that are over are removed, or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are removed.
    Remove,
    /// They are counted.
    Count,
}

/// How far a walk has come: everything up to this key of this instance was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The instance.
    pub instance: String,
    /// The key, as the remover spells it; empty before the first.
    pub key: String,
}

/// What a statement is about.
pub(super) struct Page {
    /// Instances, in order.
    pub(super) instances: Vec<String>,
    /// For each, the position after which the page begins.
    pub(super) after: Vec<String>,
    /// For each, the first key that is too young.
    pub(super) before: Vec<String>,
    /// For each, what time it is there.
    pub(super) moments: Vec<Timestamp>,
    /// How long rows stay after their end.
    pub(super) keep: PgInterval,
    /// Rows to look at.
    pub(super) limit: i64,
    /// Whether to remove what is over.
    pub(super) removes: bool,
}

/// What became of a page.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Rows looked at.
    pub seen: i64,
    /// Rows that are over.
    pub over: i64,
    /// Rows that were removed: those, but for what somebody else held.
    pub removed: i64,
    /// How long the one that waits longest could have been removed.
    pub overdue_seconds: Option<f64>,
    /// The last row's instance and key.
    pub last: Option<String>,
}

/// What waits to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waiting {
    /// Rows.
    pub rows: i64,
    /// Whether counting stopped before the end: then there may be more.
    pub is_cut: bool,
    /// How long the one that waits longest could have been removed.
    pub overdue: Duration,
}

/// A walk under way.
#[derive(Clone, Debug)]
pub struct Walk {
    remover: Remover,
    scopes: Vec<Scope>,
    keep: Duration,
    page: i64,
    position: Option<Position>,
    is_finished: bool,
}

impl Walk {
    /// Begins one, or goes on from `position`.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn begin(
        db: &PgPool,
        remover: Remover,
        retention: &Retention,
        position: Option<Position>,
    ) -> sqlx::Result<Self> {
        let scopes = scope::all(db, remover, retention).await?;
        Ok(Self { remover, scopes, keep: remover.keep(retention), page: PAGE, position, is_finished: false })
    }

    /// The same in smaller pages.
    #[must_use]
    pub fn in_pages_of(self, rows: i64) -> Self {
        Self { page: rows.clamp(1, PAGE), ..self }
    }

    /// Nothing is left after [`Self::position`].
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Where to go on; `None` at the beginning, and after the end.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The next page.
    ///
    /// # Errors
    /// Storage faults; the position stays, and nothing was removed.
    pub async fn next(&mut self, db: &PgPool, mode: Mode) -> sqlx::Result<Batch> {
        let (instance, key) = match &self.position {
            Some(position) => (position.instance.as_str(), position.key.as_str()),
            None => ("", ""),
        };
        let from = self.scopes.partition_point(|scope| scope.instance.as_str() < instance);
        let ahead = self.scopes.iter().skip(from).take(INSTANCES);
        let after = |scope: &Scope| if scope.instance == instance { key.to_owned() } else { String::new() };
        let page = Page {
            instances: ahead.clone().map(|scope| scope.instance.clone()).collect(),
            after: ahead.clone().map(after).collect(),
            before: ahead.clone().map(|scope| scope.before.clone()).collect(),
            moments: ahead.map(|scope| scope.moment).collect(),
            keep: interval::of(time::Duration::try_from(self.keep).unwrap_or(time::Duration::MAX)),
            limit: self.page,
            removes: mode == Mode::Remove,
        };
        let batch = self.remover.run(db, &page).await?;
        let last = batch.last.as_ref().and_then(|last| last.split_once(' ')).filter(|_| batch.seen >= self.page);
        let next = match last {
            Some((instance, key)) => Some(Position { instance: instance.to_owned(), key: key.to_owned() }),
            // These instances have no more.
            None => {
                let further = self.scopes.get(from + INSTANCES);
                further.map(|scope| Position { instance: scope.instance.clone(), key: String::new() })
            }
        };
        self.is_finished = next.is_none();
        self.position = next;
        Ok(batch)
    }

    /// Counts what waits from here on, in at most `pages` pages.
    ///
    /// # Errors
    /// Storage faults.
    pub async fn waiting(mut self, db: &PgPool, pages: usize) -> sqlx::Result<Waiting> {
        let mut waiting = Waiting { is_cut: !self.is_finished, ..Waiting::default() };
        for _ in 0..pages {
            if self.is_finished {
                break;
            }
            let batch = self.next(db, Mode::Count).await?;
            waiting.rows += batch.over;
            let overdue = Duration::try_from_secs_f64(batch.overdue_seconds.unwrap_or(0.0)).unwrap_or_default();
            waiting.overdue = waiting.overdue.max(overdue);
            waiting.is_cut = !self.is_finished;
        }
        Ok(waiting)
    }
}
