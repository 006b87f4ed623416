//! Keys that had to be fetched to verify with: kept for a while, fetched one at a time.
//!
//! Which key a request needs stands in the request, whose sender proved nothing yet. So
//! everything here is bounded: how many keys are kept, how long, how often one origin is asked
//! (a stranger who names ever new keys must not have us ask a partner for each), and how long a
//! request waits. A key that could not be had is remembered for a moment, too. Where nothing
//! is known the request is answered 503 and sent again later; none of it is burned.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Most keys, those that could not be had included.
const KEPT_MAX: usize = 256;

/// How long a key is believed: partners publish new ones under new names.
const KEPT_FOR: Duration = Duration::from_hours(6);

/// How long it is remembered that a key could not be had.
const MISSING_FOR: Duration = Duration::from_secs(20);

/// Most fetches from one origin within [`BUDGET_EVERY`].
const BUDGET: u32 = 30;

/// Most origins asked within [`BUDGET_EVERY`]: where any subdomain may be named, a stranger
/// could otherwise have a budget for each.
const ORIGINS_MAX: usize = 32;

/// How often an origin's budget begins anew.
const BUDGET_EVERY: Duration = Duration::from_mins(1);

/// Longest that a request waits for a key: partners give up after three seconds.
const WAIT_MAX: Duration = Duration::from_millis(2_500);

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKey {
    /// It could not be fetched, or what was fetched is none.
    #[error("the key could not be fetched")]
    NotFetched,
    /// Too many were asked for lately.
    #[error("too many keys were fetched from there lately")]
    Budget,
    /// It took too long.
    #[error("the key was not there in time")]
    Time,
}

/// Keys by where they come from.
#[derive(Debug)]
pub(crate) struct KeyCache<S, K> {
    slots: Mutex<HashMap<S, Arc<Slot<K>>>>,
    budgets: Mutex<HashMap<String, Budget>>,
}

/// One key; whoever holds the lock fetches it.
#[derive(Debug)]
struct Slot<K>(tokio::sync::Mutex<Option<Held<K>>>);

#[derive(Debug)]
struct Held<K> {
    /// None where it could not be had.
    key: Option<Arc<K>>,
    until: Instant,
}

#[derive(Debug)]
struct Budget {
    since: Instant,
    spent: u32,
}

impl<S, K> Default for KeyCache<S, K> {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            budgets: Mutex::default(),
        }
    }
}

impl<S: Clone + Eq + Hash, K> KeyCache<S, K> {
    /// The key of that source, fetched where it is not known: with the key `fetch` says how
    /// long it is valid.
    pub(crate) async fn get<F>(
        &self,
        source: &S,
        origin: &str,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<K>, NoKey>
    where
        F: Future<Output = Option<(K, Duration)>>,
    {
        let slot = self.slot(source);
        let getting = async {
            let mut held = slot.0.lock().await;
            let now = Instant::now();
            if let Some(known) = held.as_ref().filter(|held| now < held.until) {
                return known.key.clone().ok_or(NoKey::NotFetched);
            }
            self.spend(origin, now)?;
            let (key, keep) = match fetch().await {
                Some((key, valid_for)) => (Some(Arc::new(key)), valid_for.min(KEPT_FOR)),
                None => (None, MISSING_FOR),
            };
            *held = Some(Held {
                key: key.clone(),
                until: Instant::now() + keep,
            });
            key.ok_or(NoKey::NotFetched)
        };
        // Whoever fetches and gives up leaves the place to the next one that waits.
        timeout(WAIT_MAX, getting).await.unwrap_or(Err(NoKey::Time))
    }

    fn slot(&self, source: &S) -> Arc<Slot<K>> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(source) {
            return slot.clone();
        }
        if slots.len() >= KEPT_MAX {
            make_room(&mut slots);
        }
        let slot = Arc::new(Slot(tokio::sync::Mutex::new(None)));
        slots.insert(source.clone(), slot.clone());
        slot
    }

    fn spend(&self, origin: &str, now: Instant) -> Result<(), NoKey> {
        let mut budgets = lock(&self.budgets);
        budgets.retain(|_, budget| now < budget.since + BUDGET_EVERY);
        if budgets.len() >= ORIGINS_MAX && !budgets.contains_key(origin) {
            return Err(NoKey::Budget);
        }
        let budget = budgets.entry(origin.to_owned()).or_insert(Budget {
            since: now,
            spent: 0,
        });
        if budget.spent >= BUDGET {
            return Err(NoKey::Budget);
        }
        budget.spent += 1;
        Ok(())
    }
}

