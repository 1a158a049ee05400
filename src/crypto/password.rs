//! Passwords: Argon2id (RFC 9106) on a bounded pool. A hash costs a core and megabytes, so there are never more at work
//! than cores, and a queue that is as long as it may be answers "not now".

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::secret::{ExposeSecret, Secret, same};
use crate::model::random::Rng;

/// What a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    /// OWASP's first choice.
    fn default() -> Self {
        Self { memory: 19_456, passes: 2 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// As many as may wait are waiting.
    #[error("too many passwords are being hashed")]
    Busy,
    /// The stored digest is none that this version reads.
    #[error("a stored password digest cannot be read")]
    Digest,
    /// The hash function refused its parameters, or its thread ended.
    #[error("a password could not be hashed")]
    Failed,
}

/// How many times more may wait than work.
const QUEUE: usize = 8;
const SALT: usize = 16;
const OUTPUT: usize = 32;

/// How long the memory of a finished hash waits for the next one. To map and to fill 19 MiB anew costs a tenth of a hash.
const REST: Duration = Duration::from_secs(1);

/// The least memory that is asked for at once, in blocks of 1 KiB. glibc maps an allocation of more than 32 MiB by
/// itself and gives it back when it is freed; a smaller one stays in its heap once it has seen two of that size. Pages
/// that are not written to are not there, so the rest costs nothing.
const MAPPED: usize = 33 * 1024;

/// The pool.
pub struct Passwords {
    cost: Cost,
    /// Places at work and in the queue.
    places: Semaphore,
    /// Places at work.
    work: Arc<Semaphore>,
    memory: Arc<Memory>,
}

/// A place in the pool, at work or in its queue. Whoever is going to hash takes one before anything else, so that a
/// request that finds no room costs nothing.
pub struct Place<'a> {
    pool: &'a Passwords,
    _held: SemaphorePermit<'a>,
}

/// Memory of finished work, for the next that comes soon.
#[derive(Default)]
struct Memory {
    blocks: Mutex<Vec<Vec<Block>>>,
    finished: AtomicU64,
}

impl Passwords {
    /// A pool of `cores` places at work.
    pub fn new(cost: Cost, cores: usize) -> Self {
        let cores = cores.max(1);
        let (places, work) = (Semaphore::new(cores * (1 + QUEUE)), Arc::new(Semaphore::new(cores)));
        Self { cost, places, work, memory: Arc::default() }
    }

    /// Takes a place, for one hash after the other.
    ///
    /// # Errors
    /// [`PasswordError::Busy`].
    pub fn place(&self) -> Result<Place<'_>, PasswordError> {
        let held = self.places.try_acquire().map_err(|_| PasswordError::Busy)?;
        Ok(Place { pool: self, _held: held })
    }

    /// [`Place::hash`] at a place of its own.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::Failed`].
    pub async fn hash(&self, rng: &dyn Rng, password: &Secret) -> Result<String, PasswordError> {
        self.place()?.hash(rng, password).await
    }
}

impl Place<'_> {
    /// The digest of a new password, a PHC string. To be called while no database connection is held.
    ///
    /// # Errors
    /// [`PasswordError::Failed`].
    pub async fn hash(&self, rng: &dyn Rng, password: &Secret) -> Result<String, PasswordError> {
        let mut salt = [0; SALT];
        rng.fill(&mut salt);
        let output = self.run(self.pool.cost, salt.to_vec(), OUTPUT, password).await?;
        let text = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, bytes);
        let Cost { memory, passes } = self.pool.cost;
        Ok(format!("$argon2id$v=19$m={memory},t={passes},p=1${}${}", text(&salt), text(&output)))
    }

    /// Whether `password` is the one that `digest` was made of. To be called while no database connection is held.
    ///
    /// # Errors
    /// [`PasswordError::Digest`], [`PasswordError::Failed`].
    pub async fn verify(&self, password: &Secret, digest: &str) -> Result<bool, PasswordError> {
        let stored = read(digest).ok_or(PasswordError::Digest)?;
        let output = self.run(stored.cost, stored.salt, stored.output.len(), password).await?;
        Ok(same(&output, &stored.output))
    }

    /// Takes as long as [`Self::verify`] takes: for users who do not exist, or have no password.
    ///
    /// # Errors
    /// [`PasswordError::Failed`].
    pub async fn pretend(&self, password: &Secret) -> Result<(), PasswordError> {
        self.run(self.pool.cost, vec![0; SALT], OUTPUT, password).await.map(drop)
    }

    async fn run(&self, cost: Cost, salt: Vec<u8>, length: usize, password: &Secret) -> Result<Vec<u8>, PasswordError> {
        let work = Arc::clone(&self.pool.work).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        tracing::trace!(cost.memory, cost.passes, "hashing a password");
        let (password, memory) = (password.clone(), Arc::clone(&self.pool.memory));
        let hash = move || {
            // Nothing stops a hash that has begun: whoever goes away meanwhile makes no room for another at work.
            let _work = work;
            let mut blocks = memory.take();
            let output = compute(cost, &salt, length, password.expose_secret().as_bytes(), &mut blocks);
            Memory::keep(&memory, blocks);
            output
        };
        tokio::task::spawn_blocking(hash).await.map_err(|_| PasswordError::Failed)?
    }
}

