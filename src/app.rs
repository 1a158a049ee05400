//! What every request and every job shares. Built once, at start.

mod clock;
mod counts;
pub mod last_known;
mod readiness;
mod ring;
pub mod single_flight;
pub mod token_access_log;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use clock::CorrectedClock;
pub use counts::Counts;
pub use readiness::Lacking;
pub use ring::RingMismatch;

use last_known::LastKnown;
use readiness::Readiness;
use single_flight::SingleFlight;
use token_access_log::TokenAccessLog;

use crate::config::Config;
use crate::config::limits::Rates;
use crate::crypto::SystemRng;
use crate::crypto::password::Passwords;
use crate::crypto::ring::KeyRing;
use crate::flow_log::Recorder;
use crate::model::instance::Instance;
use crate::model::random::Rng;
use crate::model::time::Clock;
use crate::outbound::mail::{MailStartError, Mailer};
use crate::outbound::{Outbound, StartError};
use crate::store::InstanceConnection;
use crate::store::directory::Directory;
use crate::store::pool::PgPool;
use crate::store::provider_configs::ProviderConfigs;
use crate::store::signing_keys::SigningKeys;
use crate::upstream::Upstream;
use crate::upstream::catalogue::Catalogue;
use crate::upstream::descriptor::DescriptorError;

/// The shared parts.
pub struct App {
    /// The server's configuration.
    pub config: Config,
    /// The pool. No connection of it is held across a wait.
    pub db: PgPool,
    /// Time.
    pub clock: Arc<CorrectedClock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The key ring.
    pub ring: KeyRing,
    /// Instances by host and by secret key, cached.
    pub directory: Directory,
    /// The instances' own signing keys, cached.
    pub signing_keys: SigningKeys,
    /// The instances' provider configurations, cached.
    pub provider_configs: ProviderConfigs,
    /// What public documents said last, for while the database is away.
    pub last_known: LastKnown,
    /// Refreshes of provider tokens under way in this process.
    pub single_flight: Arc<SingleFlight>,
    /// Provider tokens handed out since the audit log was written last.
    pub token_access_log: TokenAccessLog,
    /// The providers this version knows.
    pub catalogue: Catalogue,
    /// What the calls to providers share: the guarded client, and issuers' keys.
    pub upstream: Upstream,
    /// Writes down what happens in flows, off the requests' path.
    pub recorder: Recorder,
    /// Sends mail, where a server for it is configured.
    pub mailer: Option<Mailer>,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// How often what may happen: the rates in force.
    pub rates: Rates,
    /// What has been counted against them in memory.
    pub counts: Counts,
    /// Set when the server is asked to stop.
    pub draining: AtomicBool,
    readiness: Readiness,
}

/// Why the shared parts cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key ring does not belong to this database.
    #[error(transparent)]
    Ring(RingMismatch),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A compiled-in provider description is wrong.
    #[error(transparent)]
    Provider(#[from] DescriptorError),
    /// `outbound.*` cannot be followed.
    #[error(transparent)]
    Outbound(#[from] StartError),
    /// `email.*` cannot be followed.
    #[error(transparent)]
    Mail(#[from] MailStartError),
}

impl From<RingMismatch> for BuildError {
    fn from(mismatch: RingMismatch) -> Self {
        match mismatch {
            RingMismatch::Database(error) => Self::Database(error),
            other => Self::Ring(other),
        }
    }
}

impl App {
    /// The database, for statements about `instance` that need no transaction.
    pub fn db_of<'a>(&'a self, instance: &'a Instance) -> InstanceConnection<'a> {
        InstanceConnection::of_pool(&self.db, &instance.id, instance.clock_offset)
    }

    /// Builds the parts over a migrated database: compares the ring with the database, and measures the clocks.
    ///
    /// # Errors
    /// A ring that does not belong to the database, storage faults.
    pub async fn build(config: Config, db: PgPool, ring: KeyRing) -> Result<Arc<Self>, BuildError> {
        ring::check(&db, &ring).await?;
        let clock = Arc::new(CorrectedClock::default());
        clock.measure(&db).await?;
        let outbound = Arc::new(Outbound::new(&config.outbound)?);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let time: Arc<dyn Clock> = Arc::<CorrectedClock>::clone(&clock);
        let recorder = Recorder::start(db.clone(), time, Arc::clone(&rng));
        let ca_file = config.outbound.ca_file.as_deref();
        let mailer = config.email.as_ref().map(|email| Mailer::new(email, ca_file)).transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let passwords = Passwords::new(config.passwords, cores);
        let rates = config.limits.in_force();
        Ok(Arc::new(Self {
            config,
            db,
            clock,
            rng,
            ring,
            directory: Directory::default(),
            signing_keys: SigningKeys::default(),
            provider_configs: ProviderConfigs::default(),
            last_known: LastKnown::default(),
            single_flight: Arc::default(),
            token_access_log: TokenAccessLog::default(),
            catalogue: Catalogue::load()?,
            upstream: Upstream::new(outbound),
            recorder,
            mailer,
            passwords,
            rates,
            counts: Counts::default(),
            draining: AtomicBool::new(false),
            readiness: Readiness::default(),
        }))
    }

    /// True once the server was asked to stop: it finishes what it has and is not ready for more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on the server finishes what it has and is not ready for more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether this replica can serve: not draining, a connection usable within the last 2 s, the schema fitting.
    ///
    /// # Errors
    /// What is missing.
    pub async fn readiness(&self) -> Result<(), Lacking> {
        if self.is_draining() { Err(Lacking::Draining) } else { self.readiness.look(&self.db).await }
    }

    /// Forgets what is cached of instances, their keys and providers: there is news of them.
    pub fn forget_directory(&self) {
        self.read_directory_again();
        self.last_known.clear();
    }

    /// What is cached of instances, their keys and providers may be old: the next one who needs it reads it again.
    /// Until that has worked, public documents are served as they were.
    pub fn read_directory_again(&self) {
        self.directory.clear();
        self.signing_keys.clear();
        self.provider_configs.clear();
    }
}
