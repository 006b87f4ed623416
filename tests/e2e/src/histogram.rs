//! Latencies, counted in buckets that are at most 1.6 % wide.

use std::time::Duration;

/// Buckets per doubling.
const FINE_BITS: u32 = 6;

/// Counts durations; a quantile of them costs one walk.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket_of(nanos);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// Counts all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (into, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *into += from;
        }
        self.count += other.count;
    }

    /// How many were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The duration, in milliseconds, that `share` of all did not exceed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts and nanoseconds far below 2^52, a share between 0 and 1"
    )]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(bucket) as f64 / 1e6;
            }
        }
        0.0
    }
}

/// Values below `2^(FINE_BITS + 1)` have a bucket each; above, each doubling has
/// `2^FINE_BITS` buckets.
#[expect(clippy::cast_possible_truncation, reason = "a bucket is below 64 * 64")]
const fn bucket_of(value: u64) -> usize {
    let magnitude = u64::BITS - value.leading_zeros();
    if magnitude <= FINE_BITS + 1 {
        return value as usize;
    }
    let shift = magnitude - FINE_BITS - 1;
    ((shift as usize) << FINE_BITS) + (value >> shift) as usize
}

const fn highest_of(bucket: usize) -> u64 {
    let fine = 1_usize << FINE_BITS;
    if bucket < 2 * fine {
        return bucket as u64;
    }
    let shift = bucket / fine - 1;
    let base = (bucket - shift * fine) as u64;
    ((base + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_at_most_a_64th_wide() {
        for value in (0..5_000).chain((5_000..3_000_000_000).step_by(1_234_567)) {
            let highest = highest_of(bucket_of(value));
            assert!(highest >= value, "{value} above its bucket's {highest}");
            assert!(highest - value <= value / 64, "{value} in {highest}");
            assert_eq!(bucket_of(highest + 1), bucket_of(value) + 1);
        }
    }

    #[test]
    fn quantiles_of_a_thousand_milliseconds() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        for (share, expect) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let got = histogram.quantile_ms(share);
            assert!((got / expect - 1.0).abs() < 0.02, "{share}: {got}");
        }
    }
}