impl Memory {
    fn take(&self) -> Vec<Block> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps `blocks` for the next hash, and gives all that is held back once none has finished for a while.
    fn keep(memory: &Arc<Self>, blocks: Vec<Block>) {
        memory.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
        let finished = memory.finished.fetch_add(1, Ordering::Relaxed) + 1;
        let memory = Arc::clone(memory);
        tokio::spawn(async move {
            tokio::time::sleep(REST).await;
            if memory.finished.load(Ordering::Relaxed) == finished {
                memory.blocks.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        });
    }
}

fn compute(
    cost: Cost,
    salt: &[u8],
    length: usize,
    password: &[u8],
    blocks: &mut Vec<Block>,
) -> Result<Vec<u8>, PasswordError> {
    let params = Params::new(cost.memory, cost.passes, 1, Some(length)).map_err(|_| PasswordError::Failed)?;
    let needed = params.block_count();
    if blocks.capacity() < needed {
        *blocks = Vec::with_capacity(needed.max(MAPPED));
    }
    if blocks.len() < needed {
        blocks.resize(needed, Block::default());
    }
    let mut output = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, &mut output, blocks)
        .map_err(|_| PasswordError::Failed)?;
    Ok(output)
}

/// A digest of ours, taken apart.
struct Stored {
    cost: Cost,
    salt: Vec<u8>,
    output: Vec<u8>,
}

fn read(digest: &str) -> Option<Stored> {
    let digest = PasswordHash::new(digest).ok()?;
    if digest.algorithm.as_str() != "argon2id" || digest.version != Some(19) {
        return None;
    }
    let number = |name: &str| digest.params.get_decimal(name);
    if number("p") != Some(1) {
        return None;
    }
    Some(Stored {
        cost: Cost { memory: number("m")?, passes: number("t")? },
        salt: digest.salt?.as_ref().to_vec(),
        output: digest.hash?.as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::secret::SystemRng;
    use super::*;

    const SMALL: Cost = Cost { memory: 64, passes: 1 };

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[tokio::test]
    async fn verifies_what_it_hashed_and_nothing_else() {
        let pool = Passwords::new(SMALL, 2);
        let digest = pool.hash(&SystemRng, &secret("blauwale fliegen nie")).await.unwrap();
        assert!(digest.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{digest}");
        assert!(pool.place().unwrap().verify(&secret("blauwale fliegen nie"), &digest).await.unwrap());
        for wrong in ["blauwale fliegen nie ", "Blauwale fliegen nie", ""] {
            assert!(!pool.place().unwrap().verify(&secret(wrong), &digest).await.unwrap(), "{wrong:?}");
        }
        assert_ne!(digest, pool.hash(&SystemRng, &secret("blauwale fliegen nie")).await.unwrap(), "a salt of its own");
        pool.place().unwrap().pretend(&secret("x")).await.unwrap();
    }

    /// The example of the command line tool in the reference implementation's README, with Argon2id's variant of it in
    /// its test file: password "password", salt "somesalt", 64 MiB, two passes, one lane.
    #[tokio::test]
    async fn reads_the_reference_implementations_digests() {
        let digest = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let pool = Passwords::new(Cost::default(), 1);
        assert!(pool.place().unwrap().verify(&secret("password"), digest).await.unwrap());
        assert!(!pool.place().unwrap().verify(&secret("passwore"), digest).await.unwrap());
    }

    #[tokio::test]
    async fn refuses_digests_of_another_kind() {
        let pool = Passwords::new(SMALL, 1);
        for digest in ["", "x", "$2b$10$abcdefghijklmnopqrstuv", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA"] {
            assert!(
                matches!(pool.place().unwrap().verify(&secret("x"), digest).await, Err(PasswordError::Digest)),
                "{digest}"
            );
        }
    }

    /// One at work and eight in the queue; the tenth is turned away, and once they are done there is room again.
    #[tokio::test]
    async fn a_full_queue_turns_away() {
        let pool = Passwords::new(Cost { memory: 1024, passes: 3 }, 1);
        let password = secret("x");
        let all = futures_util::future::join_all((0..20).map(|_| pretend(&pool, &password))).await;
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 9);
        assert!(all.iter().any(|one| matches!(one, Err(PasswordError::Busy))));
        pretend(&pool, &password).await.unwrap();
    }

    async fn pretend(pool: &Passwords, password: &Secret) -> Result<(), PasswordError> {
        pool.place()?.pretend(password).await
    }

    /// Somebody who asks and goes away, again and again, has no more cores at work than anybody.
    #[tokio::test]
    async fn abandoned_hash_keeps_its_place_at_work() {
        let pool = Arc::new(Passwords::new(Cost { memory: 65_536, passes: 8 }, 1));
        let asked = Arc::clone(&pool);
        let request = tokio::spawn(async move { pretend(&asked, &secret("x")).await });
        while pool.work.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(pool.places.available_permits(), 9, "the queue has room again");
        assert_eq!(pool.work.available_permits(), 0, "the hash goes on");
        pretend(&pool, &secret("x")).await.unwrap();
    }

    #[tokio::test]
    async fn memory_is_given_back_when_nobody_hashes() {
        let pool = Passwords::new(SMALL, 2);
        let held = || pool.memory.blocks.lock().unwrap().len();
        for _ in 0..3 {
            pretend(&pool, &secret("x")).await.unwrap();
            assert_eq!(held(), 1, "one after the other shares it");
        }
        let is_given_back = async {
            while held() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), is_given_back).await.unwrap();
    }
}