/// Lets go what could not be had, and what is over; and where that is not enough, the key
/// that is over first. One that is being fetched stays with whoever waits for it.
fn make_room<S: Clone + Eq + Hash, K>(slots: &mut HashMap<S, Arc<Slot<K>>>) {
    let now = Instant::now();
    let until = |slot: &Slot<K>| match slot.0.try_lock() {
        Ok(held) => held
            .as_ref()
            .filter(|held| held.key.is_some())
            .map_or(now, |held| held.until),
        Err(_) => now,
    };
    slots.retain(|_, slot| until(slot) > now);
    if slots.len() >= KEPT_MAX {
        let first = slots.iter().min_by_key(|(_, slot)| until(slot));
        if let Some(source) = first.map(|(source, _)| source.clone()) {
            slots.remove(&source);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    type Cache = KeyCache<u32, u32>;

    #[derive(Default)]
    struct Partner(AtomicU32);

    impl Partner {
        async fn fetch(&self, found: Option<u32>, takes: Duration) -> Option<(u32, Duration)> {
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(takes).await;
            found.map(|key| (key, Duration::MAX))
        }

        fn asked(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    const QUICK: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_key_is_fetched_once_for_all_who_wait_and_again_when_it_is_over() {
        let (cache, partner) = (Cache::default(), Partner::default());
        let get = || cache.get(&1, "a", || partner.fetch(Some(7), QUICK));
        let (one, two, three) = tokio::join!(get(), get(), get());
        for key in [one, two, three] {
            assert_eq!(*key.unwrap(), 7);
        }
        assert_eq!(partner.asked(), 1);
        advance(KEPT_FOR).await;
        get().await.unwrap();
        assert_eq!(partner.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_cannot_be_had_is_asked_for_again_after_a_moment() {
        let (cache, partner) = (Cache::default(), Partner::default());
        for _ in 0..3 {
            let got = cache.get(&1, "a", || partner.fetch(None, QUICK)).await;
            assert_eq!(got.unwrap_err(), NoKey::NotFetched);
        }
        assert_eq!(partner.asked(), 1);
        advance(MISSING_FOR).await;
        let got = cache.get(&1, "a", || partner.fetch(Some(7), QUICK)).await;
        assert_eq!(*got.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_their_partner() {
        let (cache, partner) = (Cache::default(), Partner::default());
        let slow = || partner.fetch(Some(7), Duration::from_mins(1));
        assert_eq!(cache.get(&1, "a", slow).await.unwrap_err(), NoKey::Time);
        let got = cache.get(&1, "a", || partner.fetch(Some(7), QUICK)).await;
        assert_eq!(*got.unwrap(), 7, "the place is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_names_ever_new_keys_is_bounded() {
        let (cache, partner) = (Cache::default(), Partner::default());
        let known = cache.get(&0, "a", || partner.fetch(Some(7), QUICK)).await;
        known.unwrap();
        let mut refused = 0;
        for source in 1..=2 * u32::try_from(KEPT_MAX).unwrap() {
            let got = cache.get(&source, "a", || partner.fetch(None, QUICK)).await;
            refused += u32::from(got.unwrap_err() == NoKey::Budget);
        }
        assert!(partner.asked() < 6 * BUDGET && refused > 0, "{refused}");
        assert!(lock(&cache.slots).len() <= KEPT_MAX);
        let known = cache.get(&0, "a", || partner.fetch(None, QUICK)).await;
        assert_eq!(*known.unwrap(), 7, "what is known stays");
        let other = cache.get(&0, "b", || partner.fetch(None, QUICK)).await;
        other.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_names_ever_new_origins_is_bounded() {
        let (cache, partner) = (Cache::default(), Partner::default());
        for source in 0..200 {
            let origin = source.to_string();
            let got = cache.get(&source, &origin, || partner.fetch(None, Duration::ZERO));
            got.await.unwrap_err();
        }
        assert_eq!(partner.asked(), u32::try_from(ORIGINS_MAX).unwrap());
        assert!(lock(&cache.budgets).len() <= ORIGINS_MAX);
        advance(BUDGET_EVERY).await;
        let got = cache.get(&200, "new", || partner.fetch(Some(7), QUICK));
        assert_eq!(*got.await.unwrap(), 7);
    }
}
