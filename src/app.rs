//! What every request and every job shares. Built once, at start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::PgPool;

use crate::config::Config;
use crate::crypto::ring::KeyRing;
use crate::limits::Limits;
use crate::model::random::Rng;
use crate::model::time::{Clock, Timestamp};
use crate::store::directory::Directory;

/// The clock of the operating system.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the operating system for the time")]
    fn now(&self) -> Timestamp {
        Timestamp::now_utc()
    }
}

/// The shared parts.
pub struct App {
    /// The server's configuration.
    pub config: Config,
    /// The pool. No connection of it is held across a wait.
    pub db: PgPool,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The key ring.
    pub ring: KeyRing,
    /// Instances by host and by secret key, cached.
    pub directory: Directory,
    /// Rate limits counted in memory.
    pub limits: Limits,
    /// Set when the server is asked to stop.
    pub draining: AtomicBool,
}

impl App {
    /// True once the server was asked to stop: it finishes what it has and is not ready for more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
