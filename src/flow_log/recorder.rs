//! The queue between requests and the flow log's tables, and the task behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::model::random::Rng;
use crate::model::time::{Clock, Timestamp};
use crate::store::flows::{self, FlowChange, NewStep};
use crate::store::pool::PgPool;

/// Requests whose notes may wait; more are lost.
const QUEUE: usize = 4_096;
/// Requests whose notes are written at once.
const BATCH: usize = 256;
/// How long the first note of a batch waits for others.
const LINGER: Duration = Duration::from_millis(100);

/// What one request noted.
pub(super) struct Record {
    pub(super) change: FlowChange,
    pub(super) steps: Vec<NewStep>,
}

enum Message {
    Record(Box<Record>),
    Flush(oneshot::Sender<()>),
}

/// Takes notes without waiting. Clones share one queue; its task ends with the last of them.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Recorder {
    /// Starts the task that writes over `db`.
    pub fn start(db: PgPool, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(drain(receiver, db, Arc::clone(&lost)));
        Self { queue, lost, clock, rng }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn rng(&self) -> &dyn Rng {
        self.rng.as_ref()
    }

    /// Queues the notes of a request; counts them as lost where there is no room.
    pub(super) fn put(&self, record: Record) {
        if self.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when everything that was noted before has been written, or given up; the caller says how long it waits.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

/// Writes batch after batch until nobody can note anything any more.
async fn drain(mut receiver: mpsc::Receiver<Message>, db: PgPool, lost: Arc<AtomicU64>) {
    while let Some(first) = receiver.recv().await {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let until = Instant::now() + LINGER;
        while let Some(message) = next {
            batch.add(message);
            let is_full = batch.size >= BATCH || !batch.waiting.is_empty();
            next = match is_full {
                true => None,
                false => tokio::time::timeout_at(until, receiver.recv()).await.ok().flatten(),
            };
        }
        let count = batch.size;
        if let Err(error) = batch.write(&db).await {
            lost.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            tracing::debug!(%error, "notes of flows could not be written");
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "notes of flows were lost");
        }
    }
}

#[derive(Default)]
struct Batch {
    size: usize,
    changes: BTreeMap<(String, String), FlowChange>,
    steps: Vec<NewStep>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, message: Message) {
        let record = match message {
            Message::Flush(done) => return self.waiting.push(done),
            Message::Record(record) => *record,
        };
        self.size += 1;
        self.steps.extend(record.steps);
        let key = (record.change.instance_id.to_string(), record.change.id.to_string());
        match self.changes.get_mut(&key) {
            Some(known) => known.merge(record.change),
            None => {
                self.changes.insert(key, record.change);
            }
        }
    }

    /// Whoever waits for the batch is woken when this value is gone, whether or not it could be written.
    async fn write(self, db: &PgPool) -> sqlx::Result<()> {
        if self.size == 0 {
            return Ok(());
        }
        let changes: Vec<FlowChange> = self.changes.into_values().collect();
        let connection = &mut *db.acquire().await?;
        flows::write(&mut *connection, &changes).await?;
        flows::write_steps(connection, &self.steps).await?;
        drop(self.waiting);
        Ok(())
    }
}
