//! The key ring's rotation as an operator sees it: what depends on which key, and bringing what is sealed under the key
//! that writes. Runs beside serving replicas: no row is locked longer than one statement takes.

use serde_json::json;

use crate::app::App;
use crate::crypto::{SealError, SealedAt, header};
use crate::model::problem::{Error, Result};
use crate::model::time::Timestamp;
use crate::store::audit::{self, Actor, AuditEvent};
use crate::store::ring_keys;
use crate::store::sealed::{self, COLUMNS, Renewed, SealedColumn, SealedValue};

/// Rows per statement.
const BATCH: i64 = 500;
/// From so many values on a key should go, whatever its age.
const MANY: i64 = 1 << 31;

/// What the ring does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// It seals and hashes what is new.
    Writes,
    /// It reads what it once wrote.
    Reads,
    /// The ring does not have it; what it wrote is lost while that is so.
    Absent,
}

/// A key and what depends on it.
#[derive(Debug, serde::Serialize)]
pub struct KeyStatus {
    /// Its id.
    pub id: String,
    /// What the ring does with it.
    pub place: KeyUse,
    /// Values in the database that are sealed under it.
    pub sealed: i64,
    /// Secret keys, client secrets, refresh families and signed-in browsers that are looked up under it.
    pub lookups: i64,
    /// Values ever sealed under it, as far as servers have reported.
    pub seals: i64,
    /// It has sealed so often that it should be rotated.
    pub worn: bool,
    /// Nothing depends on it, and another key writes: it can be taken out of the ring.
    pub removable: bool,
    /// When it came into use.
    #[serde(with = "time::serde::rfc3339::option")]
    pub first_used_at: Option<Timestamp>,
}

/// What depends on which key: the ring's keys in their order, then keys that the ring lacks.
///
/// # Errors
/// Storage faults.
pub async fn status(app: &App) -> Result<Vec<KeyStatus>> {
    let mut sealed_under: Vec<(String, i64)> = Vec::new();
    for column in COLUMNS {
        sealed_under.extend(sealed::counts(&app.db, column).await?);
    }
    let used = ring_keys::used(&app.db).await?;
    let mut ids: Vec<String> = app.ring.ids().map(str::to_owned).collect();
    let others = used.iter().map(|key| &key.id).chain(sealed_under.iter().map(|(id, _)| id));
    for id in others {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    let user_status = |id: String| {
        let known = used.iter().find(|key| key.id == id);
        let sealed = sealed_under.iter().filter(|(under, _)| *under == id).map(|(_, count)| count).sum();
        let lookups = known.map_or(0, |key| key.lookups);
        let seals = known.map_or(0, |key| key.seals);
        let place = if id == app.ring.first_id() {
            KeyUse::Writes
        } else if app.ring.ids().any(|one| one == id) {
            KeyUse::Reads
        } else {
            KeyUse::Absent
        };
        let removable = place == KeyUse::Reads && sealed == 0 && lookups == 0;
        let first_used_at = known.map(|key| key.first_used_at);
        KeyStatus { id, place, sealed, lookups, seals, worn: seals >= MANY, removable, first_used_at }
    };
    // A key that the ring lacks and nothing depends on is history.
    let is_history = |key: &KeyStatus| key.place == KeyUse::Absent && key.sealed == 0 && key.lookups == 0;
    Ok(ids.into_iter().map(user_status).filter(|key| !is_history(key)).collect())
}

/// What resealing did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Resealed {
    /// Values that are under the writing key now.
    pub resealed: u64,
    /// Values that something else replaced meanwhile; whoever did wrote under its own first key.
    pub replaced: u64,
    /// Values that do not open: table and column, and why.
    pub unopened: Vec<String>,
}

/// Brings every sealed value under the key that writes, in batches of 500; a value that changes meanwhile is left alone.
///
/// # Errors
/// Storage faults; what was done until then stays.
pub async fn reseal(app: &App, actor: Actor) -> Result<Resealed> {
    let mut done = Resealed::default();
    for column in COLUMNS {
        reseal_column(app, column, &mut done).await?;
    }
    ring_keys::add_seals(&app.db, &app.ring.take_seals()).await?;
    let mut event = AuditEvent::new(audit::DEPLOYMENT, "key_ring.resealed", actor, app.clock.now());
    event.target = Some(("ring_key", app.ring.first_id()));
    event.changes = json!({ "resealed": done.resealed, "unopened": done.unopened.len() });
    audit::append(&app.db, app.rng.as_ref(), event).await?;
    Ok(done)
}

async fn reseal_column(app: &App, column: &SealedColumn, done: &mut Resealed) -> Result<()> {
    let header = header(app.ring.first_id());
    let mut after = (String::new(), String::new());
    loop {
        let batch = sealed::batch(&app.db, column, &header, (&after.0, &after.1), BATCH).await?;
        let Some(last) = batch.last() else { return Ok(()) };
        after = (last.instance.clone(), last.row.clone());
        let mut renewed = Vec::with_capacity(batch.len());
        for stale in batch {
            match reseal_value(app, column, &stale) {
                Ok(fresh) => renewed.push(Renewed { stale, fresh }),
                Err(SealError::Seal) => return Err(Error::internal(SealError::Seal)),
                Err(error) => done.unopened.push(format!("{}.{}: {error}", column.table, column.column)),
            }
        }
        let written = sealed::renew(&app.db, column, &renewed).await?;
        done.resealed += written;
        done.replaced += (renewed.len() as u64).saturating_sub(written);
    }
}

fn reseal_value(app: &App, column: &SealedColumn, stale: &SealedValue) -> Result<Vec<u8>, SealError> {
    let at = SealedAt { table: column.table, column: column.column, row: &stale.row, instance: &stale.instance };
    let opened = app.ring.open(&at, &stale.sealed)?;
    app.ring.seal(app.rng.as_ref(), &at, &opened)
}
