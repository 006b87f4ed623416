//! The ambient things: clock and chance. The only file that reads either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tidegate_core::ports::{Chance, Clock};
use tidegate_core::retry::Jitter;
use tidegate_core::time::Timestamp;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Draws for spreading retries: a seeded sequence is random enough for that.
#[derive(Debug)]
pub(crate) struct SystemChance(AtomicU64);

impl SystemChance {
    /// A sequence that differs from start to start.
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Chance for SystemChance {
    fn jitter(&self) -> Jitter {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut draw = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Jitter::new(draw ^ (draw >> 31))
    }
}

/// Bytes that nobody can guess, for keys and tokens.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
