//! Counts per key, in memory that does not grow without end. What is counted, and how much of it may be, is not
//! decided here.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::limits::Rate;

/// The most keys that are remembered; the oldest go first, so that counting is no hole in memory.
const KEYS: usize = 1_000_000;

/// How many parts the table has: requests of different keys seldom wait for each other.
const SHARDS: usize = 16;

/// What a key has spent: the window begins with its first request.
#[derive(Clone, Copy)]
struct Spent {
    /// Nanoseconds since the table was made. Monotonic: moving the machine's clock moves nothing here.
    since: u64,
    count: u32,
}

/// One part: the keys seen lately, and those seen before them. When the first is full it takes the place of the second,
/// which is thrown away: oldest first out.
#[derive(Default)]
struct Shard {
    young: HashMap<u64, Spent>,
    old: HashMap<u64, Spent>,
}

/// How often each key was spent from, for at most so many keys. A key is stored as a hash under a secret of this process.
pub struct Counts {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Keys in one half of a shard.
    half: usize,
    begun: Instant,
}

impl Default for Counts {
    fn default() -> Self {
        Self::new(KEYS)
    }
}

impl Counts {
    /// Nothing counted yet, and room for `keys` keys.
    fn new(keys: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { hasher: RandomState::new(), shards, half: (keys / SHARDS / 2).max(1), begun: Instant::now() }
    }

    /// Counts one request of `key`.
    ///
    /// # Errors
    /// How long to wait, if the rate is used up; then nothing is counted.
    pub fn spend(&self, key: impl Hash, rate: Rate) -> Result<(), Duration> {
        self.visit(key, rate, self.begun.elapsed(), 1)
    }

    /// Whether one request of `key` would be refused; counts nothing.
    ///
    /// # Errors
    /// How long to wait.
    pub fn look(&self, key: impl Hash, rate: Rate) -> Result<(), Duration> {
        self.visit(key, rate, self.begun.elapsed(), 0)
    }

    fn visit(&self, key: impl Hash, rate: Rate, now: Duration, spends: u32) -> Result<(), Duration> {
        if rate.count == 0 {
            return Ok(());
        }
        let (key, now) = (self.hasher.hash_one(key), nanoseconds(now));
        let mut shard = self.shard(key);
        let mut spent = shard.take(key).unwrap_or(Spent { since: now, count: 0 });
        let end = spent.since.saturating_add(nanoseconds(rate.window));
        if now >= end {
            spent = Spent { since: now, count: 0 };
        }
        let refused = spent.count >= rate.count;
        if !refused {
            spent.count += spends;
        }
        if spent.count > 0 {
            shard.put(key, spent, self.half);
        }
        if refused { Err(Duration::from_nanos(end - now)) } else { Ok(()) }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(key >> 60).unwrap_or(0) % SHARDS;
        // A shard is whole after each step, so one that a panic left behind is as good as any.
        self.shards.get(index).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    fn take(&mut self, key: u64) -> Option<Spent> {
        self.young.get(&key).copied().or_else(|| self.old.remove(&key))
    }

    fn put(&mut self, key: u64, spent: Spent, half: usize) {
        if self.young.len() >= half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, spent);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 3, window: Duration::from_secs(10) };

    fn at(table: &Counts, key: u64, seconds: u64) -> Result<(), u64> {
        table.visit(key, RATE, Duration::from_secs(seconds), 1).map_err(|wait| wait.as_secs())
    }

    #[test]
    fn so_many_per_window_which_begins_with_the_first() {
        let table = Counts::new(100);
        for second in [5, 6, 14] {
            assert_eq!(at(&table, 1, second), Ok(()));
        }
        assert_eq!(at(&table, 1, 14), Err(1));
        assert_eq!(at(&table, 2, 14), Ok(()), "another key");
        assert_eq!(at(&table, 1, 15), Ok(()), "refusals are not counted");
        assert_eq!(at(&table, 1, 15), Ok(()));
        assert_eq!(at(&table, 1, 24), Ok(()));
        assert_eq!(at(&table, 1, 24), Err(1));
    }

    #[test]
    fn looking_costs_nothing() {
        let table = Counts::new(100);
        for _ in 0..10 {
            assert_eq!(table.look("key", RATE), Ok(()));
        }
        assert_eq!(table.len(), 0);
        for _ in 0..3 {
            assert_eq!(table.spend("key", RATE), Ok(()));
        }
        assert!(table.look("key", RATE).is_err());
        assert_eq!(table.spend("key", Rate { count: 0, ..RATE }), Ok(()), "0 = off");
    }

    /// The bound of the real table is the same arithmetic with a larger number.
    #[test]
    fn ten_times_as_many_keys_as_there_is_room_for_push_the_oldest_out() {
        let table = Counts::new(1_600);
        for key in 0..16_000 {
            assert_eq!(at(&table, key, 0), Ok(()));
            assert!(table.len() <= 1_600, "{}", table.len());
        }
        for _ in 0..2 {
            assert_eq!(at(&table, 15_999, 0), Ok(()));
        }
        assert!(at(&table, 15_999, 0).is_err(), "the newest is remembered");
        for _ in 0..3 {
            assert_eq!(at(&table, 0, 0), Ok(()), "the oldest is forgotten");
        }
    }

    /// A key in use stays, however many strangers pass by.
    #[test]
    fn what_is_in_use_is_not_the_oldest() {
        let table = Counts::new(1_600);
        for key in 0..16_000 {
            let _ = at(&table, 1 << 40, 0);
            assert_eq!(at(&table, key, 0), Ok(()));
        }
        assert!(at(&table, 1 << 40, 0).is_err());
    }

    #[test]
    fn a_million_keys_fit_the_memory_they_may_take() {
        // hashbrown: one control byte per slot; it doubles when seven of eight slots are taken, and two halves exist.
        let slot = std::mem::size_of::<(u64, Spent)>() + 1;
        let half = KEYS / SHARDS / 2;
        let slots = (half * 8 / 7).next_power_of_two() * 2 * SHARDS;
        assert!(slots * slot < 100 * 1024 * 1024, "{} bytes", slots * slot);
    }
}
