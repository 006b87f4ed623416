//! Chance that a seed fixes: `SplitMix64`, in one place, so that a run can be repeated.

/// A generator. Equal seeds give equal draws.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of its own for that purpose, so that a draw more here changes nothing there.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        let mut mixed = Self(self.0 ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(mixed.draw())
    }

    /// The next draw.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        let draw = self.draw();
        if end == 0 { 0 } else { draw % end }
    }

    /// An index below `end`; 0 where that is 0.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// A number of `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True that often in a thousand.
    pub const fn per_mille(&mut self, often: u64) -> bool {
        self.below(1_000) < often
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let index = self.index(of.len());
        of.get(index)
    }

    /// In another order; nothing moves further than `reach`.
    pub fn shuffle<T>(&mut self, all: &mut [T], reach: usize) {
        for index in 0..all.len() {
            let ahead = (all.len() - index).min(reach.max(1));
            let other = index + self.index(ahead);
            all.swap(index, other);
        }
    }
}
