//! Documents of others, cached for an hour, and up to a day where a newer one cannot be had.

use super::error::{Call, UpstreamError};
use crate::model::reason::Reason;
use moka::Entry;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this a document is fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// Until then an old one serves where a new one cannot be had.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Between two tries to get a newer one: a stranger's unknown `kid` must not make us flood an issuer.
const PAUSE: Duration = Duration::from_secs(60);
/// Documents cached at once; the address is an operator's, not a visitor's.
const CAPACITY: u64 = 10_000;

/// Which document the caller can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// The stored one.
    Any,
    /// One from after the stored one, because that lacks something.
    Newer,
}

/// Documents by their address. Of several callers one fetches; the others wait for it.
pub(super) struct DocumentCache<T> {
    documents: Cache<String, Cached<T>>,
}

struct Cached<T> {
    document: Arc<T>,
    fetched_at: Instant,
    /// The last try that a caller's want of a newer one, or a failure, caused.
    tried_at: Option<Instant>,
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self { document: Arc::clone(&self.document), ..*self }
    }
}

impl<T: Send + Sync + 'static> Default for DocumentCache<T> {
    fn default() -> Self {
        Self { documents: Cache::builder().max_capacity(CAPACITY).time_to_live(STALE).build() }
    }
}

impl<T: Send + Sync + 'static> DocumentCache<T> {
    /// The document at `address`; `fetch` is called only where the stored one does not do.
    pub(super) async fn get<F, Answer>(
        &self,
        address: &str,
        freshness: Freshness,
        fetch: F,
    ) -> Result<Arc<T>, UpstreamError>
    where
        F: FnOnce() -> Answer + Send,
        Answer: Future<Output = Result<T, UpstreamError>> + Send,
    {
        self.get_at(Instant::now(), address, freshness, fetch).await
    }

    /// Puts a document in the place of the stored one.
    pub(super) async fn put(&self, address: &str, document: T) -> Arc<T> {
        let document = Arc::new(document);
        let cached = Cached { document: Arc::clone(&document), fetched_at: Instant::now(), tried_at: None };
        self.documents.insert(address.to_owned(), cached).await;
        document
    }

    async fn get_at<F, Answer>(
        &self,
        now: Instant,
        address: &str,
        freshness: Freshness,
        fetch: F,
    ) -> Result<Arc<T>, UpstreamError>
    where
        F: FnOnce() -> Answer + Send,
        Answer: Future<Output = Result<T, UpstreamError>> + Send,
    {
        if let Some(cached) = self.documents.get(address).await
            && cached.serves(freshness, now)
        {
            return Ok(cached.document);
        }
        let replace = |entry: Option<Entry<String, Cached<T>>>| async move {
            let cached = entry.map(Entry::into_value);
            // Another caller may have fetched while we waited for our turn.
            if cached.as_ref().is_some_and(|cached| cached.serves(freshness, now)) {
                return Ok(Op::Nop);
            }
            let tried_at = (freshness == Freshness::Newer).then_some(now);
            match (fetch().await, cached) {
                (Ok(document), _) => Ok(Op::Put(Cached { document: Arc::new(document), fetched_at: now, tried_at })),
                (Err(_), Some(cached)) if cached.age(now) < STALE => {
                    Ok(Op::Put(Cached { tried_at: Some(now), ..cached }))
                }
                (Err(error), _) => Err(error),
            }
        };
        match self.documents.entry_by_ref(address).and_try_compute_with(replace).await? {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Ok(entry.into_value().document)
            }
            // Not possible: nothing above removes, and Nop is answered only where something is stored.
            CompResult::StillNone(_) | CompResult::Removed(_) => {
                Err(UpstreamError::new(Call::Keys, Reason::Internal, ""))
            }
        }
    }
}

impl<T> Cached<T> {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched_at)
    }

    /// True if no new try is to be made.
    fn serves(&self, freshness: Freshness, now: Instant) -> bool {
        let has_just_tried = self.tried_at.is_some_and(|tried_at| now.saturating_duration_since(tried_at) < PAUSE);
        has_just_tried || (freshness == Freshness::Any && self.age(now) < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Issuer {
        document_cache: DocumentCache<u32>,
        fetches: AtomicU32,
        begun: Instant,
    }

    impl Issuer {
        fn new() -> Self {
            Self { document_cache: DocumentCache::default(), fetches: AtomicU32::new(0), begun: Instant::now() }
        }

        /// Asks `seconds` after the beginning; the document is the number of fetches so far.
        async fn ask(&self, seconds: u64, freshness: Freshness) -> u32 {
            let fetch = async || Ok(self.fetches.fetch_add(1, Ordering::SeqCst) + 1);
            *self.document_cache.get_at(self.begun + Duration::from_secs(seconds), "a", freshness, fetch).await.unwrap()
        }

        async fn ask_while_away(&self, seconds: u64, freshness: Freshness) -> Result<u32, UpstreamError> {
            let fetch = async || {
                self.fetches.fetch_add(1, Ordering::SeqCst);
                Err(UpstreamError::new(Call::Keys, Reason::ProviderTimeout, ""))
            };
            let found =
                self.document_cache.get_at(self.begun + Duration::from_secs(seconds), "a", freshness, fetch).await;
            found.map(|document| *document)
        }
    }

    #[tokio::test]
    async fn keeps_a_document_for_an_hour() {
        let issuer = Issuer::new();
        assert_eq!(issuer.ask(0, Freshness::Any).await, 1);
        assert_eq!(issuer.ask(3599, Freshness::Any).await, 1);
        assert_eq!(issuer.ask(3600, Freshness::Any).await, 2);
    }

    #[tokio::test]
    async fn an_unknown_key_causes_one_fetch_a_minute() {
        let issuer = Issuer::new();
        assert_eq!(issuer.ask(0, Freshness::Any).await, 1);
        assert_eq!(issuer.ask(1, Freshness::Newer).await, 2);
        assert_eq!(issuer.ask(60, Freshness::Newer).await, 2);
        assert_eq!(issuer.ask(61, Freshness::Newer).await, 3);
        assert_eq!(issuer.ask_while_away(200, Freshness::Newer).await, Ok(3));
        assert_eq!(issuer.ask(259, Freshness::Newer).await, 3);
        assert_eq!(issuer.fetches.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn an_old_document_serves_for_a_day_while_the_issuer_is_away() {
        let issuer = Issuer::new();
        assert!(issuer.ask_while_away(0, Freshness::Any).await.is_err());
        assert_eq!(issuer.ask(0, Freshness::Any).await, 2);
        assert_eq!(issuer.ask_while_away(7200, Freshness::Any).await, Ok(2));
        assert_eq!(issuer.ask_while_away(24 * 3600 - 1, Freshness::Any).await, Ok(2));
        assert!(issuer.ask_while_away(24 * 3600 + 60, Freshness::Any).await.is_err());
    }

    #[tokio::test]
    async fn of_many_callers_one_fetches() {
        let issuer = Issuer::new();
        let asked = (0..50).map(|_| issuer.ask(0, Freshness::Any));
        assert_eq!(futures_util::future::join_all(asked).await, vec![1; 50]);
    }
}
